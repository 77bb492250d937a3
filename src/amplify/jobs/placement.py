"""Where work runs: chosen once by a command, used by all that it calls."""

import atexit
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from amplify.jobs.processes import ProcessPool
from amplify.jobs.ray_pool import RayPool
from amplify.jobs.worker import Shipment, cores


@runtime_checkable
class Pool(Protocol):
    """Workers that take one piece of work at a time."""

    most: int | None
    """How many there can be; None for any number."""

    nests: bool
    """Whether a worker may have workers of its own."""

    def default_workers(self, cores: int) -> int:
        """How many run unless the user says otherwise, of a machine with so many cores."""
        ...

    def start(self, key: Hashable, shipment: Shipment, arguments: tuple[Any, ...], position: int | None) -> None:
        """Gives work to an idle worker, or to a new one."""
        ...

    def ended(self) -> list[tuple[Hashable, Any]]:
        """Key and result, `Raised` or `Died`, of what has ended; waits until something has."""
        ...

    def stop(self) -> None:
        """Ends all workers at once."""
        ...


@dataclass(frozen=True, slots=True)
class Placement:
    """Which workers.

    Args:
        ray: Address of a Ray cluster; None for processes of this machine.
        gpus_per_worker: GPUs, or share of one, that each worker sees; 0 for no such limit.
    """

    ray: str | None = None
    gpus_per_worker: float = 0.0


_chosen: list[Placement] = [Placement()]
_pools: dict[Placement, Pool] = {}


@contextmanager
def distributed(ray: str | None = None, gpus_per_worker: float = 0.0) -> Iterator[None]:
    """Everything within runs on these workers.

    Args:
        ray: "local", "auto", "host:port" or "ray://host:port" of a Ray cluster; None for processes of this machine.
        gpus_per_worker: GPUs, or share of one, that each worker sees; 0 for no such limit.

    Raises:
        MissingDependencyError: Ray is asked for and not installed.
        UsageError: There is no cluster at the address, or there are too few GPUs.
    """
    placement = Placement(ray, gpus_per_worker)
    _pool_at(placement)
    _chosen.append(placement)
    try:
        yield
    finally:
        _chosen.pop()


def count(workers: int | None, pieces: int) -> int:
    """How many workers shall run; 0 for none but this process.

    Args:
        workers: As the user says; None for as many as there is room for.
        pieces: Of work.
    """
    placement = _chosen[-1]
    if workers is None or placement != Placement():
        pool = _pool_at(placement)
        room = pool.default_workers(cores()) if workers is None else workers
        workers = room if pool.most is None else min(room, pool.most)
    workers = min(workers, pieces)
    # One worker more than this process would only cost its start, unless it is elsewhere.
    return workers if workers > 1 or placement.ray is not None else 0


@contextmanager
def pool() -> Iterator[Pool]:
    """The workers of the placement, stopped at once if the block ends early."""
    placement = _chosen[-1]
    found = _pool_at(placement)
    try:
        yield found
    except BaseException:
        del _pools[placement]
        found.stop()
        raise


def _pool_at(placement: Placement) -> Pool:
    if placement not in _pools:
        if placement.ray is None:
            _pools[placement] = ProcessPool(placement.gpus_per_worker)
        else:
            _pools[placement] = RayPool(placement.ray, placement.gpus_per_worker)
    return _pools[placement]


@atexit.register
def stop_pools() -> None:
    """Ends all workers of this process."""
    for found in _pools.values():
        found.stop()
    _pools.clear()
