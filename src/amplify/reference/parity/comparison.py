"""One stored array against ours: what is compared, how far off, and what counts as equal."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

TOLERANCE = 1e-5
"""Largest deviation, in units of the largest stored magnitude."""

LOOSE = 1e-4
"""The same for actions drawn in many steps, and for gradient norms."""

MARGIN = 1e-4
"""A choice is compared where the best was better than the second by more than this."""

SMALL = 1e-3
"""A figure smaller than this share of the largest may be nothing but rounding."""

MANY = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """Our counterpart of a stored array.

    Args:
        ours: Ours: a tensor, a number, a text, or named numbers.
        tolerance: See `TOLERANCE`.
        sure: Where the stored value does not hang on a choice that was too close; everywhere by default.
        relative: Whether every named number is its own unit, but not less than `SMALL` of the largest.
        unit: What deviations are counted in; by default the largest stored magnitude, 1 for whole numbers.
    """

    ours: Any
    tolerance: float = TOLERANCE
    sure: Tensor | None = None
    relative: bool = False
    unit: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One stored array's result.

    Args:
        file: The file that holds it.
        name: Its name there.
        role: "compared", "input" (ours was computed from it), or "uncovered" (nothing here computes it).
        deviation: Largest deviation, in units of the largest stored magnitude; None for inputs, and where there is
            nothing to measure (another shape or text).
        tolerance: Largest deviation that passes; None for inputs.
        passed: Whether it does; an array that is not covered does not.
        note: What else there is to say.
    """

    file: str
    name: str
    role: Literal["compared", "input", "uncovered"]
    deviation: float | None = None
    tolerance: float | None = None
    passed: bool
    note: str = ""


def compare(file: str, name: str, stored: np.ndarray, value: Value) -> Row:
    """The result of one array."""
    if stored.dtype.kind in "US" and isinstance(value.ours, Mapping):
        deviation, note = _named(json.loads(str(stored)), value)
    elif stored.dtype.kind in "US":
        theirs = json.loads(str(stored)) if isinstance(value.ours, list) else str(stored)
        same = theirs == (value.ours if isinstance(value.ours, list) else str(value.ours))
        deviation = 0.0 if same else float("inf")
        note = "" if same else f"stored {stored!s:.60}, ours {value.ours!s:.60}"
    else:
        deviation, note = _numbers(stored, value)
    return Row(
        file=file,
        name=name,
        role="compared",
        deviation=deviation if math.isfinite(deviation) else None,
        tolerance=value.tolerance,
        passed=deviation <= value.tolerance,
        note=note,
    )


def _array(value: Any) -> Any:
    return value.detach().numpy() if isinstance(value, Tensor) else value


def _numbers(stored: np.ndarray, value: Value) -> tuple[float, str]:
    ours, sure = np.asarray(_array(value.ours)), value.sure
    if stored.shape != ours.shape:
        return float("inf"), f"stored shape {stored.shape}, ours {ours.shape}"
    off = np.abs(stored.astype(np.float64) - ours.astype(np.float64))
    off = np.where(np.isnan(off), np.inf, off)
    note = ""
    if sure is not None:
        kept = np.broadcast_to(_array(sure), stored.shape)
        off = np.where(kept, off, 0.0)
        note = "" if kept.all() else f"{int((~kept).sum())} of {kept.size} hang on a choice that was too close"
    largest = 1.0 if stored.dtype.kind in "iub" else float(np.abs(stored).max(initial=0.0))
    unit = value.unit or max(largest, float(np.finfo(np.float32).tiny))
    return float(off.max(initial=0.0)) / unit, note


def _named(stored: Any, value: Value) -> tuple[float, str]:
    ours = value.ours
    if not isinstance(stored, Mapping) or not stored:
        return float("inf"), f"stored {stored!s:.60} in place of named figures"
    missing = [key for key in stored if key not in ours]
    if missing:
        return float("inf"), f"not computed: {', '.join(missing[:MANY])}"
    largest = max(abs(v) for v in stored.values()) or 1.0
    least = SMALL * largest if value.relative else value.unit or largest
    off = {k: abs(v - ours[k]) / max(abs(v) if value.relative else 0.0, least) for k, v in stored.items()}
    worst = max(off, key=lambda k: off[k])
    bad = any(not np.isfinite(v) for v in off.values())
    return float("inf") if bad else off[worst], f"{len(off)} figures, the furthest off is {worst}"


def lead(scores: Tensor) -> Tensor:
    """How much better the best score is than the second, on the last axis."""
    best = scores.topk(2, dim=-1).values
    return best[..., 0] - best[..., 1]


def sure_so_far(certain: Tensor) -> Tensor:
    """Where this choice and all earlier ones were certain, on the last axis."""
    return certain.to(torch.int64).cumprod(dim=-1).bool()
