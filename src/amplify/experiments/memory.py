"""How much memory a run needs, its worker processes included."""

import threading
from types import TracebackType

import psutil


class MemoryWatch:
    """Samples the private memory of this process and its children once a second while it is entered.

    ``peak_gb`` is the largest sum seen; pages that processes share (mapped files) are left out.
    """

    def __init__(self) -> None:
        self.peak_gb = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "MemoryWatch":
        self._thread.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        this = psutil.Process()
        while True:
            total = 0
            for process in [this, *this.children(recursive=True)]:
                try:
                    memory = process.memory_info()
                    total += memory.rss - getattr(memory, "shared", 0)
                except psutil.Error:
                    continue  # it ended between listing and asking
            self.peak_gb = max(self.peak_gb, total / 1e9)
            if self._stop.wait(1.0):
                return
