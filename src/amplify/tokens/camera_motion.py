"""The camera's own motion, estimated from tracks, taken out of them and given back.

The image of a plane, or of any scene under a turning camera, moves by a homography. Candidates for the one that takes
most points from the query frame to another come from four random points each, by the direct linear equations (Hartley
and Zisserman, Multiple View Geometry, 2nd ed., sections 4.1 and 4.7); the one with the least median residual wins
(Rousseeuw, JASA 1984). Reweighted least squares with Tukey's biweight refine it. A point's weight is the same in all
frames: what moves by itself, however slowly, is far off in some of them and then has no say in any.
"""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from amplify.coords import EVALUATION_SIZE_PX
from amplify.errors import UsageError
from amplify.rng import torch_generator
from amplify.tokens.weights import known_positions
from amplify.types import TrackWindow

FEWEST_POINTS = 16
"""A frame with fewer known points tells nothing; four determine a homography."""

_CANDIDATES = 24
"""Random candidates of a frame; with a third of the points on objects, one of 24 is free of them in 99 % of frames."""

_SCORING_POINTS = 100
"""About so many points judge the candidates; all refine the winner."""

_ROUNDS = 5
"""Rounds of reweighting."""

_SMALLEST_PX = 0.1
"""Residuals below this are never outliers, however exact the tracks, pixels of a 128×128 frame."""

_FARTHEST = 4.0
"""What one frame can count against a point, in squared cuts: a single bad frame does not expel it."""

_STRETCH = 4.0
"""A homography that makes some corner of the frame so many times larger or smaller, or mirrors it, is no camera's."""

_RIDGE = 1e-8
"""Pull towards no motion, relative to the points' weights: points on a line leave some entries open."""


@torch.no_grad()
def estimate(window: TrackWindow) -> Float[Tensor, "*b v t 3 3"]:
    """The homography that takes each view's query frame to every frame, identity for the first.

    The dominant motion is that of most points, so an object that fills the frame passes for the scene. From a frame
    with fewer than `FEWEST_POINTS` points known in it and in the query frame on, the camera counts as still until more
    are known; likewise where a homography through those few would tear the rest of the frame apart.

    Args:
        window: Tracks; only points that are visible and valid are used.
    """
    known = known_positions(window)
    start = window.points[..., :1, :, :].expand_as(window.points[..., 1:, :, :])
    start, end = (torch.where(known[..., None], x, 0.0).double() for x in (start, window.points[..., 1:, :, :]))
    direct = _dominant(start, end, known)  # (*b, v, steps, 3, 3)
    told = (known.sum(dim=-1) >= FEWEST_POINTS) & _plausible(direct)
    motion = [torch.eye(3, dtype=direct.dtype, device=direct.device).expand_as(direct[..., 0, :, :])]
    for step in range(direct.shape[-3]):
        motion.append(torch.where(told[..., step, None, None], direct[..., step, :, :], motion[-1]))
    return torch.stack(motion, dim=-3).to(window.points.dtype)


def _plausible(homography: Tensor) -> Tensor:
    """Whether the homographies (…, 3, 3) keep the area around each corner of the frame within `_STRETCH`."""
    corners = torch.tensor([(x, y, 1.0) for x in (-1, 1) for y in (-1, 1)]).to(homography)
    depth = (homography[..., 2:, :] * corners).sum(dim=-1)  # (…, 4)
    # The determinant of a homography's Jacobian, for the ninth entry 1.
    area = torch.linalg.det(homography)[..., None] / depth.pow(3)
    return ((depth > 0) & (area > 1 / _STRETCH) & (area < _STRETCH)).all(dim=-1)


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
    # Written out: a matrix product would lose digits under autocast.
    (a, b, c), (d, e, f), (g, h, i) = (row.unbind(dim=-1) for row in homography[..., None, :, :].unbind(dim=-2))
    x, y = points.unbind(dim=-1)
    # Points at or behind the horizon of a bad estimate would fly to infinity.
    depth = (g * x + h * y + i).clamp_min(0.05)
    return torch.stack(((a * x + b * y + c) / depth, (d * x + e * y + f) / depth), dim=-1)


