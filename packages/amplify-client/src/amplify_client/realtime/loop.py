"""A fixed rate, whatever the policy does: acts on one plan while the next is computed, stops where there is none."""

from collections.abc import Sequence
from contextlib import ExitStack

from amplify_client.realtime.asking import Asker
from amplify_client.realtime.clock import Clock, WallClock
from amplify_client.realtime.episode import Episode
from amplify_client.realtime.limits import Limiter
from amplify_client.realtime.priority import undisturbed
from amplify_client.realtime.report import Tally
from amplify_client.realtime.robot import Robot
from amplify_client.realtime.settings import LoopConfig
from amplify_client.realtime.step import Observer
from amplify_client.realtime.watchdog import Watchdog


class Loop:
    """Runs episodes.

    Args:
        robot: What acts.
        asker: Asks the policy.
        config: How.
        limiter: Keeps actions within limits.
        clock: Whose time counts.
        observers: Are told of every step.
    """

    def __init__(
        self,
        robot: Robot,
        asker: Asker,
        config: LoopConfig,
        *,
        limiter: Limiter,
        clock: Clock | None = None,
        observers: Sequence[Observer] = (),
    ):
        self.robot, self.asker, self.config, self.limiter = robot, asker, config, limiter
        self.clock: Clock = clock or WallClock()
        self.observers = observers

    def run(self, instruction: str, *, seed: int = 0) -> Tally:
        """One episode, from reset to the robot's last stop; what happened.

        Args:
            instruction: What the policy is told.
            seed: See `Robot.reset`.

        Raises:
            ValueError: The policy's actions are not the robot's.
            Exception: Whatever robot or policy raise, after the robot was stopped; but a `ServerError` is only a plan
                that did not come.
        """
        config, observers = self.config, self.observers
        episode = Episode(self.robot, self.asker, config, self.limiter, self.clock, observers, instruction)
        self.limiter.reset()
        self.asker.reset()
        with ExitStack() as stack:
            if not config.dry_run:
                stack.callback(self.robot.stop)
                self.robot.reset(seed)
            self.robot.observe()  # the first picture of a camera or simulator may take long: not on the clock
            for observer in observers:
                observer.begin(instruction, seed)
            stack.enter_context(undisturbed(config.priority))
            if config.watchdog_s and not config.dry_run:
                episode.watchdog = Watchdog(self.robot.stop, config.watchdog_s, priority=config.priority)
                stack.enter_context(episode.watchdog)
            outcome = episode.acted_out()
        tally = episode.tally
        tally.outcomes[outcome] = 1
        tally.watchdog = 0 if episode.watchdog is None else episode.watchdog.fired
        for observer in observers:
            observer.end(outcome)
        return tally
