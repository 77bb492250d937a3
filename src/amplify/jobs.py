"""Maps a function over many items on a process pool, with progress; one failed item never loses the others."""

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass
from typing import Generic, TypeVar

from tqdm import tqdm

from amplify.errors import AmplifyError

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Done(Generic[Item, Result]):
    """The outcome of one item: a result, or the user-level error that set it aside."""

    item: Item
    result: Result | None = None
    error: AmplifyError | None = None


def cores() -> int:
    """CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def progress(iterable: Iterable[Item], *, total: int | None, label: str, unit: str = "it") -> Iterator[Item]:
    """The items, with a bar that shows a rate and the time left; worker processes stay silent."""
    return iter(
        tqdm(
            iterable,
            total=total,
            desc=label,
            unit=unit,
            dynamic_ncols=True,
            mininterval=0.1 if os.isatty(2) else 10,
            disable=multiprocessing.parent_process() is not None,
        )
    )


def one_thread() -> None:
    """Limits numeric libraries of this process to one thread: two threads a process slow a busy machine down."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def map_jobs(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    workers: int | None = None,
    label: str = "",
    unit: str = "it",
) -> Iterator[Done[Item, Result]]:
    """Yields the outcomes as they come, in any order.

    Args:
        function: Picklable; an `AmplifyError` that it raises sets the item aside, any other error is a bug and ends
            the run.
        items: Picklable work, one unit of progress each.
        workers: Processes; all cores by default, 0 runs in this process.
        label: Shown beside the bar.
        unit: What one item is.
    """
    workers = min(cores() if workers is None else workers, len(items))
    if workers <= 1:
        for item in progress(items, total=len(items), label=label, unit=unit):
            yield _attempt(function, item)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=one_thread)
    try:
        pending = {pool.submit(_attempt, function, item) for item in items}
        bar = progress(range(len(items)), total=len(items), label=label, unit=unit)
        while pending:
            finished, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in finished:
                next(bar)
                yield future.result()
        next(bar, None)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _attempt(function: Callable[[Item], Result], item: Item) -> Done[Item, Result]:
    try:
        return Done(item, result=function(item))
    except AmplifyError as error:
        return Done(item, error=error)
