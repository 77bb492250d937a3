"""Point tracks by chained optical flow and nothing else: the baseline that everybody knows."""

from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn.functional import grid_sample

from amplify.config import Config
from amplify.coords import EVALUATION_SIZE_PX, displacements_from_pixels, displacements_to_pixels, inside_frame
from amplify.tracks.pairwise import SMALLEST_PX, grey_frames
from amplify.tracks.windows import Step, chain
from amplify.types import Clip, TrackWindow

SOLVER_PX = 48
"""Below this side the coarsest level of the flow pyramid would be smaller than one patch."""


class DisConfig(Config):
    """How dense flow is computed and followed.

    Args:
        side_px: Larger frames are first reduced to this shorter side.
        enlarge: Flow is computed on frames enlarged this much: finer small motions.
        fb_limit_px: A point is taken to be lost at a step whose forward–backward error is larger, in pixels of a
            128×128 frame.
    """

    side_px: int = Field(default=EVALUATION_SIZE_PX, ge=SMALLEST_PX)
    enlarge: int = Field(default=2, ge=1, le=4)
    fb_limit_px: float = Field(default=2.0, gt=0)


class DisTracker:
    """Adds up DIS flow of grey frames (Kroeger et al., 2016, as in OpenCV), forwards for motion, backwards for trust.

    No masks, no models, no memory: what `amplify.tracks.flow` improves on, and what it is compared with.
    """

    name = "dis"
    version = "1"

    def __init__(self, config: DisConfig | None = None):
        self.config = config or DisConfig()

    @property
    def settings(self) -> dict[str, str | int | float | bool]:
        """What changes the result."""
        return self.config.model_dump()

    def track(self, clip: Clip, queries: Float[Tensor, "n 2"], *, horizon: int) -> TrackWindow:
        """The queries, re-initialised at every frame and followed by flow; see `amplify.protocols.Tracker`.

        Raises:
            DataError: The clip has no frame.
            UsageError: ``horizon`` is not positive.
        """
        queries = queries.to(torch.float32)
        frames = grey_frames(clip, side_px=self.config.side_px, enlarge=self.config.enlarge)
        small = min(frames.shape[1:3])
        if small < SOLVER_PX:
            frames = np.stack([cv2.resize(frame, None, fx=SOLVER_PX / small, fy=SOLVER_PX / small) for frame in frames])
        # OpenCV's stubs refuse None for the flow to start from, its function wants it.
        solver: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

        def advance(t: int, _starts: Tensor, points: Tensor) -> Step:
            moved = points + _sampled(solver.calc(frames[t], frames[t + 1], None), points)
            back = moved + _sampled(solver.calc(frames[t + 1], frames[t], None), moved)
            error_px = displacements_to_pixels(back - points, EVALUATION_SIZE_PX).norm(dim=-1)
            return Step(moved, inside_frame(moved) & (error_px <= self.config.fb_limit_px), error_px)

        seen = inside_frame(queries).expand(len(frames), -1)
        return chain(advance, queries, frames=len(frames), horizon=horizon, visible=seen)


def _sampled(flow_px: np.ndarray, points: Tensor) -> Tensor:
    """The flow at points (w, n, 2), normalised, bilinear; beyond the edge that of the edge."""
    height, width = flow_px.shape[:2]
    field = displacements_from_pixels(torch.from_numpy(flow_px), (width, height)).permute(2, 0, 1)[None]
    at = grid_sample(field, points[None], mode="bilinear", padding_mode="border", align_corners=False)
    return at[0].permute(1, 2, 0)
