"""Runs pieces of work that wait for each other, as many side by side as there are workers."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from amplify.jobs.mapping import ATTEMPTS, lost
from amplify.jobs.placement import count, pool
from amplify.jobs.worker import Died, Raised, Shipment, progress

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


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
        workers: Of one numeric thread each; all cores by default, 0 or 1 runs in this process.
        label: Shown beside the bar that counts finished nodes.

    Raises:
        AmplifyError: That of the first node that failed; nodes under way are stopped. `WorkerError` for one whose
            worker was lost again and again.
    """
    places = count(workers, len(nodes))
    waiting = {node.name: node for node in nodes}
    ended: set[str] = set()
    bar = progress(range(len(nodes)), total=len(nodes), label=label, unit="done")

    def ready() -> Node[Any] | None:
        return next((node for node in waiting.values() if ended.issuperset(node.needs)), None)

    if places == 0:
        while node := ready():
            yield waiting.pop(node.name).name, node.function()
            ended.add(node.name)
            next(bar)
        next(bar, None)
        return
    with pool() as found:
        running: dict[str, Node[Any]] = {}
        deaths = Counter[str]()
        slots = list(range(1, places + 1))  # lines of the terminal; the first is the bar's
        held: dict[str, int] = {}
        while waiting or running:
            while slots and (node := ready()):
                held[node.name] = slots.pop(0)
                running[node.name] = waiting.pop(node.name)
                found.start(node.name, Shipment.of(node.function), (), held[node.name])
            assert running, f"nodes that wait for each other: {', '.join(waiting)}"
            for key, outcome in found.ended():
                name = str(key)
                node = running.pop(name)
                slots.append(held.pop(name))
                if isinstance(outcome, Raised):
                    raise outcome.error
                if isinstance(outcome, Died):
                    deaths[name] += 1
                    if deaths[name] >= ATTEMPTS:
                        raise lost(outcome, deaths[name])
                    logger.warning("%s: a worker was lost (%s); %s is done again", label, outcome.how, name)
                    waiting[name] = node
                    continue
                ended.add(name)
                next(bar)
                yield name, outcome
        next(bar, None)