def _dominant(start: Tensor, end: Tensor, known: Tensor) -> Tensor:
    """Homographies (…, t, 3, 3) that take most of the known points (…, t, n, 2) from ``start`` to ``end``."""
    homography = _best_candidate(start, end, known)
    equations = _equations(start, end)
    for _ in range(_ROUNDS):
        squared = _squared_residuals(homography, start, end, known)
        # Three medians of the residual are 3.5 standard deviations where all of it is noise.
        cut = (9 * squared.nanmedian(dim=-1, keepdim=True).values).nan_to_num().clamp_min(_normal(_SMALLEST_PX) ** 2)
        outlying = (squared / cut).clamp_max(_FARTHEST).nanmean(dim=-2, keepdim=True).nan_to_num()
        homography = _least_squares(equations, end - start, known * (1 - outlying).clamp_min(0).square())
    return homography


def _best_candidate(start: Tensor, end: Tensor, known: Tensor) -> Tensor:
    """The candidate (…, t, 3, 3) with the least median residual: no motion, a shift, or one through four points."""
    still = torch.eye(3, dtype=start.dtype, device=start.device).expand(*known.shape[:-1], 3, 3)
    shift = still.clone()
    shift[..., :2, 2] = torch.where(known[..., None], end - start, torch.nan).nanmedian(dim=-2).values.nan_to_num()
    # Known points come first, so that a share of their number is one of them.
    order = (~known).byte().argsort(dim=-1, stable=True)
    generator = torch_generator(0, "camera-motion")
    share = torch.rand(known.shape[-2], _CANDIDATES, 4, generator=generator).to(start)
    number = (share * known.sum(dim=-1)[..., None, None]).long()  # (…, t, candidates, 4)
    picked = order.gather(-1, number.flatten(-2))[..., None].expand(*known.shape[:-1], -1, 2)
    four = [points.gather(-2, picked).unflatten(-2, (_CANDIDATES, 4)) for points in (start, end)]
    through = _least_squares(_equations(*four), four[1] - four[0], torch.ones_like(four[0][..., 0]))
    judges = slice(None, None, max(1, known.shape[-1] // _SCORING_POINTS))
    start, end, known = start[..., judges, :], end[..., judges, :], known[..., judges]
    best, least = still, torch.full(known.shape[:-1], torch.inf, dtype=start.dtype, device=start.device)
    for candidate in (still, shift, *through.unbind(dim=-3)):
        median = _squared_residuals(candidate, start, end, known).nanmedian(dim=-1).values.nan_to_num(torch.inf)
        best = torch.where((median < least)[..., None, None], candidate, best)
        least = torch.minimum(median, least)
    return best


def _squared_residuals(homography: Tensor, start: Tensor, end: Tensor, known: Tensor) -> Tensor:
    """Squared distance of each point (…, n) from where the homography takes it, NaN where it is not known."""
    return torch.where(known, (_apply(homography, start) - end).square().sum(dim=-1), torch.nan)


def _equations(start: Tensor, end: Tensor) -> Tensor:
    """The direct linear equations of the points (…, n, 2) in a homography's first eight entries, (…, 2n, 8)."""
    homogeneous = torch.cat((start, torch.ones_like(start[..., :1])), dim=-1)
    empty = torch.zeros_like(homogeneous)
    affine = torch.stack((torch.cat((homogeneous, empty), dim=-1), torch.cat((empty, homogeneous), dim=-1)), dim=-2)
    return torch.cat((affine, -end[..., :, None] * start[..., None, :]), dim=-1).flatten(-3, -2)


def _least_squares(equations: Tensor, moved: Tensor, weight: Tensor) -> Tensor:
    """The homographies (…, 3, 3) with the least weighted error in equations of points moved by (…, n, 2)."""
    weight = weight / weight.sum(dim=-1, keepdim=True).clamp_min(1e-12)
    # Normal equations of the change from "still"; the ninth entry is fixed at 1.
    weighted = equations.mT * weight.repeat_interleave(2, dim=-1)[..., None, :]
    normal = weighted @ equations + _RIDGE * torch.eye(8, dtype=moved.dtype, device=moved.device)
    change = torch.linalg.solve(normal, weighted @ moved.flatten(-2)[..., None])[..., 0]
    still = torch.eye(3, dtype=moved.dtype, device=moved.device)
    return still + torch.cat((change, torch.zeros_like(change[..., :1])), dim=-1).unflatten(-1, (3, 3))


def _normal(px: float) -> float:
    return px * 2 / EVALUATION_SIZE_PX
