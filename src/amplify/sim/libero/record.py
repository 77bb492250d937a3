"""Recordings of LIBERO's tasks by the oracle, as a LeRobot dataset or in LIBERO's own layout; resumable and parallel.

An episode has a number; number and settings fix its initial state and all that is random in it. Episodes of a task are
made in rounds, and those are kept that succeed first in the order of their numbers: which these are depends neither on
the number of workers nor on interruptions.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amplify.errors import DataError, WorkerError
from amplify.jobs import cores, map_jobs
from amplify.sim.gl import ensure_gl
from amplify.sim.libero.record_config import RecordConfig
from amplify.sim.libero.record_episode import Batch, Job, record_batch
from amplify.sim.libero.record_progress import Outcome, Progress
from amplify.sim.libero.record_stores import Store, store_of

BATCH = 10
"""Most episodes of a task that one worker makes in a row: beginning with another task takes longer than an episode."""


def record(config: RecordConfig, out: Path, workers: int | None = None, *, strict: bool = False) -> dict[str, Any]:
    """A dataset at ``out``; what an interrupted run of the same settings left there is kept.

    Args:
        config: What to record.
        out: The dataset's folder.
        workers: Processes; all cores by default.
        strict: Whether too few successful episodes of one task are an error.

    Returns:
        Counts of episodes, simulated attempts, failures and blown-up simulations, in all and a task; tasks that were
        given up, with reasons.

    Raises:
        DataError: The folder holds other data; the oracle never succeeded; or, if strict, too rarely.
        MissingDependencyError: No LIBERO package is installed.
        UsageError: A task has no such initial states.
        RenderingError: No OpenGL back end works.
    """
    started = time.monotonic()
    ensure_gl()
    for task in config.task_names:
        config.states_of(task)
    store = store_of(config, out)
    _refuse_foreign(config, store)
    progress = {task: Progress(config.episodes, config.patience) for task in config.task_names}
    recorded, lost = 0, dict[str, str]()
    if not store.finished:
        _resume(config, store, progress)
        recorded, lost = _record_in_rounds(config, out, workers, progress)
        if lost and strict:
            raise DataError(
                "episodes were set aside", got=lost, remedy="run the same command again, or leave --strict out"
            )
        _check_enough(progress, strict)
        kept = [Job(config, out, task, number).key for task in progress for number in progress[task].kept]
        store.finalize(kept, _report(progress))
    report = store.report()
    seconds = time.monotonic() - started
    return {
        "dataset": str(out),
        **report,
        "set_aside": lost,
        "recorded_now": recorded,
        "seconds": round(seconds, 2),
        "episodes_per_min": round(60 * recorded / seconds, 2),
    }


def _refuse_foreign(config: RecordConfig, store: Store) -> None:
    if any(not key.startswith(f"{config.fingerprint}-") for key in store.staged()):
        raise DataError(
            f"{store.root} holds a recording with other settings",
            got=config.model_dump_json(),
            remedy="choose another folder with --out, or remove this one",
        )


def _resume(config: RecordConfig, store: Store, progress: Mapping[str, Progress]) -> None:
    staged = store.staged()
    prefixes = {f"{config.fingerprint}-{task}-": task for task in progress}
    for key, outcome in store.notes().items():
        prefix, _, number = key.rpartition("-")
        task = prefixes.get(f"{prefix}-")
        # A kill between note and episode leaves the note of an episode that is not there.
        if task is not None and (key in staged or not outcome.success):
            progress[task].add(int(number), outcome)


def _record_in_rounds(
    config: RecordConfig, out: Path, workers: int | None, progress: Mapping[str, Progress]
) -> tuple[int, dict[str, str]]:
    """Number of episodes recorded now, and by their keys those that no worker survived."""
    recorded, lost = 0, dict[str, str]()
    while True:
        todo = {task: done.next_numbers() for task, done in progress.items()}
        size = min(BATCH, max(1, -(-sum(map(len, todo.values())) // (workers or cores()))))
        batches = [
            Batch(config, out, task, tuple(numbers[start : start + size]))
            for task, numbers in todo.items()
            for start in range(0, len(numbers), size)
        ]
        if not batches:
            return recorded, lost
        for done in map_jobs(record_batch, batches, workers=workers, label="recording", unit="batch"):
            batch, outcomes = done.item, done.result
            if isinstance(done.error, WorkerError):
                lost[f"{batch.task} {batch.numbers}"] = done.error.what
                outcomes = dict.fromkeys(batch.numbers, Outcome(success=False, reason="no worker survived it"))
            elif done.error is not None:
                raise done.error
            for number, outcome in (outcomes or {}).items():
                progress[batch.task].add(number, outcome)
                recorded += outcome.success


def _report(progress: Mapping[str, Progress]) -> dict[str, Any]:
    tasks = {task: done.counts() for task, done in progress.items()}
    names = ("episodes", "failed", "simulated_attempts", "unstable")
    return {
        **{name: sum(counts[name] for counts in tasks.values()) for name in names},
        "given_up": {task: done.reason for task, done in progress.items() if done.given_up},
        "tasks": tasks,
    }


def _check_enough(progress: Mapping[str, Progress], strict: bool) -> None:
    short = {task: done for task, done in progress.items() if not done.complete}
    if short and (strict or (len(short) == len(progress) and not any(done.kept for done in short.values()))):
        listed = "; ".join(f"{task}: {len(done.kept)} of {done.wanted} ({done.reason})" for task, done in short.items())
        raise DataError(
            "too few successful episodes",
            got=listed,
            remedy="choose other --tasks or --initial-states, or allow more --attempts",
        )
