"""CUDA graphs: kernels recorded once and launched together, where launching each takes longer than it runs."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

WARM_UP = 3
"""Runs before a graph is recorded: kernels are chosen in the first ones."""


def recorded(function: Callable[[], Any]) -> tuple[torch.cuda.CUDAGraph, Any]:
    """A graph of the function's kernels, and what it returned, whose tensors every replay fills anew.

    Args:
        function: Works on tensors of a CUDA device that stay where they are, and never waits for the device.
    """
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            function()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = function()
    return graph, result


class Graphed:
    """A function of one tensor as CUDA graphs, recorded at the first call of each shape.

    Args:
        function: Without randomness, tensor to tensor, its argument on a CUDA device.
    """

    def __init__(self, function: Callable[[Tensor], Tensor]):
        self.function = function
        self._graphs: dict[torch.Size, tuple[Tensor, torch.cuda.CUDAGraph, Tensor]] = {}

    def __call__(self, x: Tensor, device: torch.device | str) -> Tensor:
        """The function's value.

        Args:
            x: The argument, on any device.
            device: Where it is computed.
        """
        with torch.no_grad():
            if x.shape not in self._graphs:
                given = x.to(device, copy=True)
                self._graphs[x.shape] = (given, *recorded(lambda: self.function(given)))
            given, graph, result = self._graphs[x.shape]
            given.copy_(x)
            graph.replay()
            return result.clone()
