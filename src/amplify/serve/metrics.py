"""What a server counts, as Prometheus reads it."""

import bisect
import threading
from collections.abc import Sequence

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
BATCHES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)


class Counter:
    """Counts by one label."""

    def __init__(self, name: str, about: str, label: str):
        self.name, self.about, self.label = name, about, label
        self.values: dict[str, int] = {}
        self._lock = threading.Lock()

    def add(self, value: str) -> None:
        """One more of a value of the label."""
        with self._lock:
            self.values[value] = self.values.get(value, 0) + 1

    def lines(self) -> list[str]:
        """In Prometheus' text format."""
        rows = [f'{self.name}{{{self.label}="{value}"}} {count}' for value, count in sorted(self.values.items())]
        return [f"# HELP {self.name} {self.about}", f"# TYPE {self.name} counter", *rows]


class Histogram:
    """Counts of values in buckets, and their sum."""

    def __init__(self, name: str, about: str, bounds: Sequence[float]):
        self.name, self.about, self.bounds = name, about, tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0
        self._lock = threading.Lock()

    def observe(self, value: float) -> None:
        """One more value."""
        with self._lock:
            self.counts[bisect.bisect_left(self.bounds, value)] += 1
            self.sum += value

    def lines(self) -> list[str]:
        """In Prometheus' text format."""
        rows, total = [], 0
        for bound, count in zip((*(f"{bound:g}" for bound in self.bounds), "+Inf"), self.counts):
            total += count
            rows.append(f'{self.name}_bucket{{le="{bound}"}} {total}')
        rows += [f"{self.name}_sum {self.sum:.6f}", f"{self.name}_count {total}"]
        return [f"# HELP {self.name} {self.about}", f"# TYPE {self.name} histogram", *rows]


class Metrics:
    """Of one server."""

    def __init__(self) -> None:
        self.connections = 0
        self.requests = Counter("amplify_requests_total", "Messages by what became of them.", "outcome")
        self.refused = Counter("amplify_refused_total", "Connections that were refused, by reason.", "reason")
        self.batch = Histogram("amplify_batch_size", "Observations of a forward pass.", BATCHES)
        self.waited = Histogram("amplify_wait_seconds", "Time before the forward pass.", SECONDS)
        self.inferred = Histogram("amplify_inference_seconds", "Time of a forward pass.", SECONDS)
        self.answered = Histogram("amplify_request_seconds", "Time from a message to its answer.", SECONDS)

    def text(self) -> str:
        """In Prometheus' text format."""
        gauge = "amplify_connections"
        lines = [f"# HELP {gauge} Open connections.", f"# TYPE {gauge} gauge", f"{gauge} {self.connections}"]
        for part in (self.requests, self.refused, self.batch, self.waited, self.inferred, self.answered):
            lines += part.lines()
        return "\n".join(lines) + "\n"
