"""A robot that writes down what it is told, and a policy whose answers come when the test says."""

from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
from amplify_client import ServerError
from amplify_client.realtime import Answer, Limiter, Limits, Loop, LoopConfig, ManualClock

LOST = "lost"


@dataclass
class Told:
    """A robot with one dimension; its state is the number of actions that it has carried out."""

    clock: ManualClock
    observe_s: dict[int, float] = field(default_factory=dict)
    action_names: tuple[str, ...] = ("x",)
    state_names: tuple[str, ...] = ("done",)
    success: bool = False
    states: dict[int, float] = field(default_factory=dict)

    def __post_init__(self):
        self.done, self.seen = 0, -1  # the first picture is not on the clock
        self.calls: list[tuple[float, str, float | None]] = []

    def reset(self, seed):
        self.calls.append((self.clock.now_s(), "reset", seed))

    def observe(self):
        self.clock.passes(self.observe_s.get(self.seen, 0.0))
        state = self.states.get(self.seen, float(self.done))
        self.seen += 1
        return {"observation/state": np.array([state]), "observation/image": np.zeros((4, 4, 3), np.uint8)}

    def act(self, action):
        self.done += 1
        self.calls.append((self.clock.now_s(), "act", float(action[0])))

    def stop(self):
        self.calls.append((self.clock.now_s(), "stop", None))
        return np.array([0.0])

    def close(self):
        self.calls.append((self.clock.now_s(), "close", None))

    @property
    def acts(self):
        return [value for _, what, value in self.calls if what == "act"]

    @property
    def whats(self):
        return [what for _, what, _ in self.calls]


class Slow:
    """An asker whose n-th answer takes the n-th latency; the plan from state s is s, s + 1, s + 2, …

    Args:
        clock: Whose time counts.
        latencies: In seconds, the last one again and again; ``LOST`` for an answer that never comes but as an error
            after 0.2 s.
        horizon: Actions of a plan.
    """

    def __init__(self, clock, latencies, horizon=16):
        self.clock, self.latencies, self.horizon = clock, list(latencies), horizon
        self.asked_s: list[float] = []
        self.resets = 0
        self._under_way = None

    @property
    def busy(self):
        return self._under_way is not None

    def plan(self, observation):
        return observation["observation/state"][0] + np.arange(float(self.horizon))[:, None]

    def ask(self, observation, *, made_at, seen_s):
        assert not self.busy
        latency = self.latencies[min(len(self.asked_s), len(self.latencies) - 1)]
        self.asked_s.append(self.clock.now_s())
        lost = latency == LOST
        ready_s = self.clock.now_s() + (0.2 if lost else latency)
        found = None if lost else {"actions": self.plan(observation)}
        error = ServerError("the connection is closed") if lost else None
        self._under_way = Answer(found, error, made_at, seen_s, ready_s)

    def poll(self):
        answer = self._under_way
        if answer is None or answer.answered_s > self.clock.now_s() + 1e-9:
            return None
        self._under_way = None
        return answer

    def reset(self):
        self.resets += 1
        self._under_way = None

    def close(self):
        pass


@dataclass
class Notes:
    """An observer that keeps everything."""

    steps: list = field(default_factory=list)
    ends: list = field(default_factory=list)

    def begin(self, instruction, seed):
        self.ends.append((instruction, seed))

    def saw(self, step):
        self.steps.append(step)

    def end(self, outcome):
        self.ends.append(outcome)

    @property
    def phases(self):
        """[(phase, how many ticks in a row)]."""
        return [(phase, len(list(steps))) for phase, steps in groupby(step.phase for step in self.steps)]


def made(latencies=(0.0,), *, horizon=16, limits=None, observers=(), observe_s=None, states=None, **settings):
    """A loop on a clock that only sleeping moves: (loop, robot, asker, clock)."""
    clock = ManualClock(100.0)
    robot = Told(clock, observe_s or {}, states=states or {})
    asker = Slow(clock, latencies, horizon)
    config = LoopConfig(**{"rate_hz": 20.0, "max_steps": 40, "watchdog_s": 0.0, "max_age_s": 10.0, **settings})
    limiter = Limiter(limits or Limits(), robot.action_names, robot.state_names, config.rate_hz)
    return Loop(robot, asker, config, limiter=limiter, clock=clock, observers=observers), robot, asker, clock
