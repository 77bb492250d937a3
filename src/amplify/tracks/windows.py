"""Windows of tracks: chaining motion from frame to frame into windows that start anew at every frame."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from amplify.errors import UsageError, pick
from amplify.types import TrackWindow


class Step(NamedTuple):
    """Where the live points are one frame later.

    Args:
        points: Normalised (x, y), one row a live window.
        visible: Whether each can be seen there.
        error_px: Estimated error of this step alone, in pixels of a 128×128 frame.
    """

    points: Float[Tensor, "w n 2"]
    visible: Bool[Tensor, "w n"]
    error_px: Float[Tensor, "w n"]


Advance = Callable[[int, Int[Tensor, " w"], Float[Tensor, "w n 2"]], Step]
"""``(t, starts, points)`` → where the points of the windows that began at frames ``starts`` are at frame t + 1."""


def chain(
    advance: Advance,
    queries: Float[Tensor, "n 2"],
    *,
    frames: int,
    horizon: int,
    visible: Bool[Tensor, "t n"] | None = None,
) -> TrackWindow:
    """Windows of shape (frames, 1 view, horizon, n), one from every frame, advanced together one frame at a time.

    Each frame pair is visited once, whatever the horizon, so motion may be computed as it is needed and forgotten.
    Past the end the last position is repeated, with ``valid`` and ``visible`` False. ``error_px`` is the largest
    error of any step so far: a threshold on it asks whether *every* step was good.

    Args:
        advance: Moves points from one frame to the next.
        queries: Normalised start points.
        frames: Length of the clip.
        horizon: Frames of a window, the query frame included.
        visible: Whether each query is seen at each start frame; all are by default.

    Raises:
        UsageError: ``horizon`` is not positive or there is no frame.
    """
    if horizon < 1 or frames < 1:
        raise UsageError("a window needs at least one frame", got=f"horizon {horizon}, {frames} frames", allowed="≥ 1")
    n = len(queries)
    points = queries.expand(frames, horizon, n, 2).clone()
    seen = torch.zeros(frames, horizon, n, dtype=torch.bool)
    seen[:, 0] = True if visible is None else visible
    error_px = torch.zeros(frames, horizon, n)
    for t in range(frames - 1):
        starts = torch.arange(max(0, t + 2 - horizon), t + 1)
        if len(starts) == 0:
            break
        age = t - starts
        step = advance(t, starts, points[starts, age])
        points[starts, age + 1] = step.points
        seen[starts, age + 1] = step.visible
        error_px[starts, age + 1] = torch.maximum(error_px[starts, age], step.error_px)
    last = (frames - 1 - torch.arange(frames))[:, None].clamp(max=horizon - 1)
    ages = torch.arange(horizon)[None]
    held = torch.minimum(ages, last)  # (t, horizon): past the end, the age of the last frame
    rows = torch.arange(frames)[:, None]
    valid = ages <= last
    return TrackWindow(
        points=points[rows, held][:, None],
        visible=(seen & valid[..., None])[:, None],
        valid=valid[:, None],
        error_px=error_px[rows, held][:, None],
    )


def resample(window: TrackWindow, steps: int, *, method: Literal["linear", "cubic"] = "linear") -> TrackWindow:
    """The same span of time seen at another number of frames, both ends included.

    A new frame is valid (visible) only where both frames around it are; its error is the larger of the two. ``cubic``
    is Hermite interpolation with central-difference slopes, one-sided where a window begins or stops being valid, so
    that padding never bends the valid part.

    Args:
        window: Any leading axes.
        steps: Frames of the result.
        method: Straight lines between frames, or a smooth curve through them.

    Raises:
        UsageError: ``steps`` is not positive.
        UnknownNameError: The method is neither of the two.
    """
    if steps < 1:
        raise UsageError("cannot resample tracks to so few frames", got=steps, allowed="1, 2, …")
    slopes = pick(method, {"linear": None, "cubic": _slopes}, kind="interpolation")
    count = window.points.shape[-3]
    at = torch.linspace(0, count - 1, steps, dtype=torch.float64, device=window.points.device)
    low = at.floor().long()
    high = at.ceil().long()
    u = (at - low).to(window.points.dtype)[:, None, None]
    p0, p1 = window.points[..., low, :, :], window.points[..., high, :, :]
    points = torch.lerp(p0, p1, u)
    if slopes is not None:
        m = slopes(window)
        m0, m1 = m[..., low, :, :], m[..., high, :, :]
        bump = u * (1 - u)
        # Hermite = straight line + what the slopes add to it.
        points = points + bump * ((1 - u) * (m0 - (p1 - p0)) - u * (m1 - (p1 - p0)))
    error_px = window.error_px
    return TrackWindow(
        points=points,
        visible=window.visible[..., low, :] & window.visible[..., high, :],
        valid=window.valid[..., low] & window.valid[..., high],
        error_px=None if error_px is None else torch.maximum(error_px[..., low, :], error_px[..., high, :]),
    )


def _slopes(window: TrackWindow) -> Tensor:
    usable = (window.valid[..., 1:] & window.valid[..., :-1]).to(window.points.dtype)[..., None, None]
    total = torch.zeros_like(window.points)
    count = torch.zeros_like(window.points[..., :1])
    total[..., 1:, :, :] += window.velocities * usable
    total[..., :-1, :, :] += window.velocities * usable
    count[..., 1:, :, :] += usable
    count[..., :-1, :, :] += usable
    return total / count.clamp(min=1)
