"""Workers as actors of a Ray cluster, one process each, wherever the cluster has room."""

import os
import pickle
import socket
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from amplify.errors import MissingDependencyError, UsageError
from amplify.jobs.worker import Bench, Died, Shipment, become_worker

PATIENCE_S = 10.0
"""How long a cluster may take to answer at all."""

LOCAL = "local"
"""In place of an address: a cluster on this machine, for as long as the command runs."""


class _Actor:
    def __init__(self) -> None:
        become_worker()
        self._bench = Bench()

    def answer(self, name: str, content: bytes | None, arguments: tuple[Any, ...]) -> bytes:
        return self._bench.answer(name, content, arguments, None)


@dataclass(slots=True, eq=False)
class _Worker:
    actor: Any
    holds: str = ""
    busy: Hashable | None = None
    answer: Any = None


class RayPool:
    """Actors of a Ray cluster, started as they are needed.

    Every machine of the cluster needs this package, and must reach datasets under the same path or URL.

    Args:
        address: "local", "auto", "host:port" of a cluster that this machine belongs to, or "ray://host:port".
        gpus_per_worker: GPUs, or share of one, that each actor is given.

    Raises:
        MissingDependencyError: Ray is not installed.
        UsageError: There is no cluster at the address, or it has no GPU for a worker.
    """

    nests = False

    def __init__(self, address: str, gpus_per_worker: float = 0.0):
        self._ray = _connected(address)
        self._resources = {"num_cpus": 1, "num_gpus": gpus_per_worker}
        self._actor = self._ray.remote(**self._resources, max_restarts=0)(_Actor)
        self._workers: list[_Worker] = []
        self._sent: tuple[str, Any] = ("", None)
        self.most: int | None = None
        if gpus_per_worker > 0 and self._there("GPU") < gpus_per_worker:
            raise UsageError(
                f"--gpus-per-worker {gpus_per_worker:g} asks for more GPUs than the cluster has",
                got=self._there("GPU"),
                remedy="leave it out, or start the cluster's nodes with GPUs",
            )

    def default_workers(self, cores: int) -> int:
        """As many actors as the cluster has room for, whatever this machine has."""
        del cores
        gpus = self._resources["num_gpus"]
        return max(1, int(self._there("GPU") / gpus if gpus else self._there("CPU")))

    def start(self, key: Hashable, shipment: Shipment, arguments: tuple[Any, ...], position: int | None) -> None:
        """Gives work to an idle actor, or to a new one; as `ProcessPool.start`, but no bars are shown."""
        del position
        worker = next((w for w in self._workers if w.busy is None), None)
        if worker is None:
            worker = _Worker(self._actor.remote())
            self._workers.append(worker)
        if self._sent[0] != shipment.name:
            self._sent = shipment.name, self._ray.put(shipment.content)
        content = None if worker.holds == shipment.name else self._sent[1]
        worker.answer = worker.actor.answer.remote(shipment.name, content, arguments)
        worker.holds, worker.busy = shipment.name, key

    def ended(self) -> list[tuple[Hashable, Any]]:
        """As `ProcessPool.ended`."""
        busy = {worker.answer: worker for worker in self._workers if worker.busy is not None}
        ready, _ = self._ray.wait(list(busy), num_returns=1)
        found = []
        for reference in ready:
            worker = busy[reference]
            key, worker.busy = worker.busy, None
            try:
                found.append((key, pickle.loads(self._ray.get(reference))))
            except self._ray.exceptions.RayActorError as error:
                self._workers.remove(worker)
                found.append((key, Died(str(error).strip().splitlines()[0])))
        return found

    def stop(self) -> None:
        """Ends all actors, and the cluster if it is this command's own."""
        # At the end of the command Ray may have stopped before.
        if self._ray.is_initialized():
            for worker in self._workers:
                self._ray.kill(worker.actor)
            self._ray.shutdown()
        self._workers.clear()

    def _there(self, kind: str) -> float:
        return float(self._ray.cluster_resources().get(kind, 0))


def _connected(address: str) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise MissingDependencyError(
            "--ray needs the package 'ray'", remedy="run 'pip install amplify-robot[ray]'"
        ) from error
    if ray.is_initialized():
        return ray
    _require_listener(address)
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address == LOCAL:
        settings |= {"include_dashboard": False}
    else:
        settings |= {"address": address}
    try:
        ray.init(**settings)
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        raise _no_cluster(address, error) from error
    return ray


def _require_listener(address: str) -> None:
    """Ray itself waits for minutes for a cluster that is not there, and then ends the process."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if address in (LOCAL, "auto"):
        return
    if not host or not port.isdecimal():
        raise _no_cluster(address, "not an address")
    try:
        socket.create_connection((host, int(port)), timeout=PATIENCE_S).close()
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, error) from error


def _no_cluster(address: str, reason: object) -> UsageError:
    return UsageError(
        f"no Ray cluster at {address}",
        got=(str(reason).strip().splitlines() or ["no answer"])[0],
        allowed="local, auto, HOST:PORT or ray://HOST:PORT",
        remedy="start one with 'ray start --head'",
    )
