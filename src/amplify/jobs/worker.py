"""What a process knows of itself as a worker, and how it answers what it is sent."""

import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from tqdm import tqdm

Item = TypeVar("Item")


def cores() -> int:
    """CPU cores this process may use; of a worker, its share of them."""
    if _self.cores is not None:
        return _self.cores
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
            disable=_self.silent,
            position=_self.position,
            leave=_self.position is None,
        )
    )


@contextmanager
def limited_to(share: int) -> Iterator[None]:
    """Within, `cores` are so many: what is done here takes no more workers unless it is told to."""
    before, _self.cores = _self.cores, share
    try:
        yield
    finally:
        _self.cores = before


@dataclass
class _Self:
    """What a process knows of itself as a worker; the main process is not one."""

    silent: bool = False
    position: int | None = None
    cores: int | None = None


_self = _Self()


def one_thread() -> None:
    """Limits numeric libraries of this process to one thread: two threads a process slow a busy machine down."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def become_worker() -> None:
    """Makes this process one: silent, of one core and one numeric thread."""
    _self.silent, _self.cores = True, 1
    one_thread()


@dataclass(frozen=True, slots=True)
class Shipment:
    """A function on its way to workers, pickled once and sent to each of them once.

    Args:
        name: Differs between shipments.
        content: The pickled function.
    """

    name: str
    content: bytes

    @classmethod
    def of(cls, function: Callable[..., Any]) -> "Shipment":
        """Of a picklable function."""
        return cls(f"{os.getpid()}-{next(_numbers)}", pickle.dumps(function))


_numbers = iter(range(1 << 62))


@dataclass(frozen=True, slots=True)
class Raised:
    """What the function raised."""

    error: BaseException


@dataclass(frozen=True, slots=True)
class Died:
    """The worker's process ended before it answered.

    Args:
        how: In words.
    """

    how: str


class Bench:
    """Where a worker keeps the last function that it was sent, with all that belongs to it."""

    def __init__(self) -> None:
        self._name, self._function = "", None

    def answer(self, name: str, content: bytes | None, arguments: tuple[Any, ...], position: int | None) -> bytes:
        """The pickled result, or `Raised`.

        Args:
            name: Of the shipment.
            content: Its content, where it is new here.
            arguments: Of the function.
            position: Line of the terminal for the bars of this piece of work; None shows none.
        """
        try:
            if content is not None:
                self._name, self._function = name, pickle.loads(content)
            assert self._name == name
            assert self._function is not None
            _self.silent, _self.position = position is None, position
            return pickle.dumps(self._function(*arguments))
        except Exception as error:  # noqa: BLE001 a worker hands on whatever the function raises
            return _pickled(error)
        finally:
            _self.silent, _self.position = True, None


def _pickled(error: BaseException) -> bytes:
    import traceback

    error.add_note("".join(traceback.format_exception(error)))
    try:
        raised = pickle.dumps(Raised(error))
        pickle.loads(raised)
    except Exception:  # noqa: BLE001 an exception with any constructor may refuse to travel
        return pickle.dumps(Raised(RuntimeError(repr(error))))
    return raised


def end_with(wait: Callable[[], object]) -> None:
    """Ends this process when something returns: one whose main process is killed would wait for work for ever."""

    def end() -> None:
        wait()
        os._exit(1)

    # The terminal sends Ctrl-C to every process; the main one decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end, daemon=True).start()
