"""What the loop asks of a robot, and how a robot is found by name."""

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

STATE = "observation/state"
"""Name of proprioception in an observation."""

_METHODS = ("reset", "observe", "act", "stop", "close")


@runtime_checkable
class Robot(Protocol):
    """One robot. One thread calls it; only `stop` may come from another, at any moment.

    It may also have ``success`` (True ends an episode), ``limits`` (a map, see `Limits.of`), ``rate_hz`` (actions a
    second that it is made for) and ``tip_m`` (see `Limiter`).
    """

    @property
    def action_names(self) -> Sequence[str]:
        """Of each number of an action."""
        ...

    @property
    def state_names(self) -> Sequence[str]:
        """Of each number of proprioception."""
        ...

    def reset(self, seed: int) -> None:
        """Goes to where an episode begins; may take its time, or wait for a person.

        Args:
            seed: Fixes the initial state of a simulated robot.
        """
        ...

    def observe(self) -> dict[str, Any]:
        """The newest images (uint8 RGB, by name) and ``observation/state``; cameras are best read by another thread."""
        ...

    def act(self, action: np.ndarray) -> None:
        """Begins to carry out one action, in the units of the policy's training, and returns.

        Args:
            action: One number a name, finite and within the limits.
        """
        ...

    def stop(self) -> np.ndarray | None:
        """Makes the robot hold still; safe at any time and as often as one likes.

        Returns:
            The action that this amounts to, for recordings; None where there is no such action.
        """
        ...

    def close(self) -> None:
        """Lets go of the hardware."""
        ...


def load_robot(name: str) -> Robot:
    """The robot of a class or function, called without arguments.

    Args:
        name: "module:Class"; modules of the working folder are found too.

    Raises:
        ValueError: There is no such thing, or what it makes is no robot.
    """
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise ValueError(f"a robot is named 'module:Class', and not {name!r}")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.split(".")[0] and error.name != module:
            raise
        raise ValueError(f"no module {error.name!r} in {os.getcwd()} or among the installed packages") from None
    make = getattr(found, attribute, None)
    if not callable(make):
        offered = [key for key, value in vars(found).items() if isinstance(value, type) and key[0] != "_"]
        raise ValueError(f"{module} has no {attribute!r}; its classes are {', '.join(offered) or 'none'}")
    robot: Any = make()
    missing = [f"{method}()" for method in _METHODS if not callable(getattr(robot, method, None))]
    missing += [field for field in ("action_names", "state_names") if not hasattr(robot, field)]
    if missing:
        raise ValueError(f"{name} is no robot: it lacks {', '.join(missing)}")
    return robot
