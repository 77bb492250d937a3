"""Point tracks from dense optical flow: no weights, no GPU, any video.

Flow is computed once per pair of consecutive frames, in both directions, and followed from every start frame.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from amplify.coords import EVALUATION_SIZE_PX, displacements_to_pixels, inside_frame
from amplify.errors import DataError
from amplify.tracks.dense import FlowConfig, dense_flow, sample
from amplify.tracks.windows import Step, chain
from amplify.types import Clip, TrackWindow


class FlowTracker:
    """Follows points by chained DIS optical flow (Kroeger et al., 2016, as in OpenCV).

    ``error_px`` is the largest forward–backward error |p − back(forward(p))| of any step so far. A point is *visible*
    while it is inside the frame and the current step's error is below `FlowConfig.fb_limit_px`: this notices
    occlusion at the moment when it happens but has no memory, so a point that was lost and then rests on what covered
    it counts as visible again. Treat visibility as a hint and ``error_px`` as the trust.
    """

    name = "flow"
    version = "1"

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
        if len(clip.frames) == 0:
            raise DataError(f"camera {clip.camera!r} has a clip without frames", remedy="record the episode again")
        pairs = dense_flow(clip.frames, self.config)
        queries = queries.to(torch.float32)

        def advance(_t: int, _starts: Tensor, points: Tensor) -> Step:
            flow = next(pairs)
            moved = points + sample(flow.forward, points)
            error_px = displacements_to_pixels(moved + sample(flow.backward, moved) - points, EVALUATION_SIZE_PX).norm(
                dim=-1
            )
            return Step(moved, inside_frame(moved) & (error_px <= self.config.fb_limit_px), error_px)

        visible = inside_frame(queries).expand(len(clip.frames), -1)
        return chain(advance, queries, frames=len(clip.frames), horizon=horizon, visible=visible)
