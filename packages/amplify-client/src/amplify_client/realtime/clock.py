"""Time, as the loop sees it: that of the wall, or one that tests move by hand."""

import time
from typing import Protocol, runtime_checkable


@runtime_checkable
class Clock(Protocol):
    """Seconds since some moment."""

    def now_s(self) -> float:
        """The time; it never goes back."""
        ...

    def sleep_until(self, at_s: float) -> None:
        """Returns at a time, or at once where that has passed."""
        ...


class WallClock:
    """Real time."""

    def now_s(self) -> float:
        """Seconds, monotonic."""
        return time.perf_counter()

    def sleep_until(self, at_s: float) -> None:
        """Sleeps; the system wakes it some tens of microseconds late."""
        while (left_s := at_s - time.perf_counter()) > 0:
            time.sleep(left_s)


class ManualClock:
    """Time that passes only where somebody sleeps or says so: exact, and as fast as the computer.

    Args:
        start_s: The time at first.
    """

    def __init__(self, start_s: float = 0.0):
        self._now_s = start_s

    def now_s(self) -> float:
        """The time."""
        return self._now_s

    def sleep_until(self, at_s: float) -> None:
        """It is then."""
        self._now_s = max(self._now_s, at_s)

    def passes(self, seconds: float) -> None:
        """So much time passes, as if something took it."""
        self._now_s += seconds
