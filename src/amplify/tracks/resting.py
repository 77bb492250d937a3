"""Which points rest: what a static camera sees again and again at the same pixel is not on anything that moves.

Flow alone drags the background along when an arm sweeps over it. The look of a pixel over time tells them apart: a
surface at rest is seen again once the arm has passed, a moving one is seen there for a short time only.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from amplify.coords import points_to_pixels
from amplify.tracks.queries import uniform_grid

SPAN_FRAMES = 30
"""How far into past and future a look is searched for."""
SAME_LEVELS = 8
"""Looks (of 255 levels) that differ less are the same, but for noise and compression."""
LOOK_BLUR_PX = 0.6
"""The look of a pixel is a narrow Gaussian mean of 3×3: less noise, and little of a neighbour across an edge."""
RECURRING_SHARE = 0.25
"""A look that is found in this share of the other frames nearby belongs to a surface at rest."""
STATIC_CAMERA_SHARE = 0.5
"""With fewer resting places in the frame, the camera moves and nothing is taken to rest."""
LEFT_SHARE = 0.1
LEFT_FRAMES = 4
"""A surface has left when it is seen in at most `LEFT_SHARE` of the later frames, of which there must be this many."""
AWAY_FRAMES = 2
"""A look is gone when it is not seen in so many frames in a row."""
RETURNING_SHARE = 0.3
"""A look that comes and goes is at rest only if it is seen again in this share of the frames before and after."""
PROBES_SIDE = 16


@dataclass(frozen=True, slots=True)
class Resting:
    """What is known of the surfaces at the queries, for every frame of a clip.

    Args:
        resting: Whether the surface seen at each query at frame t stays where it is.
        leaving: Whether it was seen there for long up to frame t and is not seen there later: it may set off, or be
            covered until the end.
        covered: Whether the query's look at frame t + age differs from that at frame t; index (age, t, n).
    """

    resting: Bool[Tensor, "t n"]
    leaving: Bool[Tensor, "t n"]
    covered: Bool[Tensor, "ages t n"]

    def covered_at(self, frame: int, starts: Int[Tensor, " w"]) -> Bool[Tensor, "w n"]:
        """Whether each query of the windows that began at ``starts`` is covered at a frame."""
        return self.covered[frame - starts, starts]


def resting_points(
    frames: UInt8[np.ndarray, "t h w 3"], queries: Float[Tensor, "n 2"], *, horizon: int
) -> Resting | None:
    """What rests at the queries; None where the camera seems to move.

    Args:
        frames: uint8 RGB.
        queries: Normalised points.
        horizon: Frames of a window.
    """
    places = torch.cat([queries, uniform_grid(PROBES_SIDE)])
    looks = _looks(frames, places)
    count, n = len(frames), len(queries)
    covered = np.zeros((horizon, count, n), bool)
    seen = np.zeros((count, len(places)), np.int32)
    later, beyond, returned = np.zeros_like(seen), np.zeros_like(seen), np.zeros_like(seen)
    away = np.zeros((2, *seen.shape), np.int32)
    gone = np.zeros(away.shape, bool)
    for apart in range(1, min(count, max(SPAN_FRAMES + 1, horizon))):
        difference = np.abs(looks[apart:] - looks[:-apart]).max(axis=-1)  # (t - apart, places)
        if apart < horizon:
            covered[apart, :-apart] = difference[:, :n] >= SAME_LEVELS
        if apart <= SPAN_FRAMES:
            same = difference < SAME_LEVELS
            seen[apart:] += same
            seen[:-apart] += same
            later[:-apart] += same
            for side, at in enumerate((slice(None, -apart), slice(apart, None))):
                returned[at] += gone[side, at] & same
                beyond[at] += gone[side, at]
                away[side, at] = np.where(same, 0, away[side, at] + 1)
                gone[side, at] |= away[side, at] >= AWAY_FRAMES
    t = np.arange(count)[:, None]
    after = np.minimum(count - 1 - t, SPAN_FRAMES)
    nearby = after + np.minimum(t, SPAN_FRAMES)
    passes = gone.all(axis=0) & (returned < RETURNING_SHARE * beyond)
    resting = (seen >= RECURRING_SHARE * nearby) & ~passes
    if resting[:, n:].mean() < STATIC_CAMERA_SHARE:
        return None
    leaving = resting & (later <= LEFT_SHARE * after) & (after >= LEFT_FRAMES)
    return Resting(
        resting=torch.from_numpy(resting[:, :n]),
        leaving=torch.from_numpy(leaving[:, :n]),
        covered=torch.from_numpy(covered),
    )


def _looks(frames: UInt8[np.ndarray, "t h w 3"], points: Float[Tensor, "n 2"]) -> np.ndarray:
    height, width = frames.shape[1:3]
    px = points_to_pixels(points, (width, height)).round().long().numpy()
    x, y = px[:, 0].clip(0, width - 1), px[:, 1].clip(0, height - 1)
    return np.stack([cv2.GaussianBlur(frame, (3, 3), LOOK_BLUR_PX)[y, x] for frame in frames]).astype(np.int16)
