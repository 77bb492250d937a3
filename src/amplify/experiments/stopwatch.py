"""How long something took, by the wall clock and by the processors."""

import time

import psutil


class Stopwatch:
    """Wall-clock and processor seconds since it was made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), processor_seconds()

    def seconds(self) -> dict[str, float]:
        """``wall`` and ``cpu`` (of this process with all its threads, and of the processes it has started)."""
        return {"wall": time.perf_counter() - self._wall, "cpu": processor_seconds() - self._cpu}


def processor_seconds() -> float:
    """Processor seconds of this process and of all its descendants, ended ones included, so far."""
    this = psutil.Process()
    total = 0.0
    for process in [this, *this.children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue  # it ended between listing and asking, and counts with its parent from now on
        ended = getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
        total += times.user + times.system + ended
    return total
