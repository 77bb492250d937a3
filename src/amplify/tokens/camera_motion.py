"""The camera's own motion, estimated from tracks, taken out of them and given back.

The image of a plane, or of any scene under a turning camera, moves by a homography. The one that explains most points
between two frames is found by iteratively reweighted least squares on the direct linear equations (Hartley and
Zisserman, Multiple View Geometry, 2nd ed., section 4.1) with the weights of Geman and McClure, whose scale shrinks from
round to round (graduated non-convexity: Black and Rangarajan, IJCV 1996), so that points with a motion of their own
end up with no say.
"""

from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from amplify.coords import EVALUATION_SIZE_PX
from amplify.errors import UsageError
from amplify.tokens.weights import known_steps
from amplify.types import TrackWindow

FEWEST_POINTS = 8
"""Below so many known points between two frames the camera counts as still; four determine a homography."""

_SCALES_PX = (16.0, 8.0, 4.0, 2.0, 1.0, 0.5, 0.5, 0.5)
"""Residuals at which a point has lost three quarters of its weight in each round, pixels of a 128×128 frame."""

_RIDGE = 1e-6
"""Pull towards no change, relative to the points' weights: points on a line leave some parameters open."""


@torch.no_grad()
def estimate(window: TrackWindow) -> Float[Tensor, "*b v t 3 3"]:
    """The homography that takes each view's query frame to every frame, identity for the first.

    The dominant motion is that of most points, so an object that fills the frame passes for the scene. Between two
    frames with fewer than `FEWEST_POINTS` known points the camera counts as still.

    Args:
        window: Tracks; only steps that are visible and valid at both ends are used.
    """
    known = known_steps(window)[..., None]
    start = torch.where(known, window.points[..., :-1, :, :], 0.0).double()
    end = torch.where(known, window.points[..., 1:, :, :], 0.0).double()
    between = _dominant(start, end, known[..., 0])  # (*b, v, steps, 3, 3)
    chain = [torch.eye(3, dtype=between.dtype, device=between.device).expand_as(between[..., 0, :, :])]
    for step in between.unbind(dim=-3):
        total = step @ chain[-1]
        chain.append(total / total[..., 2:, 2:])
    return torch.stack(chain, dim=-3).to(window.points.dtype)


def remove(window: TrackWindow, motion: Float[Tensor, "*b v t 3 3"]) -> TrackWindow:
    """The tracks as a camera would see them that stays where it was in the query frame.

    Args:
        window: Tracks.
        motion: From `estimate`.

    Raises:
        UsageError: There are more frames than homographies.
    """
    return _moved(window, motion, torch.linalg.inv)


def give_back(window: TrackWindow, motion: Float[Tensor, "*b v t 3 3"]) -> TrackWindow:
    """The tracks as the moving camera sees them; the inverse of `remove`.

    Args:
        window: Tracks in the coordinates of the query frame.
        motion: From `estimate`; of further frames than the window has, the first ones are used.

    Raises:
        UsageError: There are more frames than homographies.
    """
    return _moved(window, motion, lambda homography: homography)


def _moved(window: TrackWindow, motion: Tensor, direction) -> TrackWindow:
    frames = window.points.shape[-3]
    if motion.shape[-3] < frames:
        raise UsageError("camera motion of too few frames", got=motion.shape[-3], allowed=f"{frames} or more")
    return replace(window, points=_apply(direction(motion[..., :frames, :, :]), window.points))


def _apply(homography: Tensor, points: Tensor) -> Tensor:
    """Points (…, n, 2) under homographies (…, 3, 3)."""
    moved = torch.cat((points, torch.ones_like(points[..., :1])), dim=-1) @ homography.mT
    # Points at or behind the horizon of a bad estimate would fly to infinity.
    return moved[..., :2] / moved[..., 2:].clamp_min(0.05)


def _dominant(start: Tensor, end: Tensor, known: Bool[Tensor, "..."]) -> Tensor:
    """Homographies (…, 3, 3) that take most of the known points (…, n, 2) from ``start`` to ``end``."""
    shift = torch.where(known[..., None], end - start, torch.nan).nanmedian(dim=-2).values.nan_to_num()
    still = torch.eye(3, dtype=start.dtype, device=start.device).expand(*shift.shape[:-1], 3, 3)
    homography = still.clone()
    homography[..., :2, 2] = shift
    equations, ridge = _equations(start, end), _RIDGE * torch.eye(8, dtype=start.dtype, device=start.device)
    for scale_px in _SCALES_PX:
        scale = scale_px * 2 / EVALUATION_SIZE_PX
        squared = (_apply(homography, start) - end).square().sum(dim=-1)
        weight = known / (1 + squared / scale**2).square()
        weight = weight / weight.sum(dim=-1, keepdim=True).clamp_min(1e-9)
        # Normal equations of the change from "still": the unknown ninth parameter is fixed at 1.
        weighted = equations * weight[..., None, None]
        normal = torch.einsum("...nri,...nrj->...ij", weighted, equations) + ridge
        moment = torch.einsum("...nri,...nr->...i", weighted, end - start)
        change = torch.linalg.solve(normal, moment)
        homography = still + torch.cat((change, torch.zeros_like(change[..., :1])), dim=-1).unflatten(-1, (3, 3))
    return torch.where((known.sum(dim=-1) >= FEWEST_POINTS)[..., None, None], homography, still)


def _equations(start: Tensor, end: Tensor) -> Tensor:
    """The two direct linear equations of each point in the homography's first eight entries, (…, n, 2, 8)."""
    homogeneous = torch.cat((start, torch.ones_like(start[..., :1])), dim=-1)
    empty = torch.zeros_like(homogeneous)
    first = torch.stack(
        (torch.cat((homogeneous, empty), dim=-1), torch.cat((empty, homogeneous), dim=-1)), dim=-2
    )  # (…, n, 2, 6)
    return torch.cat((first, -end[..., :, None] * start[..., None, :]), dim=-1)
