"""Which episodes of a task are done, kept and still to be made."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one episode.

    Args:
        success: Whether it was recorded.
        attempts: Simulated attempts that it took.
        unstable: How many of them were discarded because the physics came apart.
        reason: Why it failed.
    """

    success: bool
    attempts: int = 0
    unstable: int = 0
    reason: str = ""


@dataclass
class Progress:
    """The episodes of one task, by number.

    Args:
        wanted: Successful episodes.
        patience: The task is given up when so many in a row have failed.
    """

    wanted: int
    patience: int
    _done: dict[int, Outcome] = field(default_factory=dict)

    def add(self, number: int, outcome: Outcome) -> None:
        """Takes down what became of an episode."""
        self._done[number] = outcome

    def next_numbers(self) -> list[int]:
        """Episodes to make now, none once enough are kept or the task is given up."""
        kept, _, end = self._followed()
        if self.complete or self.given_up:
            return []
        missing = self.wanted - len(kept)
        return [number for number in range(end, end + missing) if number not in self._done]

    @property
    def kept(self) -> list[int]:
        """Numbers of the successful episodes, no more than wanted."""
        return self._followed()[0]

    @property
    def complete(self) -> bool:
        """Whether as many as wanted are kept."""
        return len(self.kept) >= self.wanted

    @property
    def given_up(self) -> bool:
        """Whether too many in a row have failed."""
        return not self.complete and self._followed()[1] >= self.patience

    @property
    def reason(self) -> str:
        """Why the last failed episode failed."""
        end = self._followed()[2]
        return next((self._done[n].reason for n in reversed(range(end)) if not self._done[n].success), "")

    def counts(self) -> dict[str, Any]:
        """Episodes that are kept and that failed, and simulated attempts."""
        end = self._followed()[2]
        done = [self._done[number] for number in range(end)]
        return {
            "episodes": len(self.kept),
            "failed": sum(not outcome.success for outcome in done),
            "simulated_attempts": sum(outcome.attempts for outcome in done),
            "unstable": sum(outcome.unstable for outcome in done),
        }

    def _followed(self) -> tuple[list[int], int, int]:
        """Kept numbers, length of the last run of failures, and the first number after what was looked at.

        Episodes are looked at in the order of their numbers, and no further than it takes to be complete or to give up.
        """
        kept: list[int] = []
        failures = number = 0
        while number in self._done and len(kept) < self.wanted and failures < self.patience:
            if self._done[number].success:
                kept.append(number)
                failures = 0
            else:
                failures += 1
            number += 1
        return kept, failures, number
