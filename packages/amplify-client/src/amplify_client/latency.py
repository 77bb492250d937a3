"""How long calls took, and where the time went."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class LatencyLog:
    """Times of calls in milliseconds; the newest ``capacity`` of them are kept.

    Args:
        capacity: How many.
    """

    capacity: int = 100_000
    rows: list[tuple[float, float]] = field(default_factory=list)
    calls: int = 0

    def add(self, total_ms: float, infer_ms: float) -> None:
        """One call.

        Args:
            total_ms: From sending the observation to holding the actions.
            infer_ms: Of which the server computed.
        """
        self.calls += 1
        if len(self.rows) >= self.capacity:
            del self.rows[: self.capacity // 10 or 1]
        self.rows.append((total_ms, infer_ms))

    def summary(self) -> dict[str, float]:
        """Median, 95th and 99th percentile and maximum of whole calls, and of what is not computing."""
        if not self.rows:
            return {"calls": 0}
        total = sorted(row[0] for row in self.rows)
        around = sorted(row[0] - row[1] for row in self.rows)
        return {
            "calls": self.calls,
            "p50_ms": percentile(total, 50),
            "p95_ms": percentile(total, 95),
            "p99_ms": percentile(total, 99),
            "max_ms": total[-1],
            "around_p50_ms": percentile(around, 50),
            "around_p99_ms": percentile(around, 99),
        }

    def save(self, path: str | Path) -> None:
        """Writes a CSV with a row a call."""
        with Path(path).open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["total_ms", "infer_ms"])
            writer.writerows(self.rows)


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` percent of the values do not exceed.

    Args:
        ordered: Ascending, at least one.
        share: In percent.
    """
    return ordered[max(0, math.ceil(share / 100 * len(ordered)) - 1)]
