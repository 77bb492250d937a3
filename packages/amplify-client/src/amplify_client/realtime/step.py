"""One tick of the loop, and who may look on."""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from amplify_client.realtime.limits import Limited


@dataclass(frozen=True)
class Step:
    """One tick of the loop.

    Args:
        tick: Its number; ticks that were missed are left out.
        at_s: When it was sent, from the start of the episode.
        late_ms: After its tick.
        observation: What the robot gave.
        phase: "acting", "waiting" for the first plan, or "stale".
        asked: Of the policy; None where it had nothing to say.
        action: Sent (or what a stop amounts to); None where nothing is known.
        age_ms: Of the observation behind the action.
        limited: What limits changed.
    """

    tick: int
    at_s: float
    late_ms: float
    observation: dict[str, Any]
    phase: str
    asked: np.ndarray | None
    action: np.ndarray | None
    age_ms: float | None
    limited: tuple[Limited, ...]


@runtime_checkable
class Observer(Protocol):
    """Looks on: a log, a recording. It must be quick: the robot waits."""

    def begin(self, instruction: str, seed: int) -> None:
        """An episode begins; one that did not `end` was interrupted."""
        ...

    def saw(self, step: Step) -> None:
        """A tick."""
        ...

    def end(self, outcome: str) -> None:
        """The episode is over."""
        ...
