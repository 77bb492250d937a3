"""Settings of the loop."""

import math
from dataclasses import dataclass

from amplify_client.realtime.schedule import Merge


@dataclass(frozen=True)
class LoopConfig:
    """How an episode is run.

    Args:
        rate_hz: Actions a second; that of the policy's training.
        replan_every: Actions from one observation that is sent to the next; a plan must outlast it and the latency.
        max_age_s: What was seen longer ago is no ground to act on.
        give_up_s: A stall that lasts so long ends the episode.
        watchdog_s: A step that lasts so long stops the robot, from another thread; 0 for no watchdog.
        max_steps: Actions of an episode.
        merge: See `Schedule`.
        fade_steps: See `Schedule`.
        decay: See `Schedule`.
        priority: Of the loop's thread, see `undisturbed`; 0 for none.
        dry_run: Nothing is sent to the robot, not even a stop.
    """

    rate_hz: float = 20.0
    replan_every: int = 4
    max_age_s: float = 1.0
    give_up_s: float = 5.0
    watchdog_s: float = 0.5
    max_steps: int = 1000
    merge: Merge = "newest"
    fade_steps: int = 0
    decay: float = 0.01
    priority: int = 0
    dry_run: bool = False

    def __post_init__(self) -> None:
        for name in ("rate_hz", "max_age_s", "give_up_s"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} is above 0, and not {getattr(self, name)}")
        for name in ("replan_every", "max_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} counts from 1, and is {getattr(self, name)}")
        if not 0 <= self.priority <= 99:
            raise ValueError(f"priority is in 0 … 99, and not {self.priority}")
        if self.watchdog_s < 0:
            raise ValueError(f"watchdog_s is 0 or more, and not {self.watchdog_s}")
