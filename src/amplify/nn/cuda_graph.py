"""CUDA graphs: kernels recorded once and launched together, where launching each takes longer than it runs."""

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

logger = logging.getLogger(__name__)

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
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        result = function()
    return graph, result


def padded(batch: Tensor) -> Tensor:
    """The batch filled up to the next power of two with copies of its last element, so that few graphs do for all."""
    missing = (1 << (len(batch) - 1).bit_length()) - len(batch)
    return torch.cat((batch, batch[-1:].expand(missing, *batch.shape[1:]))) if missing else batch


class Graphed:
    """A function of a batch as CUDA graphs, recorded at the first call of each size (the next power of two).

    A function that cannot be recorded, because it waits for the device, is called plainly.

    Args:
        function: Tensor to tensor on a CUDA device, without randomness, each element of the batch on its own.
    """

    def __init__(self, function: Callable[[Tensor], Tensor]):
        self.function, self.fits = function, True
        self._graphs: dict[torch.Size, tuple[Tensor, torch.cuda.CUDAGraph, Tensor]] = {}

    def __call__(self, x: Tensor, device: torch.device | str) -> Tensor:
        """The function's value.

        Args:
            x: The argument, on any device.
            device: Where it is computed.
        """
        with torch.no_grad():
            count, x = len(x), padded(x)
            if self.fits and x.shape not in self._graphs:
                self._record(x.to(device, copy=True))
            if not self.fits:
                return self.function(x[:count].to(device))
            given, graph, result = self._graphs[x.shape]
            given.copy_(x)
            graph.replay()
            return result[:count].clone()

    def _record(self, given: Tensor) -> None:
        self.function(given)  # whatever is wrong with the argument is said before anything is recorded
        try:
            self._graphs[given.shape] = (given, *recorded(lambda: self.function(given)))
        except RuntimeError as error:
            logger.warning(
                "%s cannot be recorded as a CUDA graph and is computed without: %s", type(self.function).__name__, error
            )
            self.fits = False
