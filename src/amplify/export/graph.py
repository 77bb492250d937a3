"""Functions of a bundle's models as modules with named tensors in and out: what a runtime without Python can run."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Tensors = dict[str, Tensor]


class Graph(nn.Module):
    """A function of named tensors whose arguments and results come in order.

    Args:
        models: Hold the weights that the function uses.
        function: Named tensors in, named tensors out.
        inputs: Names, in order.
    """

    def __init__(
        self, models: Iterable[nn.Module], function: Callable[[Mapping[str, Tensor]], Tensors], inputs: list[str]
    ):
        super().__init__()
        self.models = nn.ModuleList(models)
        self.function, self.inputs = function, inputs

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """The results in order."""
        return tuple(self.function(dict(zip(self.inputs, tensors))).values())


@dataclass(frozen=True, slots=True)
class Exported:
    """A function to be exported.

    Args:
        name: Of the file.
        about: What it computes.
        models: Hold the weights that it uses.
        function: Named tensors in, named tensors out.
        examples: Valid inputs for a seed.
    """

    name: str
    about: str
    models: tuple[nn.Module, ...]
    function: Callable[[Mapping[str, Tensor]], Tensors]
    examples: Callable[[int], Tensors]

    @property
    def graph(self) -> Graph:
        """The function as a module, in evaluation mode."""
        return Graph(self.models, self.function, list(self.examples(0))).eval()

    @torch.no_grad()
    def results(self, inputs: Mapping[str, Tensor]) -> Tensors:
        """What PyTorch computes."""
        return self.function(inputs)


def deviation(got: Tensor, wanted: Tensor) -> float:
    """Largest difference as a share of the largest wanted value; 1 for whole numbers that differ."""
    if not wanted.is_floating_point():
        return float(not torch.equal(got, wanted))
    return float((got - wanted).abs().max() / wanted.abs().max().clamp_min(1e-12))
