"""Where models compute."""

import torch
from torch import nn

from amplify.errors import UsageError


def computing_device(name: str) -> torch.device:
    """The device by its name, which is there.

    Args:
        name: "cpu", "cuda" or "cuda:1".

    Raises:
        UsageError: PyTorch knows no such device, or cannot use it here.
    """
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise UsageError("no such device", got=repr(name), allowed="cpu, cuda or cuda:1, …")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(
            "this machine has no such CUDA device that PyTorch can use",
            got=name,
            allowed=f"{torch.cuda.device_count()} of them are here",
            remedy="'amplify doctor' lists them; leave the device out to use the processor",
        )
    return device


def device_of(module: nn.Module) -> torch.device:
    """Where a module's weights are; the CPU for one without."""
    return next((p.device for p in module.parameters()), torch.device("cpu"))
