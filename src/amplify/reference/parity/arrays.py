"""Stored arrays as tensors, and the gradients of the reference's own tensors."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from amplify.errors import BundleError
from amplify.reference.importer import Converted
from amplify.reference.parity.comparison import Value

Stored = Mapping[str, np.ndarray]
Values = Mapping[str, Callable[[], Value]]


class _Calling(nn.Module):
    """A module whose forward pass is any function of another."""

    def __init__(self, module: nn.Module, function: Callable[[Any], Tensor]):
        super().__init__()
        self.module, self.function = module, function

    def forward(self) -> Tensor:
        return self.function(self.module)


def gradient_norms(
    converted: Converted[Any], loss: Callable[[Any], Tensor], also: Mapping[str, Tensor] | None = None
) -> dict[str, float]:
    """The norm of the loss's gradient by each of the reference's own tensors.

    Args:
        converted: The model.
        loss: Our module → a scalar.
        also: Entries of our module's state to replace.
    """
    leaves = {
        name: value.detach().clone().requires_grad_(value.is_floating_point())
        for name, value in converted.part.weights.items()
    }
    with_state(converted.module, loss, {**converted.convert(leaves), **(also or {})}).backward()
    return {name: 0.0 if leaf.grad is None else float(leaf.grad.norm()) for name, leaf in leaves.items()}


def with_state(module: nn.Module, function: Callable[[Any], Tensor], state: Mapping[str, Tensor]) -> Tensor:
    """What a function of a module gives while entries of its state are replaced.

    Args:
        module: The module; it stays as it is.
        function: Module → tensor.
        state: Other values of its parameters and buffers, of any shape.
    """
    named = {f"module.{name}": value for name, value in state.items()}
    return functional_call(_Calling(module, function), named, ())


def tensor(stored: Stored, name: str) -> Tensor:
    """A stored array as a tensor.

    Raises:
        BundleError: The file lacks it.
    """
    if name not in stored:
        raise BundleError(f"the input {name} is missing")
    return torch.from_numpy(np.asarray(stored[name]))
