"""Success rates and their differences, with 95 % intervals."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from amplify import rng
from amplify.evaluate.rollout import RolloutResult
from amplify.metrics.statistics import Interval, paired_comparison, paired_ratio, wilson


def by_state(results: Sequence[RolloutResult], label: str) -> dict[str, list[float]]:
    """For each task one value an initial state: a method's success there, mean over training seeds."""
    rows = [r for r in results if r.label == label]
    table: dict[str, list[float]] = {}
    for task in sorted({r.task for r in rows}):
        of_task = [r for r in rows if r.task == task]
        indices = sorted({r.index for r in of_task})
        table[task] = [float(np.mean([r.success for r in of_task if r.index == index])) for index in indices]
    return table


def paired_difference(results: Sequence[RolloutResult], ours: str, theirs: str, *, seed: int) -> Interval:
    """How much more often ours succeeds from the same initial states; resamples tasks and states.

    Args:
        results: Rollouts of both, from the same states.
        ours: A label.
        theirs: Another.
        seed: Of the bootstrap.
    """
    generator = rng.numpy_generator(seed, "difference")
    return paired_comparison(by_state(results, ours), by_state(results, theirs), generator=generator)


def success_ratio(results: Sequence[RolloutResult], ours: str, theirs: str, *, seed: int) -> Interval:
    """How many times as often ours succeeds from the same initial states; resamples tasks and states.

    Args:
        results: Rollouts of both, from the same states.
        ours: A label.
        theirs: Another.
        seed: Of the bootstrap.
    """
    generator = rng.numpy_generator(seed, "ratio")
    return paired_ratio(by_state(results, ours), by_state(results, theirs), generator=generator)


def success_table(results: Sequence[RolloutResult]) -> dict[str, Any]:
    """Success a method: mean over training seeds, Wilson 95 % interval, by task and by training seed.

    Note:
        The Wilson interval treats all rollouts as independent; rollouts of several training seeds share initial
        states, so the spread over seeds is given as well.
    """
    table: dict[str, Any] = {}
    for label in dict.fromkeys(r.label for r in results):
        rows = [r for r in results if r.label == label]
        hits = sum(r.success for r in rows)
        table[label] = {
            "mean": hits / len(rows),
            "ci95": _ci95(hits, len(rows)),
            "rollouts": len(rows),
            "by_seed": [
                float(np.mean([r.success for r in rows if r.variant == v])) for v in sorted({r.variant for r in rows})
            ],
            "decisions": float(np.mean([r.decisions for r in rows])),
            "tasks": {
                task: _task_row([r for r in rows if r.task == task]) for task in dict.fromkeys(r.task for r in rows)
            },
        }
    return table


def _task_row(rows: list[RolloutResult]) -> dict[str, Any]:
    hits = sum(r.success for r in rows)
    return {"mean": hits / len(rows), "ci95": _ci95(hits, len(rows)), "rollouts": len(rows)}


def _ci95(hits: int, rollouts: int) -> list[float]:
    interval = wilson(hits, rollouts)
    return [interval.low, interval.high]
