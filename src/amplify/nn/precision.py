"""Weights of fewer bits, for acting only: a pass over one window takes as long as it takes to read the weights."""

import copy
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear

from amplify.errors import UsageError, pick

Model = TypeVar("Model", bound=nn.Module)


class _ForUseOnly(nn.Module):
    """A layer that cannot learn any more."""

    def train(self, mode: bool = True) -> "_ForUseOnly":
        """Refuses training.

        Raises:
            UsageError: ``mode`` is true.
        """
        if mode:
            raise UsageError(
                "weights of fewer bits cannot be trained", remedy="train in float32 and convert what was trained"
            )
        return super().train(mode)


class BrainFloatLinear(_ForUseOnly):
    """A linear map in bfloat16, input and output in the caller's type.

    Args:
        original: The map in full precision.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, original: nn.Linear):
        super().__init__()
        self.register_buffer("weight", original.weight.detach().bfloat16())
        self.register_buffer("bias", None if original.bias is None else original.bias.detach().bfloat16())

    def forward(self, x: Float[Tensor, "*b i"]) -> Float[Tensor, "*b o"]:
        """The mapped input."""
        return linear(x.bfloat16(), self.weight, self.bias).to(x.dtype)


class IntegerLinear(_ForUseOnly):
    """A linear map in 8-bit integers: each output's weights have a scale, and so has each call's input. CPU only.

    Args:
        original: The map in full precision.

    Raises:
        UsageError: It is not on the CPU.
    """

    def __init__(self, original: nn.Linear):
        super().__init__()
        weight = original.weight.detach()
        if weight.device.type != "cpu":
            raise UsageError("8-bit weights are for the CPU", got=weight.device, remedy="use bfloat16 there")
        self.packed = _packed(weight, None if original.bias is None else original.bias.detach())
        self.seven_bits = _overflows()

    def forward(self, x: Float[Tensor, "*b i"]) -> Float[Tensor, "*b o"]:
        """The mapped input."""
        return torch.ops.quantized.linear_dynamic(x, self.packed, self.seven_bits)


def _packed(weight: Float[Tensor, "o i"], bias: Float[Tensor, " o"] | None) -> Any:
    scales = weight.abs().amax(dim=1).clamp_min(1e-12) / 127
    with warnings.catch_warnings():
        # PyTorch means to retire this kind of tensor, and has no other kernel that is as fast for a few rows.
        warnings.simplefilter("ignore", UserWarning)
        rounded = torch.quantize_per_channel(weight, scales, torch.zeros_like(scales).long(), 0, torch.qint8)
        return torch.ops.quantized.linear_prepack(rounded, bias)


@cache
def _overflows() -> bool:
    """Whether this processor adds products of 8-bit numbers in 16 bits, where only 7-bit inputs never overflow.

    Those without instructions for neural networks (VNNI) do: half of a large sum was lost on one.
    """
    x, weight = torch.full((1, 16), 255.0), torch.full((1, 16), 127.0)
    product = torch.ops.quantized.linear_dynamic(x, _packed(weight, None), False)
    return bool((product - x @ weight.T).abs() > 0.02 * product.abs())


PRECISIONS: dict[str, Callable[[nn.Linear], nn.Module] | None] = {
    "float32": None,
    "bfloat16": BrainFloatLinear,
    "int8": IntegerLinear,
}
"""How the weights of linear maps can be held: None leaves them as they are."""


def converted(module: Model, precision: str) -> Model:
    """A model with the same function, its linear maps held in another precision; the original stays as it is.

    Norms, embeddings and scalers keep theirs, and so do linear maps of a kind of their own, such as
    `amplify.forward.classifier.LevelClassifier`.

    Args:
        module: In float32, on the device where it will be used.
        precision: One of `PRECISIONS`.

    Returns:
        A model in evaluation mode that cannot be trained; the module itself for "float32".

    Raises:
        UnknownNameError: No such precision.
        UsageError: "int8" for a model that is not on the CPU.
    """
    layer = pick(precision, PRECISIONS, kind="precision")
    if layer is None:
        return module
    module = copy.deepcopy(module).eval()
    _replace(module, layer)
    return module


def _replace(module: nn.Module, layer: Callable[[nn.Linear], nn.Module]) -> None:
    for name, child in module.named_children():
        if type(child) is nn.Linear:
            setattr(module, name, layer(child).eval())
        elif not isinstance(child, nn.Linear):
            _replace(child, layer)
