"""How the points of a dataset move, and how much of that the tokens' window can say; sums that add up."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Float, Int

from amplify.coords import EVALUATION_SIZE_PX, displacements_to_pixels
from amplify.metrics.tracks import MOVING_PX
from amplify.tokens import camera_motion
from amplify.tokens.local_window import LocalWindow
from amplify.tokens.weights import known_positions, known_steps, known_velocities, moving_points
from amplify.tracks.queries import uniform_grid
from amplify.types import TrackWindow

MOVING_STEP_PX = 0.5
"""A step longer than this moves, as in `amplify.tokens.clipping`."""
EDGES_PX = np.concatenate([0.5 * 2 ** (np.arange(33) / 4), [np.inf]])
"""Of the histogram of steps along their longer axis: from half a pixel to a frame's width, and all beyond."""
ERRORS_PX = (0.5, 1.0, 2.0)
"""Limits of the tracker's own error below which points are counted: those that sidecars keep apart."""
CAMERA_SPAN = 4
"""Frames over which the camera's motion is estimated: a slow pan is lost in the noise of one step."""
CAMERA_PX = 0.25
"""The camera moves when the middle point of the frame's grid is carried further than this a frame."""
CAMERA_SHARE = 0.1
"""A camera that moves in more of the frames is a moving one."""
_WITHOUT_CAMERA = 4
"""Windows of an episode from which the camera's motion is taken out: that takes most of the time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionSums:
    """Counts over windows of tracks.

    Args:
        windows: Of them.
        points: Points that are visible in their query frame.
        moving_points: Of these, points whose known path is longer than `MOVING_PX`.
        positions: Valid positions of points after the query frame.
        visible: Of these, visible ones.
        moving_positions: Of moving points.
        moving_visible: Of these, visible ones.
        steps: Known steps.
        moving_steps: Of these, steps longer than `MOVING_STEP_PX`.
        beyond: Of these, steps beyond each token window.
        histogram: Moving steps by their length along the longer axis, in bins of `EDGES_PX`.
        errors: Points whose tracker's error at their window's end is below each of `ERRORS_PX`.
        error_points: Points that have such an error.
        error_moving: As ``errors``, of moving points.
        error_moving_points: As ``error_points``, of moving points.
        camera_px: How far the camera carries the scene a frame, one value a window where that can be told.
        still_moving_steps: Moving steps of windows from which a moving camera's motion was taken out.
        still_beyond: Of these, steps beyond the first token window.
        largest_px: The longest step along an axis.
    """

    windows: int
    points: int
    moving_points: int
    positions: int
    visible: int
    moving_positions: int
    moving_visible: int
    steps: int
    moving_steps: int
    beyond: Int[np.ndarray, " w"]
    histogram: Int[np.ndarray, " bins"]
    errors: Int[np.ndarray, " e"]
    error_points: int
    error_moving: Int[np.ndarray, " e"]
    error_moving_points: int
    camera_px: Float[np.ndarray, " c"]
    still_moving_steps: int
    still_beyond: int
    largest_px: float

    def __add__(self, other: "MotionSums") -> "MotionSums":
        values = {f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self) if f.name not in _APART}
        return MotionSums(
            **values,
            camera_px=np.concatenate([self.camera_px, other.camera_px]),
            largest_px=max(self.largest_px, other.largest_px),
        )

    @property
    def camera_moves(self) -> bool:
        """Whether the camera is a moving one."""
        return _moves(self.camera_px)

    def quantile_px(self, share: float) -> float | None:
        """The step along the longer axis below which this share of the moving steps lies, from the histogram.

        Args:
            share: Between 0 and 1.
        """
        if not self.moving_steps:
            return None
        inner = np.concatenate([[0], np.cumsum(self.histogram)]) / self.histogram.sum()
        # The true lengths within a bin are not kept; none is longer than the longest.
        return min(float(np.interp(share, inner, [*EDGES_PX[:-1], EDGES_PX[-2]])), self.largest_px)


_APART = ("camera_px", "largest_px")


@torch.no_grad()
def motion_sums(window: TrackWindow, windows: Sequence[LocalWindow]) -> MotionSums:
    """The counts of windows of one view.

    Args:
        window: Tracks, float32, (b, 1, t, n, 2).
        windows: Token windows to measure.
    """
    steps_px, known = _steps_px(window), known_steps(window)
    moving = steps_px.norm(dim=-1) > MOVING_STEP_PX
    longer_px = steps_px.abs().amax(dim=-1)[moving].numpy()
    started = window.visible[..., 0, :] & window.valid[..., :1]  # (b, 1, n)
    moves = moving_points(window, MOVING_PX) & started
    after = (window.valid[..., 1:, None] & started[..., None, :]).expand(window.visible[..., 1:, :].shape)
    seen, of_moving = after & window.visible[..., 1:, :], after & moves[..., None, :]
    errors, error_points = _errors(window, started)
    error_moving, error_moving_points = _errors(window, moves)
    camera_px = _camera_px(window)
    still_moving, still_beyond = 0, 0
    if _moves(camera_px):
        still_moving, still_beyond = _without_camera(window, windows[0])
    return MotionSums(
        windows=len(window.points),
        points=int(started.sum()),
        moving_points=int(moves.sum()),
        positions=int(after.sum()),
        visible=int(seen.sum()),
        moving_positions=int(of_moving.sum()),
        moving_visible=int((of_moving & seen).sum()),
        steps=int(known.sum()),
        moving_steps=int(moving.sum()),
        beyond=np.array([int((one.clipped(steps_px) & known).sum()) for one in windows]),
        histogram=np.histogram(np.maximum(longer_px, EDGES_PX[0]), EDGES_PX)[0],
        errors=errors,
        error_points=error_points,
        error_moving=error_moving,
        error_moving_points=error_moving_points,
        camera_px=camera_px,
        still_moving_steps=still_moving,
        still_beyond=still_beyond,
        largest_px=float(longer_px.max()) if len(longer_px) else 0.0,
    )


def _steps_px(window: TrackWindow) -> torch.Tensor:
    return displacements_to_pixels(known_velocities(window), EVALUATION_SIZE_PX)


def _errors(window: TrackWindow, points: torch.Tensor) -> tuple[np.ndarray, int]:
    if window.error_px is None:
        return np.zeros(len(ERRORS_PX), int), 0
    at_end = window.error_px[..., -1, :][points]
    return np.array([int((at_end < limit).sum()) for limit in ERRORS_PX]), len(at_end)


def _camera_px(window: TrackWindow) -> np.ndarray:
    """How far the dominant homography carries a grid's middle point, pixels a frame; of windows where it is known."""
    found = []
    # A fast camera loses its points within a few frames: what a longer span cannot tell, one step may.
    for span in sorted({min(CAMERA_SPAN, window.points.shape[-3] - 1), 1}, reverse=True):
        ends = window.map(lambda tensor, span=span: tensor[:, :, [0, span]])
        told = known_positions(ends)[:, 0, 0].sum(dim=-1) >= camera_motion.FEWEST_POINTS
        if told.any():
            motion = camera_motion.estimate(ends.map(lambda tensor, told=told: tensor[told]))
            grid = uniform_grid(5).expand(*motion.shape[:3], -1, 2)
            carried = camera_motion.give_back(_all_seen(grid), motion).points - grid
            px = displacements_to_pixels(carried[:, 0, 1], EVALUATION_SIZE_PX).norm(dim=-1)
            found.append(px.median(dim=-1).values / span)
        window = window.map(lambda tensor, told=told: tensor[~told])
    return torch.cat(found).numpy() if found else np.zeros(0, np.float32)


def _moves(camera_px: np.ndarray) -> bool:
    return len(camera_px) > 0 and float((camera_px > CAMERA_PX).mean()) > CAMERA_SHARE


def _all_seen(points: torch.Tensor) -> TrackWindow:
    shown = torch.ones(points.shape[:-1], dtype=torch.bool)
    return TrackWindow(points=points, visible=shown, valid=shown[..., 0])


def _without_camera(window: TrackWindow, local: LocalWindow) -> tuple[int, int]:
    chosen = np.linspace(0, len(window.points) - 1, min(len(window.points), _WITHOUT_CAMERA)).round().astype(int)
    some = window.map(lambda tensor: tensor[chosen])
    still = camera_motion.remove(some, camera_motion.estimate(some))
    steps_px, known = _steps_px(still), known_steps(still)
    moving = int((steps_px.norm(dim=-1) > MOVING_STEP_PX).sum())
    return moving, int((local.clipped(steps_px) & known).sum())
