"""What a bundle foresees at frames of a recording: motion, and the actions that it would take."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from amplify.draw.framing import Framing
from amplify.errors import BundleError
from amplify.evaluate.futures import Foresight
from amplify.evaluate.loading import Loader, kind_of
from amplify.policy.info import info_of
from amplify.serve.mapping import ObservationMapping, Reader

STATE = "observation/state"


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """At one frame.

    Args:
        paths: Of each camera the points' positions, (t, n, 2), as shares of the image's width and height.
        actions: The policy's plan, (s, a); None for a bundle or a recording without one.
    """

    paths: Mapping[str, Float[np.ndarray, "t n 2"]]
    actions: Float[np.ndarray, "s a"] | None


class Foreseer:
    """A bundle's models, for recordings of its cameras.

    Args:
        bundle: The bundle's folder.

    Raises:
        BundleError: It holds neither forward dynamics nor a policy.
    """

    def __init__(self, bundle: Path):
        loader = Loader()
        loaded = loader.bundle(bundle)
        info = info_of(loaded)
        self._foresight = Foresight(bundle, loader) if {"tokenizer", "forward"} <= loaded.models.keys() else None
        try:
            self._policy = loader.policy(bundle, kind_of(loaded))
        except BundleError:
            if self._foresight is None:
                raise
            self._policy = None
        self.cameras, self.action_names = info.cameras, info.action_names
        self._reader = Reader(ObservationMapping.of(info), info)

    def at(
        self, images: Mapping[str, UInt8[np.ndarray, "h w 3"]], state: np.ndarray | None, instruction: str
    ) -> Foreseen:
        """What is foreseen from one frame.

        Args:
            images: By camera, in any order.
            state: Proprioception; None where the recording has none.
            instruction: Of the episode.

        Raises:
            AmplifyError: A camera of the bundle's is missing, or the observation does not suit.
        """
        cameras = self.cameras or tuple(images)
        missing = [name for name in cameras if name not in images]
        if missing:
            raise BundleError(
                "the bundle was trained with other cameras than the recording's",
                got=", ".join(images),
                allowed=", ".join(cameras),
            )
        paths: dict[str, np.ndarray] = {}
        if self._foresight is not None:
            framings = [Framing.of(images[name]) for name in cameras]
            future = self._foresight.futures([images[name] for name in cameras], framings, instruction)[0]
            for name, framing, track in zip(cameras, framings, future.tracks):
                size = np.array([framing.width, framing.height])
                paths[name] = (framing.left_top + (track.numpy() + 1) / 2 * framing.side) / size
        actions = None
        if self._policy is not None and state is not None:
            sent = {**{f"observation/{name}": images[name] for name in cameras}, STATE: state, "prompt": instruction}
            plan = self._policy.plan(self._reader.read(sent)).actions
            actions = plan.actions[0][plan.valid[0]].float().cpu().numpy()
        return Foreseen(paths=paths, actions=actions)
