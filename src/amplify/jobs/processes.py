"""A pool of processes that survives the death of any of them: only what that one was doing is lost."""

import multiprocessing
import os
import signal
from collections.abc import Hashable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from tqdm import tqdm

from amplify.errors import UsageError
from amplify.jobs.worker import Bench, Died, Shipment, become_worker, end_with

_CONTEXT = multiprocessing.get_context("spawn")


@dataclass(slots=True, eq=False)
class _Worker:
    process: Any
    connection: Connection
    holds: str = ""
    busy: Hashable | None = None


class ProcessPool:
    """Processes of this machine, started as they are needed and kept for the next work: starting costs imports.

    Args:
        gpus_per_worker: Share of a GPU, or number of GPUs, that each process sees; 0 leaves all visible to all.

    Raises:
        UsageError: There is no GPU, or not enough for one process.
    """

    nests = True

    def __init__(self, gpus_per_worker: float = 0.0):
        self._devices = _devices(gpus_per_worker)
        self.most: int | None = len(self._devices) or None
        self._workers: list[_Worker] = []
        # Bars of all processes share the terminal.
        self._lock = _CONTEXT.RLock() if multiprocessing.parent_process() is None else tqdm.get_lock()
        tqdm.set_lock(self._lock)

    def default_workers(self, cores: int) -> int:
        """How many processes run unless the user says otherwise."""
        return self.most or cores

    def start(self, key: Hashable, shipment: Shipment, arguments: tuple[Any, ...], position: int | None) -> None:
        """Gives work to an idle process, or to a new one.

        Args:
            key: Names the work in `ended`.
            shipment: The function.
            arguments: Picklable.
            position: Line of the terminal for its bars; None shows none.
        """
        while True:
            worker = next((w for w in self._workers if w.busy is None), None) or self._hired()
            content = None if worker.holds == shipment.name else shipment.content
            try:
                worker.connection.send((shipment.name, content, arguments, position))
            except (BrokenPipeError, ConnectionError):
                self._dismiss(worker)  # it died idle, and nothing is lost
                continue
            worker.holds, worker.busy = shipment.name, key
            return

    def ended(self) -> list[tuple[Hashable, Any]]:
        """Key and result, `Raised` or `Died`, of what has ended; waits until something has."""
        busy = [worker for worker in self._workers if worker.busy is not None]
        ready = set(wait([w.connection for w in busy] + [w.process.sentinel for w in busy]))
        found = []
        for worker in busy:
            if worker.connection in ready or worker.process.sentinel in ready:
                key, worker.busy = worker.busy, None
                found.append((key, self._answer(worker)))
        return found

    def stop(self) -> None:
        """Ends all processes at once: everything that work writes is written aside."""
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join(5)
            worker.connection.close()
        self._workers.clear()

    def _answer(self, worker: _Worker) -> Any:
        try:
            # An answer may have come in whole before the process died.
            if worker.connection.poll():
                return worker.connection.recv()
        except (EOFError, ConnectionError):
            pass
        worker.process.join(5)
        code = worker.process.exitcode
        self._dismiss(worker)
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            return Died(f"killed by {name}" + (", perhaps for want of memory" if -code == signal.SIGKILL else ""))
        return Died(f"ended with code {code}")

    def _hired(self) -> _Worker:
        ours, theirs = _CONTEXT.Pipe()
        taken = {worker.process.name for worker in self._workers}
        number = next(n for n in range(len(taken) + 1) if f"amplify-worker-{n}" not in taken)
        devices = self._devices[number % len(self._devices)] if self._devices else None
        process = _CONTEXT.Process(target=_serve, args=(theirs, self._lock, devices), name=f"amplify-worker-{number}")
        process.start()
        theirs.close()
        self._workers.append(_Worker(process, ours))
        return self._workers[-1]

    def _dismiss(self, worker: _Worker) -> None:
        worker.connection.close()
        worker.process.kill()
        worker.process.join(5)
        self._workers.remove(worker)


def _serve(connection: Connection, lock: Any, devices: str | None) -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    end_with(parent.join)
    if devices is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = devices  # before anything asks for them
    tqdm.set_lock(lock)
    become_worker()
    bench = Bench()
    while True:
        try:
            name, content, arguments, position = connection.recv()
        except EOFError:
            return
        connection.send_bytes(bench.answer(name, content, arguments, position))


def _devices(gpus_per_worker: float) -> list[str]:
    """Of each process that the GPUs allow, the names of those that it may see."""
    if gpus_per_worker <= 0:
        return []
    import torch

    count = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = named.split(",")[:count] if named else [str(number) for number in range(count)]
    each = max(1, round(gpus_per_worker))
    sharing = max(1, int(1 / gpus_per_worker))
    groups = [",".join(names[first : first + each]) for first in range(0, count - each + 1, each)]
    if not groups:
        raise UsageError(
            f"--gpus-per-worker {gpus_per_worker:g} asks for more GPUs than there are", got=count, remedy="leave it out"
        )
    return groups * sharing
