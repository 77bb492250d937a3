"""One recording, before it has a number in a dataset."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32, UInt8

from amplify.data.layout import DatasetSpec
from amplify.errors import DataError
from amplify.types import SceneStates


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One recording.

    Args:
        instruction: What was asked for.
        frames: RGB video of each camera.
        proprio: Proprioception at each frame, environment units; None for video.
        actions: The action taken at each frame, environment units; None for video.
        scene: Poses of everything, for exact tracks; simulation only.
        info: Notes (task, seed, noise).
    """

    instruction: str
    frames: dict[str, UInt8[np.ndarray, "t h w 3"]]
    proprio: Float32[np.ndarray, "t p"] | None = None
    actions: Float32[np.ndarray, "t a"] | None = None
    scene: SceneStates | None = None
    info: dict[str, str | int | float] = field(default_factory=dict)

    def footage(self, key: str) -> "Footage":
        """The same as a stream.

        Args:
            key: Names the episode in messages.

        Raises:
            DataError: There are no frames, or cameras differ in how many they have.
        """
        lengths = {camera: len(frames) for camera, frames in self.frames.items()}
        if len(set(lengths.values())) != 1 or 0 in lengths.values():
            raise DataError(f"episode {key}: wrong shape of images", got=lengths, allowed="as many of every camera")
        return Footage(
            instruction=self.instruction,
            length=next(iter(lengths.values())),
            frames=dict(self.frames),
            proprio=self.proprio,
            actions=self.actions,
            scene=self.scene,
            info=self.info,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Footage:
    """A recording whose frames come one at a time, so that no more than one need be in memory.

    Args:
        instruction: What was asked for.
        length: Frames of every camera.
        frames: RGB images of each camera; each is gone through once, camera after camera.
        proprio: Proprioception at each frame, environment units; None for video.
        actions: The action taken at each frame, environment units; None for video.
        scene: Poses of everything, for exact tracks; simulation only.
        info: Notes (task, seed, noise).
    """

    instruction: str
    length: int
    frames: dict[str, Iterable[UInt8[np.ndarray, "h w 3"]]]
    proprio: Float32[np.ndarray, "t p"] | None = None
    actions: Float32[np.ndarray, "t a"] | None = None
    scene: SceneStates | None = None
    info: dict[str, str | int | float] = field(default_factory=dict)

    def check(self, key: str, spec: DatasetSpec) -> None:
        """Nothing, if all but the frames fits a dataset.

        Args:
            key: Names the episode in messages.
            spec: Of the dataset.

        Raises:
            DataError: It does not.
        """
        if set(self.frames) != set(spec.cameras):
            raise DataError(f"episode {key} has other cameras", got=sorted(self.frames), allowed=sorted(spec.cameras))
        if self.length < 1:
            raise DataError(f"episode {key} has no frames", remedy="leave the episode out")
        for name, array, names in (
            ("proprioception", self.proprio, spec.proprio_names),
            ("actions", self.actions, spec.action_names),
        ):
            if (array is None) != (names is None):
                raise DataError(f"episode {key} and the spec disagree on whether there are {name}")
            if array is not None and names is not None:
                allowed = (self.length, len(names))
                if array.shape != allowed:
                    raise DataError(f"episode {key}: wrong shape of {name}", got=array.shape, allowed=allowed)
                if not np.isfinite(array).all():
                    raise DataError(
                        f"episode {key}: {name} that are not finite numbers", remedy="leave the episode out"
                    )
