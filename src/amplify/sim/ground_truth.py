"""Exact tracks from a simulator's geometry: rays from the query pixels, followed with the bodies that they hit."""

from collections.abc import Callable, Mapping

import mujoco
import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from amplify.errors import DataError, UsageError, pick
from amplify.sim.geometry import Pinhole, Scene
from amplify.sim.libero.scenes import scene_model as libero_scene
from amplify.sim.metaworld.simulation import scene_model
from amplify.sim.rays import Rays, rays_of
from amplify.types import Clip, TrackWindow

SCENES: Mapping[str, Callable[[str], mujoco.MjModel]] = {"metaworld": scene_model, "libero": libero_scene}
"""Simulator → (scene's name → model): who can rebuild a recorded scene."""

RESTING = 1e-5
"""A point closer than this to its query (normalised) shares the ray that was cast there anyway."""


class GroundTruthTracker:
    """Follows points of the scene exactly; an `amplify.protocols.Tracker`.

    A query pixel's ray gives a body and a point fixed to it; later poses of the body and the camera say where that
    point is seen. It is visible while it lies in the frame and no surface lies before it. Where the ray meets nothing,
    the point is infinitely far away.

    Args:
        scenes: Who can rebuild a scene.
        tolerance_m: A surface hides a point only if it lies at least this much before it.
        rays: What looks at scenes; all kinds see the same.
    """

    name = "ground-truth"
    version = "1"

    def __init__(
        self,
        scenes: Mapping[str, Callable[[str], mujoco.MjModel]] = SCENES,
        *,
        tolerance_m: float = 0.002,
        rays: Callable[[mujoco.MjModel], Rays] = rays_of,
    ):
        self._scenes = scenes
        self._tolerance_m = tolerance_m
        self._rays = rays

    @property
    def settings(self) -> Mapping[str, str | int | float | bool]:
        """What changes the result."""
        return {"tolerance_m": self._tolerance_m}

    def track(self, clip: Clip, queries: Float[Tensor, "n 2"], *, horizon: int) -> TrackWindow:
        """Windows of shape (frames, 1 view, horizon, n) from every frame; see `amplify.protocols.Tracker`.

        Raises:
            DataError: The clip has no scene states, or they do not fit its frames, camera or scene.
            UsageError: ``horizon`` is not positive.
        """
        if horizon < 1:
            raise UsageError("a window needs at least one frame", got=f"horizon {horizon}", allowed="≥ 1")
        scene, camera = self._scene_and_camera(clip)
        query = queries.detach().cpu().double().numpy()
        frames, n = len(clip.frames), len(query)
        inside = _within(query, 1.0)
        body, reach_m = np.zeros((frames, n), dtype=np.int64), np.zeros((frames, n))
        local = np.zeros((frames, n, 3))
        points = np.tile(query.astype(np.float32), (frames, horizon, 1, 1))
        visible = np.zeros((frames, horizon, n), dtype=bool)
        for now in range(frames):
            scene.show(now)
            directions = camera.directions(query, now)
            hits = scene.cast(camera, now, directions)
            body[now], reach_m[now] = hits.body, hits.distance_m
            met = camera.position[now] + directions * hits.distance_m[:, None]
            rotation, position = scene.rotation[now], scene.position[now]
            local[now] = ((met - position[hits.body])[:, None] @ rotation[hits.body])[:, 0]

            starts = np.arange(max(0, now - horizon + 1), now + 1)
            owner = body[starts]
            # Most points have not moved since their query, nor has the camera: they need no arithmetic.
            seen = inside & (hits.distance_m >= reach_m[starts] - self._tolerance_m)
            row, point = np.nonzero(scene.moved(camera, starts, now)[np.arange(len(starts))[:, None], owner])
            placed = scene.in_camera(camera, now, owner[row, point], local[starts[row], point])
            seen_at, depth = camera.image(placed, now)
            points[starts[row], now - starts[row], point] = seen_at
            distance = np.linalg.norm(placed, axis=-1)
            resting = _within(seen_at - query.take(point, axis=0), RESTING)
            found = _within(seen_at, 1.0) & (depth > 0)
            found &= ~resting | (hits.distance_m[point] >= distance - self._tolerance_m)
            unsure = found & ~resting
            ways = placed[unsure] @ camera.rotation[now].T / distance[unsure][:, None]
            found[unsure] = ~scene.hides(camera, now, ways, distance[unsure] - self._tolerance_m)
            seen[row, point] = found
            visible[starts, now - starts] = seen
        return _windows(points, visible)

    def _scene_and_camera(self, clip: Clip) -> tuple[Scene, Pinhole]:
        states = clip.scene
        if states is None:
            raise DataError(
                "ground-truth tracks need scene states, and this dataset has none",
                remedy="record in simulation without --no-scene, or use --tracker flow",
            )
        model = pick(states.simulator, self._scenes, kind="simulator")(states.scene)
        if clip.camera not in states.cameras:
            raise DataError(
                f"no pose of camera {clip.camera!r} in the scene states",
                allowed=", ".join(states.cameras),
                remedy="record the dataset again, or use --tracker flow",
            )
        expected = (len(clip.frames), model.nbody, 3)
        if tuple(states.body_position.shape) != expected:
            raise DataError(
                f"scene states do not fit the video or the scene {states.scene!r}",
                got=tuple(states.body_position.shape),
                allowed=f"{expected} (frames, bodies, 3)",
                remedy="record the dataset again with the installed simulator version",
            )
        height, width = clip.frames.shape[1:3]
        scene = Scene(model, states.body_position.numpy(), states.body_quaternion.numpy(), self._rays)
        return scene, Pinhole(states.cameras[clip.camera], width / height)


def _within(points: Float[np.ndarray, "n 2"], most: float) -> Bool[np.ndarray, " n"]:
    """Where neither coordinate is larger; reductions along an axis of two take several times as long."""
    return (np.abs(points[:, 0]) <= most) & (np.abs(points[:, 1]) <= most)


def _windows(points: np.ndarray, visible: np.ndarray) -> TrackWindow:
    """Repeats the last position past the end of the clip."""
    frames, horizon = visible.shape[:2]
    last = np.minimum(frames - 1 - np.arange(frames), horizon - 1)[:, None]
    ages = np.arange(horizon)[None]
    held = points[np.arange(frames)[:, None], np.minimum(ages, last)]
    valid = ages <= last
    return TrackWindow(
        points=torch.from_numpy(held)[:, None],
        visible=torch.from_numpy(visible)[:, None],
        valid=torch.from_numpy(valid)[:, None],
    )
