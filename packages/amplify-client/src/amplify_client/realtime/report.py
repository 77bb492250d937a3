"""What happened in an episode, in figures."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from amplify_client.latency import percentile
from amplify_client.realtime.limits import Limited


@dataclass
class LimitCount:
    """How often a limit changed an action.

    Args:
        steps: Actions that were changed.
        worst_asked: The one that was changed most.
        sent: In its place.
    """

    steps: int = 0
    worst_asked: float = 0.0
    sent: float = 0.0


@dataclass
class Tally:
    """Counts and times of one or more episodes; times in milliseconds.

    Args:
        rate_hz: That was to be kept.
        outcomes: How many episodes ended in which way.
        steps: Ticks of the clock that were used.
        missed: Ticks that were left out because the one before took too long.
        acted: Steps with an action.
        waiting: Steps without one before the first plan.
        stale: Steps without one later: no plan reached them, or only one too old.
        stalls: Unbroken rows of such steps.
        recovered: Stalls after which the robot acted again.
        asked: Observations sent to the policy.
        used: Answers that were entered.
        too_late: Answers that were over when they came.
        failed: Requests without an answer.
        blind: Steps at which proprioception was not finite, and the robot was stopped.
        refused: Answers with numbers that are not finite.
        watchdog: Times that the watchdog stopped the robot.
        seconds: From the first tick to the last.
        late_ms: After its tick, an action (or stop) was sent.
        period_ms: Between one sending and the next.
        answer_ms: From an observation to its answer.
        entered: Steps of a chunk that had passed when it was entered.
        jumps: Largest difference of an action to what the plan before said, at each hand-over.
        limits: By dimension and limit.
        last_error: Of the last failed request.
    """

    rate_hz: float
    outcomes: dict[str, int] = field(default_factory=dict)
    steps: int = 0
    missed: int = 0
    acted: int = 0
    waiting: int = 0
    stale: int = 0
    stalls: int = 0
    recovered: int = 0
    asked: int = 0
    used: int = 0
    too_late: int = 0
    failed: int = 0
    refused: int = 0
    blind: int = 0
    watchdog: int = 0
    seconds: float = 0.0
    late_ms: list[float] = field(default_factory=list)
    period_ms: list[float] = field(default_factory=list)
    answer_ms: list[float] = field(default_factory=list)
    entered: list[float] = field(default_factory=list)
    jumps: list[float] = field(default_factory=list)
    limits: dict[tuple[str, str], LimitCount] = field(default_factory=dict)
    last_error: str | None = None

    def limited(self, changes: Sequence[Limited]) -> None:
        """An action was changed."""
        for change in changes:
            count = self.limits.setdefault((change.dimension, change.limit), LimitCount())
            count.steps += 1
            if count.steps == 1 or abs(change.asked - change.sent) > abs(count.worst_asked - count.sent):
                count.worst_asked, count.sent = change.asked, change.sent

    def add(self, other: "Tally") -> None:
        """Another episode's figures on top of these."""
        for name, value in vars(other).items():
            mine = getattr(self, name)
            if name in ("outcomes", "limits", "rate_hz", "last_error"):
                continue
            setattr(self, name, mine + value)
        for outcome, count in other.outcomes.items():
            self.outcomes[outcome] = self.outcomes.get(outcome, 0) + count
        for key, count in other.limits.items():
            mine = self.limits.setdefault(key, LimitCount())
            if mine.steps == 0 or abs(count.worst_asked - count.sent) > abs(mine.worst_asked - mine.sent):
                mine.worst_asked, mine.sent = count.worst_asked, count.sent
            mine.steps += count.steps
        self.last_error = other.last_error or self.last_error

    def summary(self) -> dict[str, Any]:
        """Names and numbers, for people and JSON."""
        period = 1000 / self.rate_hz
        return {
            "outcomes": dict(self.outcomes),
            "rate_hz": {"asked": self.rate_hz, "achieved": self._achieved_hz()},
            "steps": {
                "acted": self.acted,
                "waiting_for_the_first_plan": self.waiting,
                "stale": self.stale,
                "blind": self.blind,
                "missed": self.missed,
            },
            "late_ms": _spread(self.late_ms),
            "jitter_ms": _spread([abs(p - period) for p in self.period_ms]),
            "plans": {
                "asked": self.asked,
                "used": self.used,
                "too_late": self.too_late,
                "failed": self.failed,
                "refused": self.refused,
            },
            "answer_ms": _spread(self.answer_ms),
            "entered_at_step": _spread(self.entered),
            "jump_at_hand_over": _spread(self.jumps),
            "stalls": {"count": self.stalls, "recovered": self.recovered, "watchdog": self.watchdog},
            "limited": [
                {"dimension": dimension, "limit": limit, "steps": c.steps, "worst_asked": c.worst_asked, "sent": c.sent}
                for (dimension, limit), c in sorted(self.limits.items())
            ],
            "last_error": self.last_error,
        }

    def _achieved_hz(self) -> float | None:
        spans = len(self.period_ms)
        return 1000 * spans / sum(self.period_ms) if spans else None


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    found = sorted(value for value in values if math.isfinite(value))
    if not found:
        return None
    return {"p50": percentile(found, 50), "p99": percentile(found, 99), "max": found[-1]}
