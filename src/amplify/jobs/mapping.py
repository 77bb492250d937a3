"""Maps a function over many items; one failed item, or one dead worker, never loses the others."""

import logging
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from amplify.errors import AmplifyError, WorkerError
from amplify.jobs.placement import count, pool
from amplify.jobs.worker import Died, Raised, Shipment, progress

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")

ATTEMPTS = 3
"""How often an item may take its worker with it before it is set aside."""


@dataclass(frozen=True, slots=True)
class Done(Generic[Item, Result]):
    """The outcome of one item: a result, or the user-level error that set it aside."""

    item: Item
    result: Result | None = None
    error: AmplifyError | None = None


def map_jobs(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    workers: int | None = None,
    label: str = "",
    unit: str = "it",
) -> Iterator[Done[Item, Result]]:
    """Yields the outcomes as they come, in any order; where they are computed is chosen by `distributed`.

    Args:
        function: Picklable, sent to each worker once: whatever it holds, a `Once` above all, stays there between
            items. An `AmplifyError` that it raises sets the item aside, any other error is a bug and ends the run.
        items: Picklable work, one unit of progress each. One whose worker dies is tried again, then set aside with a
            `WorkerError`.
        workers: How many; all cores, or all that the cluster has room for, by default; 0 runs in this process.
        label: Shown beside the bar.
        unit: What one item is.
    """
    places = count(workers, len(items))
    if places == 0:
        for item in progress(items, total=len(items), label=label, unit=unit):
            yield _attempt(function, item)
        return
    with pool() as found:
        shipment = Shipment.of(partial(_attempt, function))
        waiting, deaths, running = deque(range(len(items))), Counter[int](), 0
        bar = progress(range(len(items)), total=len(items), label=label, unit=unit)
        while waiting or running:
            while waiting and running < places:
                number = waiting.popleft()
                found.start(number, shipment, (items[number],), None)
                running += 1
            for key, outcome in found.ended():
                assert isinstance(key, int)
                running -= 1
                if isinstance(outcome, Raised):
                    raise outcome.error
                if isinstance(outcome, Died):
                    deaths[key] += 1
                    if deaths[key] < ATTEMPTS:
                        logger.warning("%s: a worker was lost (%s); its item is tried again", label, outcome.how)
                        waiting.append(key)
                        continue
                    outcome = Done(items[key], error=lost(outcome, deaths[key]))
                next(bar)
                yield outcome
        next(bar, None)


def lost(how: Died, times: int) -> WorkerError:
    """The error for work that no worker survives."""
    return WorkerError(
        f"its worker was lost {times} times: {how.how}", remedy="run the same command again, with fewer --workers"
    )


def _attempt(function: Callable[[Item], Result], item: Item) -> Done[Item, Result]:
    try:
        return Done(item, result=function(item))
    except AmplifyError as error:
        return Done(item, error=error)
