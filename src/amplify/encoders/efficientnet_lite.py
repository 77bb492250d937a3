"""EfficientNet-Lite0, a convolutional network without squeeze-and-excitation and with ReLU6, made for small machines.

Batch normalisation is folded into the convolutions, which is exact in real arithmetic and saves a pass over every map.

Source: Tan & Le, EfficientNet, ICML 2019; the Lite variants of the TensorFlow TPU repository.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

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
