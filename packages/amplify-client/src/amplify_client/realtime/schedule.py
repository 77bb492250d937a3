"""Which action is due: chunks that arrive late are entered where the robot is by then."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

Merge = Literal["newest", "ensemble"]
MERGES = ("newest", "ensemble")


@dataclass(frozen=True)
class Chunk:
    """Actions planned from one observation.

    Args:
        actions: (steps, dimensions); the first is that of the observation's own moment.
        made_at: Actions that had been sent when the observation was made.
        seen_s: When that was.
        entered_at: Actions that had been sent when the chunk arrived.
    """

    actions: np.ndarray
    made_at: int
    seen_s: float
    entered_at: int

    def at(self, progress: int) -> np.ndarray | None:
        """What the chunk says after so many sent actions; None where it has ended."""
        step = progress - self.made_at
        return self.actions[step] if 0 <= step < len(self.actions) else None


@dataclass(frozen=True)
class HandOver:
    """A new chunk takes over.

    Args:
        step: Its action that is due now; those before belong to the time in which it was computed.
        jump: Largest difference to what was planned for now before; None where nothing was.
    """

    step: int
    jump: float | None


class Schedule:
    """The plans that reach the present.

    A chunk is entered after as many of its actions as have been sent since its observation: while the rate is kept that
    is the latency in steps, and where the robot stood still meanwhile (at the start, after a stall) it is fewer, since
    the world of the observation still stands.

    Args:
        merge: "newest": the newest chunk acts. "ensemble": all that reach the present are averaged, the i-th from the
            oldest with weight exp(−decay·i) (temporal ensembling, Zhao et al., arXiv 2304.13705).
        fade_steps: Of "newest": steps in which the chunk before still has a share, that falls evenly to none.
        decay: Of "ensemble".

    Raises:
        ValueError: There is no such merge, or a number is negative.
    """

    def __init__(self, merge: Merge = "newest", fade_steps: int = 0, decay: float = 0.01):
        if merge not in MERGES:
            raise ValueError(f"merge is one of {', '.join(MERGES)}, and not {merge!r}")
        if fade_steps < 0 or decay < 0:
            raise ValueError(f"fade_steps and decay are 0 or more, and not {fade_steps} and {decay}")
        self.merge, self.fade_steps, self.decay = merge, fade_steps, decay
        self.progress = 0
        self._chunks: list[Chunk] = []

    def add(self, actions: np.ndarray, *, made_at: int, seen_s: float) -> HandOver | None:
        """Takes a chunk; None where all of its actions are over already.

        Args:
            actions: (steps, dimensions).
            made_at: `progress` when its observation was made.
            seen_s: When that was.
        """
        step = self.progress - made_at
        if step >= len(actions):
            return None
        before = self.due()
        self._chunks.append(Chunk(actions, made_at, seen_s, self.progress))
        return HandOver(step, None if before is None else float(np.abs(actions[step] - before[0]).max()))

    def due(self) -> tuple[np.ndarray, float] | None:
        """The action for now and when its newest observation was made; None where no plan reaches the present."""
        self._chunks = [chunk for chunk in self._chunks if chunk.at(self.progress) is not None]
        if not self._chunks:
            return None
        said = [chunk.actions[self.progress - chunk.made_at] for chunk in self._chunks]
        newest = self._chunks[-1]
        if self.merge == "ensemble":
            weights = np.array([math.exp(-self.decay * i) for i in range(len(said))])
        else:
            share = min(1.0, (self.progress - newest.entered_at + 1) / (self.fade_steps + 1))
            weights = np.array([0.0] * (len(said) - 2) + [1 - share, share][-len(said) :])
        return (weights / weights.sum()) @ np.stack(said), newest.seen_s

    def sent(self) -> None:
        """The action that was due has been sent."""
        self.progress += 1

    def clear(self) -> None:
        """Forgets all plans: a new episode."""
        self._chunks, self.progress = [], 0
