"""Any environment as a robot: it moves when it is told to, and time is the loop's."""

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from amplify_client.realtime import STATE

from amplify.errors import UsageError
from amplify.protocols import Env


class EnvRobot:
    """One copy of an environment, for `amplify_client.realtime.Loop`.

    Args:
        env: With one copy.
        action_names: Of its actions.
        state_names: Of its proprioception.
        neutral: The action that holds still; None for zeros.
        keep: Names of actions that a stop leaves as they were (a gripper that holds something).
        limits: See `amplify_client.realtime.Limits.of`; those of the action space where None.
        rate_hz: Decisions a second of the simulated robot.
        instruction: What it is usually told.

    Raises:
        UsageError: The environment has several copies, or other actions.
    """

    def __init__(
        self,
        env: Env,
        *,
        action_names: Sequence[str],
        state_names: Sequence[str],
        neutral: Sequence[float] | None = None,
        keep: Sequence[str] = (),
        limits: Mapping[str, Any] | None = None,
        rate_hz: float | None = None,
        instruction: str | None = None,
    ):
        if env.num_envs != 1 or len(env.action_low) != len(action_names):
            raise UsageError(
                "a robot is one copy of an environment",
                got=f"{env.num_envs} copies with {len(env.action_low)} actions",
                allowed=f"1 copy with {len(action_names)} actions",
            )
        self.env, self.action_names, self.state_names = env, tuple(action_names), tuple(state_names)
        self.limits = limits if limits is not None else of_action_space(env, action_names)
        self.rate_hz, self.instruction = rate_hz, instruction
        self.success = False
        self._neutral = np.zeros(len(action_names)) if neutral is None else np.asarray(neutral, dtype=float)
        self._kept = np.array([name in keep for name in action_names])
        self._last = self._neutral
        # A simulator is one thread's; the watchdog's stop comes from another.
        self._moving = threading.Lock()
        self.reset(0)

    def reset(self, seed: int) -> None:
        """The initial state that belongs to the seed."""
        with self._moving:
            self.env.reset([seed])
            self.success, self._last = False, self._neutral

    def observe(self) -> dict[str, Any]:
        """Images by camera, ``observation/<camera>``, and proprioception."""
        with self._moving:
            seen = self.env.observe()
        found: dict[str, Any] = {
            f"observation/{name}": seen.images[0, view].numpy() for view, name in enumerate(seen.cameras)
        }
        if seen.proprio is not None:
            found[STATE] = seen.proprio[0].numpy()
        return found

    def act(self, action: np.ndarray) -> None:
        """One step of the environment."""
        with self._moving:
            self._step(np.asarray(action, dtype=float))

    def stop(self) -> np.ndarray:
        """One step of holding still. Where another thread is in the simulator nothing moves anyway."""
        still = np.where(self._kept, self._last, self._neutral)
        if self._moving.acquire(blocking=False):
            try:
                self._step(still)
            finally:
                self._moving.release()
        return still

    def close(self) -> None:
        """Frees the simulator."""
        self.env.close()

    def _step(self, action: np.ndarray) -> None:
        self._last = action
        reached = self.env.step(torch.from_numpy(action).float()[None], active=[True])
        self.success = self.success or bool(reached[0])


def of_action_space(env: Env, action_names: Sequence[str]) -> dict[str, Any]:
    """Limits that keep actions where the environment takes them."""
    bounds = zip(action_names, env.action_low.tolist(), env.action_high.tolist())
    return {"dimensions": {name: {"low": low, "high": high} for name, low, high in bounds}}
