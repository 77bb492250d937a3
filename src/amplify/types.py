"""The nouns: what flows between the rooms. All are frozen; a batch is the same type with leading axes.

Axes: ``b`` batch, ``v`` views (cameras), ``t`` time, ``n`` points, ``k`` tokens, ``s`` action steps, ``a`` action
dimensions, ``p`` proprioception, ``d`` feature width. Coordinates are those of `amplify.coords`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

Noun = TypeVar("Noun", bound="_Batchable")


class _Batchable:
    """Maps, stacks and moves a dataclass of tensors."""

    def map(self: Noun, function: Callable[[Tensor], Tensor]) -> Noun:
        """The same noun with the function applied to every tensor, nested nouns included."""

        def apply(value: Any) -> Any:
            if isinstance(value, Tensor):
                return function(value)
            return value.map(function) if isinstance(value, _Batchable) else value

        return replace(self, **{f.name: apply(getattr(self, f.name)) for f in fields(self)})  # type: ignore[type-var]

    def to(self: Noun, device: torch.device | str) -> Noun:
        """The same noun on another device."""
        return self.map(lambda tensor: tensor.to(device))


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraPose(_Batchable):
    """A pinhole camera per frame, in the simulator's world frame.

    Args:
        position: Camera centre in metres.
        rotation: Columns are the camera's x (right), y (up), z (backwards) axes in the world.
        fovy_deg: Vertical field of view in degrees.
        turned: Whether the stored image is the rendered one turned by 180°.
    """

    position: Float[Tensor, "t 3"]
    rotation: Float[Tensor, "t 3 3"]
    fovy_deg: Float[Tensor, " t"]
    turned: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneStates:
    """The world pose of every body in every frame: what exact tracks are computed from. Simulation only.

    Args:
        simulator: Who can interpret it ("metaworld", "libero").
        scene: The simulator's name of the scene (for Meta-World its task, "drawer-open", or "drawer-open@hand"
            where another body than the robot's is seen).
        body_position: In metres.
        body_quaternion: (w, x, y, z).
        cameras: One pose sequence a camera name.
        simulator_state: All that the simulator needs to show each frame anew, float64 (for LIBERO its flattened state);
            None where it was not kept.
        placement: Position and orientation of every body in its parent, float64, where the simulator places fixtures
            anew at each reset; None where it does not.
    """

    simulator: str
    scene: str
    body_position: Float[Tensor, "t bodies 3"]
    body_quaternion: Float[Tensor, "t bodies 4"]
    cameras: dict[str, CameraPose]
    simulator_state: Float[Tensor, "t s"] | None = None
    placement: Float[Tensor, "bodies 7"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """One camera's video of one episode: what a tracker sees.

    Args:
        frames: uint8 RGB.
        fps: Frames per second.
        camera: The camera's name.
        scene: Ground truth of the simulator, absent for real video.
    """

    frames: UInt8[np.ndarray, "t h w 3"]
    fps: float
    camera: str
    scene: SceneStates | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackWindow(_Batchable):
    """N points followed over T steps in V views.

    Args:
        points: Normalised (x, y); index 0 of ``t`` is the query frame.
        visible: False where the point is occluded or outside the frame.
        valid: False past the episode's end, and in a view that a source lacks.
        error_px: The tracker's own estimate of its error so far (forward–backward error for optical flow), in pixels
            of a 128×128 frame; None where the tracker has none.
    """

    points: Float[Tensor, "*b v t n 2"]
    visible: Bool[Tensor, "*b v t n"]
    valid: Bool[Tensor, "*b v t"]
    error_px: Float[Tensor, "*b v t n"] | None = None

    @property
    def velocities(self) -> Float[Tensor, "*b v steps n 2"]:
        """Displacement per track step, normalised."""
        return self.points[..., 1:, :, :] - self.points[..., :-1, :, :]


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionTokens(_Batchable):
    """The short discrete string that stands for a window of motion; indices below the codebook size."""

    indices: Int[Tensor, "*b k"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Features(_Batchable):
    """What frozen encoders make of an observation, cached or fresh.

    Args:
        vision: Patch tokens of every view.
        text: Instruction tokens (one pooled token for a sentence encoder).
        goal: Patch tokens of every view of the image to be reached; None where the instruction alone says it.
        inverse_vision: Patch tokens of the eyes that inverse dynamics learned with; None where it shares ``vision``.
        present: False for a view that the source lacks: what stands in its place is not looked at. None where every
            view is there.
    """

    vision: Float[Tensor, "*b v p d"]
    text: Float[Tensor, "*b l e"]
    goal: Float[Tensor, "*b v p d"] | None = None
    inverse_vision: Float[Tensor, "*b v p d"] | None = None
    present: Bool[Tensor, "*b v"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures(_Batchable):
    """What an encoder that is trained, or sees augmented images, makes `Features` of.

    Args:
        images: uint8 RGB of every view.
        text: Instruction tokens, cached.
        goal: Every view of the image to be reached; None where the instruction alone says it.
        present: False for a view that was not seen, whose images are black; None where all were.
    """

    images: UInt8[Tensor, "*b v h w 3"]
    text: Float[Tensor, "*b l e"]
    goal: UInt8[Tensor, "*b v h w 3"] | None = None
    present: Bool[Tensor, "*b v"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What a policy sees at one time, for a batch of environments or recordings.

    Args:
        images: uint8 RGB.
        cameras: The views' names, in order.
        proprio: Proprioception in environment units; None for video.
        instruction: One sentence an element of the batch.
        goal: What the cameras should see in the end, uint8 RGB; None where only the instruction says it.
    """

    images: UInt8[Tensor, "b v h w 3"]
    cameras: tuple[str, ...]
    proprio: Float[Tensor, "b p"] | None
    instruction: tuple[str, ...]
    goal: UInt8[Tensor, "b v h w 3"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionChunk(_Batchable):
    """S actions in environment units; ``valid`` is False past the episode's end."""

    actions: Float[Tensor, "*b s a"]
    valid: Bool[Tensor, "*b s"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan(_Batchable):
    """What a policy intends: an action chunk and, for a token policy, the motion it should cause.

    Args:
        actions: From the time of the plan on.
        tokens: The motion; −1 where there is no plan.
        age: Decisions since the plan was made; None for one that was made just now.
    """

    actions: ActionChunk
    tokens: MotionTokens | None
    age: Int[Tensor, "*b"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample(_Batchable):
    """One training example, or a batch of them. ``actions is None`` *is* action-free video.

    Args:
        features: Frozen features of the first frame and of the instruction.
        pictures: What such features are made of, where they are made within the training step.
        tracks: The motion that follows.
        proprio: Proprioception at the first frame, environment units.
        actions: The actions that follow.
        tokens: Motion tokens computed once by a frozen parent model.
    """

    features: Features | None = None
    pictures: Pictures | None = None
    tracks: TrackWindow | None = None
    proprio: Float[Tensor, "*b p"] | None = None
    actions: ActionChunk | None = None
    tokens: MotionTokens | None = None


def collate(items: Sequence[Any]) -> Any:
    """A batch: every tensor of the items stacked on a new first axis.

    Raises:
        ValueError: The items do not have the same fields filled.
    """
    first = items[0]
    values: dict[str, Any] = {}
    for f in fields(first):
        column = [getattr(item, f.name) for item in items]
        if any((value is None) != (column[0] is None) for value in column):
            raise ValueError(f"cannot collate: some items lack {f.name!r} and others have it")
        if isinstance(column[0], Tensor):
            values[f.name] = torch.stack(column)
        elif isinstance(column[0], _Batchable):
            values[f.name] = collate(column)
        else:
            values[f.name] = column[0]
    return replace(first, **values)
