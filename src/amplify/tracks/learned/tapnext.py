"""TAPNext and TAPNext++ (Zholus et al., 2025), through the PyTorch code of google-deepmind/tapnet."""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int, UInt8
from pydantic import Field
from torch import Tensor

from amplify.coords import inside_frame
from amplify.errors import DataError
from amplify.tracks.learned.code import imported
from amplify.tracks.learned.config import LearnedConfig
from amplify.tracks.learned.tapnet import WEIGHTS, TapnetTracker
from amplify.tracks.learned.tracker import resized
from amplify.tracks.learned.weights import fill, read_weights

MODEL_PX = 256
"""The side of the frame in which queries and tracks are counted, whatever the frame's size."""


class TapNextConfig(LearnedConfig):
    """Settings of TAPNext; further ones in `LearnedConfig`.

    Args:
        side_px: Frames are scaled to a square of this side: what the checkpoint was trained with (256, or 512).
    """

    side_px: int = Field(default=MODEL_PX, ge=64, multiple_of=8)


class TapNextNetwork:
    """TAPNext on whole windows.

    It counts pixels of a 256×256 frame from the outer edge of the first one, takes queries as (t, y, x) and RGB from
    −1 to 1, and gives tracks as (y, x).

    Args:
        model: ``tapnet.tapnext.tapnext_torch.TAPNext``.
        side_px: See `TapNextConfig`.
    """

    def __init__(self, model: Any, side_px: int):
        self._model = model
        self._side_px = side_px

    def follow(
        self, frames: UInt8[Tensor, "f h w 3"], order: Int[Tensor, "b t"], queries: Float[Tensor, "n 2"]
    ) -> tuple[Float[Tensor, "b t n 2"], Bool[Tensor, "b t n"]]:
        """See `amplify.tracks.learned.tracker.Network`."""
        video = resized(frames, (self._side_px, self._side_px)).permute(0, 2, 3, 1) / 127.5 - 1
        at_px = (queries + 1) * MODEL_PX / 2
        asked = torch.cat([torch.zeros_like(at_px[:, :1]), at_px.flip(-1)], dim=-1).repeat(len(order), 1, 1)
        tracks_px, _, visible, _ = self._model(video[order], query_points=asked)
        points = tracks_px.float().flip(-1) * 2 / MODEL_PX - 1
        return points, (visible[..., 0] > 0) & inside_frame(points)


class TapNext(TapnetTracker):
    """TAPNext++, or TAPNext, whichever checkpoint is given."""

    name = "tapnext"
    url = f"{WEIGHTS}/tapnextpp/tapnextpp_ckpt.pt"
    config: TapNextConfig

    def __init__(self, config: TapNextConfig | None = None):
        super().__init__(config or TapNextConfig())

    @property
    def settings(self) -> dict[str, str | int | float | bool]:
        """What changes the result."""
        return super().settings | {"side_px": self.config.side_px}

    def load(self, device: torch.device) -> TapNextNetwork:
        """The network with its weights: PyTorch's, or those of the JAX version in an .npz file."""
        model = imported("tapnet.tapnext.tapnext_torch", self.config.code).TAPNext(image_size=(MODEL_PX, MODEL_PX))
        path = self.weights
        if path.suffix == ".npz":
            converter = imported("tapnet.tapnext.tapnext_torch_utils", self.config.code)
            try:
                converter.restore_model_from_jax_checkpoint(model, path)
            except (KeyError, ValueError, RuntimeError, OSError) as error:
                raise DataError(f"{path} does not hold TAPNext's arrays", got=error) from error
        else:
            fill(model, read_weights(path, prefix="tapnext."), path=path)
        return TapNextNetwork(model.to(device).eval(), self.config.side_px)
