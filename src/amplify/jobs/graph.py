"""Runs pieces of work that wait for each other, as many side by side as there are workers."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from amplify.jobs.mapping import ATTEMPTS, lost
from amplify.jobs.placement import count, pool, stop_pools
from amplify.jobs.worker import Died, Raised, Shipment, limited_to, progress

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

ANY = 1 << 30
"""More pieces of work than there can be workers."""


@dataclass(frozen=True, slots=True)
class Node(Generic[Result]):
    """One piece of a graph of work.

    Args:
        name: Unique.
        function: Picklable; takes nothing.
        needs: Names of the nodes that must be done before.
        divides: Whether the function can use several workers of its own (`map_jobs` with their number left open). It
            is given those that would be idle when it starts.
    """

    name: str
    function: Callable[[], Result]
    needs: tuple[str, ...] = ()
    divides: bool = False


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
    room = count(workers, ANY) or 1
    waiting = {node.name: node for node in nodes}
    ended: set[str] = set()
    bar = progress(range(len(nodes)), total=len(nodes), label=label, unit="done")

    def ready() -> list[Node[Any]]:
        return [node for node in waiting.values() if ended.issuperset(node.needs)]

    if places == 0:
        while nodes_now := ready():
            node = waiting.pop(nodes_now[0].name)
            with limited_to(room):
                outcome = node.function()
            yield node.name, outcome
            ended.add(node.name)
            next(bar)
        next(bar, None)
        return
    with pool() as found:
        running: dict[str, Node[Any]] = {}
        deaths = Counter[str]()
        lines = list(range(1, room + 1))  # of the terminal, one for each core; the first is the bar's
        held: dict[str, list[int]] = {}
        while waiting or running:
            while lines and (nodes_now := ready()):
                node = waiting.pop(nodes_now[0].name)
                share = _share(node, nodes_now, len(lines)) if found.nests else 1
                running[node.name], held[node.name] = node, lines[:share]
                del lines[:share]
                function = partial(_divided, node.function, share) if share > 1 else node.function
                found.start(node.name, Shipment.of(function), (), held[node.name][0])
            assert running, f"nodes that wait for each other: {', '.join(waiting)}"
            for key, outcome in found.ended():
                name = str(key)
                node = running.pop(name)
                lines = sorted([*lines, *held.pop(name)])
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


def _share(node: Node[Any], ready: Sequence[Node[Any]], free: int) -> int:
    """How many of the free workers the node gets: one for each that does not divide, the others take the rest."""
    dividing = sum(other.divides for other in ready)
    return max(1, (free - len(ready) + dividing) // dividing) if node.divides else 1


def _divided(function: Callable[[], Result], share: int) -> Result:
    try:
        with limited_to(share):
            return function()
    finally:
        stop_pools()  # what runs here next has no use for idle processes, and they hold memory
