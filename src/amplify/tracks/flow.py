"""Point tracks from dense optical flow: no weights, no GPU, any video.

Flow is computed once per pair of consecutive frames, in both directions, and followed from every start frame. With a
static camera, points on surfaces at rest are held in place instead (`amplify.tracks.resting`), and flow is computed
only where something moves (`amplify.tracks.foreground`).
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from amplify.coords import EVALUATION_SIZE_PX, displacements_to_pixels, inside_frame
from amplify.errors import DataError
from amplify.tracks.dense import FlowConfig, dense_flow, reduced, sample
from amplify.tracks.foreground import camera_moves, foreground
from amplify.tracks.resting import Resting, resting_points
from amplify.tracks.windows import Advance, Step, chain
from amplify.types import Clip, TrackWindow

LEAVING_PX = 0.5
"""A step below this is not yet a departure from rest."""
LEAVING_ERROR_SHARE = 0.1
"""Flow is a departure from rest only if its forward–backward error is below this share of it."""


class FlowTracker:
    """Follows points by chained DIS optical flow (Kroeger et al., 2016, as in OpenCV).

    ``error_px`` is the largest forward–backward error |p − back(forward(p))| of any step so far, 0 for a point held
    at rest. A followed point is *visible* while it is inside the frame and the current step's error is below
    `FlowConfig.fb_limit_px`; this notices an occlusion when it happens but has no memory of it. A point held at rest
    is visible while its pixel looks as in the query frame. Take visibility as a hint, ``error_px`` as the trust.

    Limits: what covers a pixel with its own colour is not noticed; a moving object that stays over one place for more
    than about a quarter of two seconds is held until its look changes; textureless surfaces move too little.
    """

    name = "flow"
    version = "4"

    def __init__(self, config: FlowConfig | None = None):
        self.config = config or FlowConfig()

    @property
    def settings(self) -> dict[str, str | int | float | bool]:
        """What changes the result."""
        return self.config.model_dump()

    def track(self, clip: Clip, queries: Float[Tensor, "n 2"], *, horizon: int) -> TrackWindow:
        """The queries, re-initialised at every frame and followed by flow; see `amplify.protocols.Tracker`.

        Raises:
            DataError: The clip has no frame.
        """
        count = len(clip.frames)
        if count == 0:
            raise DataError(f"camera {clip.camera!r} has a clip without frames", remedy="record the episode again")
        queries = queries.to(torch.float32)
        frames = reduced(clip.frames, self.config.side_px)
        config, moves, resting = self.config, None, None
        if camera_moves(frames):
            # Of a moving camera the whole picture moves, and brightness has more texture than colour.
            config = config.model_copy(update={"channel": "grey"}) if config.channel == "auto" else config
        elif config.hold_resting:
            resting = resting_points(frames, queries, horizon=horizon)
            moves = None if resting is None else foreground(frames)
        follow = _follower(frames, config, moves)
        advance = follow if resting is None else _holding(resting, queries, follow)
        return chain(advance, queries, frames=count, horizon=horizon, visible=inside_frame(queries).expand(count, -1))


def _follower(
    frames: UInt8[np.ndarray, "t h w 3"], config: FlowConfig, moves: Bool[np.ndarray, "t h w"] | None
) -> Advance:
    pairs = dense_flow(frames, config, within=moves)

    def follow(_t: int, _starts: Tensor, points: Tensor) -> Step:
        flow = next(pairs)
        moved = points + sample(flow.forward, points)
        back = moved + sample(flow.backward, moved)
        error_px = displacements_to_pixels(back - points, EVALUATION_SIZE_PX).norm(dim=-1)
        return Step(moved, inside_frame(moved) & (error_px <= config.fb_limit_px), error_px)

    return follow


def _holding(resting: Resting, queries: Tensor, follow: Advance) -> Advance:
    """Follows only what has set off; a point that once moved is followed to the end of its window."""
    moving = torch.zeros_like(resting.resting)  # (start, n)

    def advance(t: int, starts: Tensor, points: Tensor) -> Step:
        step = follow(t, starts, points)
        speed_px = displacements_to_pixels(step.points - points, EVALUATION_SIZE_PX).norm(dim=-1)
        departs = resting.leaving[t] & (speed_px > LEAVING_PX) & (step.error_px < LEAVING_ERROR_SHARE * speed_px)
        moving[starts] |= (~resting.resting[t] | departs) & ~resting.covered_at(t, starts)
        follows = moving[starts]
        return Step(
            points=torch.where(follows[..., None], step.points, points),
            visible=torch.where(follows, step.visible, ~resting.covered_at(t + 1, starts) & inside_frame(queries)),
            error_px=torch.where(follows, step.error_px, torch.zeros_like(step.error_px)),
        )

    return advance
