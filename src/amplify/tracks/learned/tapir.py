"""BootsTAPIR (Doersch et al., 2024), through the PyTorch code of google-deepmind/tapnet."""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int, UInt8
from pydantic import Field
from torch import Tensor

from amplify.coords import inside_frame
from amplify.tracks.learned.code import imported
from amplify.tracks.learned.config import LearnedConfig
from amplify.tracks.learned.tapnet import WEIGHTS, TapnetTracker
from amplify.tracks.learned.tracker import resized
from amplify.tracks.learned.weights import fill, read_weights

QUERIES_AT_ONCE = 64
"""Points whose cost volumes lie in memory together."""


class TapirConfig(LearnedConfig):
    """Settings of BootsTAPIR; further ones in `LearnedConfig`.

    Args:
        side_px: Frames are scaled to a square of this side; 256 is fast, 512 is better.
    """

    batch: int = Field(default=16, ge=1)
    side_px: int = Field(default=256, ge=64, multiple_of=8)


class TapirNetwork:
    """TAPIR in its own steps, so that the features of a frame serve all windows that it is part of.

    It counts pixels from the outer edge of the first one, takes queries as (t, y, x) and RGB from −1 to 1, and says
    occlusion and doubt as logits.

    Args:
        model: ``tapnet.torch.tapir_model.TAPIR``.
        side_px: See `TapirConfig`.
    """

    def __init__(self, model: Any, side_px: int):
        self._model = model
        self._side_px = side_px

    def follow(
        self, frames: UInt8[Tensor, "f h w 3"], order: Int[Tensor, "b t"], queries: Float[Tensor, "n 2"]
    ) -> tuple[Float[Tensor, "b t n 2"], Bool[Tensor, "b t n"]]:
        """See `amplify.tracks.learned.tracker.Network`."""
        side, model = self._side_px, self._model
        video = resized(frames, (side, side)).permute(0, 2, 3, 1) / 127.5 - 1
        grids = model.get_feature_grids(video[None].contiguous(), False)
        of_windows = grids._replace(
            lowres=tuple(grid[0][order] for grid in grids.lowres), hires=tuple(grid[0][order] for grid in grids.hires)
        )
        at_px = (queries + 1) * side / 2
        asked = torch.cat([torch.zeros_like(at_px[:, :1]), at_px.flip(-1)], dim=-1).repeat(len(order), 1, 1)
        # Of the video only the shape is read from here on.
        shaped = video.new_zeros(()).expand(*order.shape, side, side, 3)
        features = model.get_query_features(shaped, False, asked, of_windows)
        found = model.estimate_trajectories(
            (side, side), False, of_windows, features, asked, query_chunk_size=QUERIES_AT_ONCE
        )
        tracks_px, occluded, far = (self._refined(found[key]) for key in ("tracks", "occlusion", "expected_dist"))
        points = tracks_px.float().transpose(1, 2) * 2 / side - 1
        seen = (1 - occluded.float().sigmoid()) * (1 - far.float().sigmoid()) > 0.5
        return points, seen.transpose(1, 2) & inside_frame(points)

    def _refined(self, iterations: list[Tensor]) -> Tensor:
        """The mean over resolutions of what each resolution's last iteration says."""
        each = int(self._model.num_pips_iter)
        return torch.stack(iterations[each::each]).mean(dim=0)


class BootsTapir(TapnetTracker):
    """BootsTAPIR that sees whole windows."""

    name = "bootstapir"
    url = f"{WEIGHTS}/bootstap/bootstapir_checkpoint_v2.pt"
    config: TapirConfig

    def __init__(self, config: TapirConfig | None = None):
        super().__init__(config or TapirConfig())

    @property
    def settings(self) -> dict[str, str | int | float | bool]:
        """What changes the result."""
        return super().settings | {"side_px": self.config.side_px}

    def load(self, device: torch.device) -> TapirNetwork:
        """The network with its weights."""
        model = imported("tapnet.torch.tapir_model", self.config.code).TAPIR(pyramid_level=1)
        fill(model, read_weights(self.weights), path=self.weights)
        return TapirNetwork(model.to(device).eval(), self.config.side_px)
