"""What a benchmark is asked for, and what it says of the machine."""

import platform
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field

from amplify.config import Config
from amplify.nn.device import computing_device

Preset = Literal["paper", "small", "tiny"]
Against = Literal["reference-style"]


class BenchSettings(Config):
    """What is timed, how often, and where.

    Args:
        preset: Sizes of the models.
        against: "reference-style" times the plain formulation as well, in turns with ours; nothing by default.
        rounds: Times each part; the median counts.
        threads: CPU threads.
        device: "cpu" or "cuda".
        seed: Of weights and inputs.
    """

    preset: Preset = "paper"
    against: Against | None = None
    rounds: int = Field(default=5, ge=1)
    threads: int = Field(default=1, ge=1)
    device: str = "cpu"
    seed: int = 0

    def prepare(self) -> torch.device:
        """The device; numeric libraries are limited to the threads.

        Raises:
            UsageError: There is no such device here.
        """
        import cv2

        torch.set_num_threads(self.threads)
        cv2.setNumThreads(self.threads)
        return computing_device(self.device)

    def machine(self, device: torch.device) -> dict[str, Any]:
        """What the figures depend on."""
        return {
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name(),
            "threads": self.threads,
            "instructions": torch.backends.cpu.get_cpu_capability(),
            "torch": torch.__version__,
            "preset": self.preset,
            "rounds": self.rounds,
        }


def cpu_name() -> str:
    """The processor as the system names it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
