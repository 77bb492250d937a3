"""What environments ask of actions."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from torch import Tensor


def commands_of(actions: Float[Tensor, "b a"], *, active: Sequence[bool], num_envs: int, width: int) -> np.ndarray:
    """The actions as an array (num_envs, width).

    Args:
        actions: Of every copy.
        active: Copies that will be stepped: only theirs must be finite.
        num_envs: Copies.
        width: Numbers of an action.

    Raises:
        ValueError: An action is not finite, or the shapes do not fit.
    """
    commands = actions.detach().cpu().numpy()
    if commands.shape != (num_envs, width) or len(active) != num_envs:
        raise ValueError(
            f"{num_envs} environments need actions of shape ({num_envs}, {width}) and as many active flags, "
            f"got {commands.shape} and {len(active)}"
        )
    for index in np.flatnonzero(active):
        if not np.isfinite(commands[index]).all():
            raise ValueError(f"action of environment {index} is not finite: {commands[index]}")
    return commands
