"""Maps a function over many items on a process pool, with progress; one failed item never loses the others."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

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
    """The items, with a bar that shows a rate and the time left; worker processes show theirs only in a graph."""
    return iter(
        tqdm(
            iterable,
            total=total,
            desc=label,
            unit=unit,
            dynamic_ncols=True,
            mininterval=0.1 if os.isatty(2) else 10,
            disable=_worker.silent,
            position=_worker.position,
            leave=_worker.position is None,
        )
    )


@dataclass
class _Worker:
    """What a process knows of itself as a worker; the main process is not one."""

    silent: bool = False
    position: int | None = None


_worker = _Worker()


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
    with _pool(workers) as pool:
        pending = {pool.submit(_attempt, function, item) for item in items}
        bar = progress(range(len(items)), total=len(items), label=label, unit=unit)
        while pending:
            finished, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in finished:
                next(bar)
                yield future.result()
        next(bar, None)


@dataclass(frozen=True, slots=True)
class Node(Generic[Result]):
    """One piece of a graph of work.

    Args:
        name: Unique.
        function: Picklable; takes nothing.
        needs: Names of the nodes that must be done before.
    """

    name: str
    function: Callable[[], Result]
    needs: tuple[str, ...] = ()


def run_graph(
    nodes: Sequence[Node[Any]], *, workers: int | None = None, label: str = "stages"
) -> Iterator[tuple[str, Any]]:
    """Yields name and result of every node as it ends; nodes that need nothing unfinished run side by side.

    Args:
        nodes: In order of priority: the first that is ready starts first.
        workers: Processes of one numeric thread each; all cores by default, 0 or 1 runs in this process.
        label: Shown beside the bar that counts finished nodes.

    Raises:
        AmplifyError: That of the first node that failed; nodes under way are stopped.
    """
    workers = cores() if workers is None else workers
    waiting = {node.name: node for node in nodes}
    ended: set[str] = set()
    bar = progress(range(len(nodes)), total=len(nodes), label=label, unit="done")

    def ready() -> Node[Any] | None:
        return next((node for node in waiting.values() if ended.issuperset(node.needs)), None)

    if workers <= 1:
        while node := ready():
            yield waiting.pop(node.name).name, node.function()
            ended.add(node.name)
            next(bar)
        next(bar, None)
        return
    with _pool(workers) as pool:
        running: dict[Future[Any], str] = {}
        slots = list(range(1, workers + 1))  # lines of the terminal; the first is the bar's
        held: dict[str, int] = {}
        while waiting or running:
            while slots and (node := ready()):
                held[node.name] = slots.pop(0)
                running[pool.submit(_run_node, waiting.pop(node.name).function, held[node.name])] = node.name
            assert running, f"nodes that wait for each other: {', '.join(waiting)}"
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                name = running.pop(future)
                result = future.result()
                slots.append(held.pop(name))
                ended.add(name)
                next(bar)
                yield name, result
        next(bar, None)


_pools: dict[int, ProcessPoolExecutor] = {}
"""Pools by size, kept for the next call: starting a worker costs seconds of imports."""


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    if workers not in _pools:
        context = multiprocessing.get_context("spawn")
        lock = context.RLock()
        tqdm.set_lock(lock)
        _pools[workers] = ProcessPoolExecutor(workers, mp_context=context, initializer=_become_worker, initargs=(lock,))
    pool = _pools[workers]
    try:
        yield pool
    except BaseException:
        # Work under way may take minutes, and everything that it writes is written aside: it can be stopped at once.
        del _pools[workers]
        processes = list((pool._processes or {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()
        raise


def _become_worker(lock: Any) -> None:
    # The terminal sends Ctrl-C to every process; the main one decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tqdm.set_lock(lock)
    _worker.silent = True
    threading.Thread(target=_end_with_parent, daemon=True).start()
    one_thread()


def _end_with_parent() -> None:
    # A main process that is killed cannot tell its workers, and they would wait for work for ever.
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _attempt(function: Callable[[Item], Result], item: Item) -> Done[Item, Result]:
    try:
        return Done(item, result=function(item))
    except AmplifyError as error:
        return Done(item, error=error)


def _run_node(function: Callable[[], Result], position: int) -> Result:
    _worker.silent, _worker.position = False, position
    try:
        return function()
    finally:
        _worker.silent, _worker.position = True, None
