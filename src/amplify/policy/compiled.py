"""A plan as one CUDA graph."""

from collections.abc import Callable
from typing import ParamSpec

import torch

from amplify.errors import UsageError
from amplify.types import Plan

P = ParamSpec("P")


def compiled(planner: Callable[P, Plan], device: torch.device) -> Callable[P, Plan]:
    """The planner, fused and recorded as CUDA graphs at its first call for each batch size (which takes minutes).

    Args:
        planner: A function of tensors without randomness.
        device: Where its models are.

    Raises:
        UsageError: The device is not a CUDA device: elsewhere there is no launch to save.
    """
    if device.type != "cuda":
        raise UsageError("only a CUDA device runs compiled plans", got=device, allowed="cuda", remedy="leave it off")
    graph = torch.compile(planner, mode="reduce-overhead")

    def plan(*args: P.args, **kwargs: P.kwargs) -> Plan:
        # What a graph returns is overwritten by its next run.
        return graph(*args, **kwargs).map(torch.clone)

    return plan
