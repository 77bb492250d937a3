"""Stops the robot where the loop itself hangs: a camera that does not answer, a computer that swaps."""

import threading
from collections.abc import Callable
from types import TracebackType

from amplify_client.realtime.priority import prioritised


class Watchdog:
    """Calls ``stop`` from a thread of its own where nobody has fed it for too long; once, until it is fed again.

    Args:
        stop: Makes the robot hold still.
        patience_s: Longest time between two feedings.
        priority: Of its thread, see `amplify_client.realtime.undisturbed`.

    Raises:
        ValueError: No time at all.
    """

    def __init__(self, stop: Callable[[], object], patience_s: float, *, priority: int = 0):
        if not patience_s > 0:
            raise ValueError(f"a watchdog's patience is above 0 s, and not {patience_s}")
        self.stop, self.patience_s, self.priority = stop, patience_s, priority
        self.fired = 0
        self._fed = threading.Condition()
        self._feedings = 0
        self._ended = False
        self._thread: threading.Thread | None = None

    def feed(self) -> None:
        """All is well."""
        with self._fed:
            self._feedings += 1
            self._fed.notify()

    def __enter__(self) -> "Watchdog":
        self._ended = False
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._fed:
            self._ended = True
            self._fed.notify()
        assert self._thread is not None
        self._thread.join(timeout=1.0)

    def _watch(self) -> None:
        with prioritised(self.priority):
            while not self._ended:
                seen = self._feedings
                if not self._fed_since(seen, self.patience_s):
                    self.fired += 1
                    self.stop()
                    self._fed_since(seen, None)

    def _fed_since(self, seen: int, patience_s: float | None) -> bool:
        with self._fed:
            return self._fed.wait_for(lambda: self._ended or self._feedings > seen, patience_s)
