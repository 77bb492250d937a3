"""Medians of things that take turns: what slows the machine for a while slows all of them."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from amplify.jobs import progress


@dataclass(frozen=True, slots=True)
class Part:
    """Something to time.

    Args:
        name: Stable, as in the JSON.
        run: Does it once; what it returns is let go.
        against: Name of the part that it is compared with.
    """

    name: str
    run: Callable[[], object]
    against: str | None = None


def measure(
    parts: Sequence[Part], *, rounds: int, device: torch.device, label: str = "bench"
) -> dict[str, dict[str, float | None]]:
    """``{median_ms, ratio}`` of every part; the ratio is the compared part's median through its own.

    Each round runs every part once, after one round that does not count. The ratio is None where nothing is compared.

    Args:
        parts: What to time.
        rounds: Times each.
        device: Waited for before the clock is read.
        label: Shown beside the progress bar.
    """
    turns = [part for _ in range(rounds + 1) for part in parts]
    taken_ms: dict[str, list[float]] = {part.name: [] for part in parts}
    for part in progress(turns, total=len(turns), label=label, unit="run"):
        _wait(device)
        started = time.perf_counter()
        part.run()
        _wait(device)
        taken_ms[part.name].append((time.perf_counter() - started) * 1e3)
    median_ms = {name: statistics.median(times[1:]) for name, times in taken_ms.items()}
    return {
        part.name: {
            "median_ms": median_ms[part.name],
            "ratio": median_ms[part.against] / median_ms[part.name] if part.against else None,
        }
        for part in parts
    }


def fastest(parts: Mapping[str, Mapping[str, float | None]], names: Sequence[str]) -> str:
    """The name with the smallest median."""
    return min(names, key=lambda name: parts[name]["median_ms"] or 0.0)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
