"""Point tracks from patches: pyramidal Lucas–Kanade with a forward–backward check."""

import cv2
import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from amplify.config import Config
from amplify.coords import (
    EVALUATION_SIZE_PX,
    displacements_to_pixels,
    inside_frame,
    pixels_to_points,
    points_to_pixels,
)
from amplify.tracks.pairwise import SMALLEST_PX, grey_frames
from amplify.tracks.windows import Step, chain
from amplify.types import Clip, TrackWindow

LOST_PX = float(EVALUATION_SIZE_PX)
"""The error of a step at which a point was not found at all."""


class LucasKanadeConfig(Config):
    """How patches are followed.

    Args:
        side_px: Larger frames are first reduced to this shorter side.
        window_px: Side of the patch around a point, in pixels of the reduced frames.
        levels: Times the frames are halved to find large motions.
        fb_limit_px: A point is taken to be lost at a step whose forward–backward error is larger, in pixels of a
            128×128 frame.
    """

    side_px: int = Field(default=EVALUATION_SIZE_PX, ge=SMALLEST_PX)
    window_px: int = Field(default=15, ge=3)
    levels: int = Field(default=3, ge=0, le=8)
    fb_limit_px: float = Field(default=1.0, gt=0)


class LucasKanadeTracker:
    """Follows each point by the patch around it (Bouguet, 2001, as in OpenCV), from each frame to the next.

    A point that is not found stays where it was, is not visible, and is looked for again in the next frame.
    """

    name = "lucas-kanade"
    version = "1"

    def __init__(self, config: LucasKanadeConfig | None = None):
        self.config = config or LucasKanadeConfig()

    @property
    def settings(self) -> dict[str, str | int | float | bool]:
        """What changes the result."""
        return self.config.model_dump()

    def track(self, clip: Clip, queries: Float[Tensor, "n 2"], *, horizon: int) -> TrackWindow:
        """The queries, re-initialised at every frame and followed by patches; see `amplify.protocols.Tracker`.

        Raises:
            DataError: The clip has no frame.
            UsageError: ``horizon`` is not positive.
        """
        queries = queries.to(torch.float32)
        frames = grey_frames(clip, side_px=self.config.side_px)
        size_px = (frames.shape[2], frames.shape[1])
        config = self.config

        def follow(before: np.ndarray, after: np.ndarray, points: Tensor) -> tuple[Tensor, Tensor]:
            at_px = points_to_pixels(points, size_px).reshape(-1, 1, 2).numpy()
            window = (config.window_px, config.window_px)
            # Starting from the point itself; the last two results are status and patch difference.
            found_px, status, _ = cv2.calcOpticalFlowPyrLK(
                before, after, at_px, at_px.copy(), winSize=window, maxLevel=config.levels
            )
            there = torch.from_numpy(status.astype(bool)).reshape(points.shape[:-1])
            return pixels_to_points(torch.from_numpy(found_px).reshape(points.shape), size_px), there

        def advance(t: int, _starts: Tensor, points: Tensor) -> Step:
            moved, there = follow(frames[t], frames[t + 1], points)
            back, again = follow(frames[t + 1], frames[t], moved)
            error_px = displacements_to_pixels(back - points, EVALUATION_SIZE_PX).norm(dim=-1)
            there &= again & moved.isfinite().all(dim=-1) & (error_px < LOST_PX)
            moved = torch.where(there[..., None], moved, points)
            error_px = torch.where(there, error_px, LOST_PX)
            return Step(moved, inside_frame(moved) & (error_px <= config.fb_limit_px), error_px)

        seen = inside_frame(queries).expand(len(frames), -1)
        return chain(advance, queries, frames=len(frames), horizon=horizon, visible=seen)
