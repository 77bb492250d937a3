"""What all learned trackers can be told, and on what they compute."""

from pathlib import Path
from typing import Literal

import torch
from pydantic import Field

from amplify.config import Config
from amplify.errors import UsageError
from amplify.nn.device import computing_device


class LearnedConfig(Config):
    """Where a learned tracker comes from and how it computes.

    Args:
        weights: A file of plain tensors.
        code: A clone of the authors' repository, whose code will run.
        allow_code: Whether code (and weights, where none are given) may be downloaded from the authors and run.
        device: "cpu", "cuda" or "cuda:1".
        precision: Of matrix products and convolutions; positions are added up in float32.
        batch: Windows that go through the network together: what bounds the memory.
    """

    weights: Path | None = None
    code: Path | None = None
    allow_code: bool = False
    device: str = "cpu"
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    batch: int = Field(default=4, ge=1)


def checked_device(config: LearnedConfig) -> torch.device:
    """The device, which exists and knows the precision.

    Raises:
        UsageError: It does not.
    """
    device = computing_device(config.device)
    if config.precision == "float16" and device.type == "cpu":
        raise UsageError("half precision on a processor", got=config.precision, allowed="float32, bfloat16")
    if config.precision == "bfloat16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise UsageError("this GPU does not know the precision", got=config.precision, allowed="float32, float16")
    return device
