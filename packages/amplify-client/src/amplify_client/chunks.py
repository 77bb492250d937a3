"""One action a call, from a server that answers with several."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class Infers(Protocol):
    """Answers an observation."""

    def infer(self, observation: Mapping[str, Any]) -> dict[str, Any]:
        """Arrays, with a row a step."""
        ...

    def reset(self) -> None:
        """Begins a new episode."""
        ...


class ChunkBroker:
    """Asks for a new chunk when so many of its actions are used up.

    Args:
        policy: Asked for chunks.
        horizon: Actions of a chunk that are used; all where None.
    """

    def __init__(self, policy: Infers, horizon: int | None = None):
        if horizon is not None and horizon < 1:
            raise ValueError(f"a chunk's horizon must be 1 or more, and is {horizon}")
        self.policy, self.horizon = policy, horizon
        self._chunk: dict[str, Any] | None = None
        self._step = 0

    def infer(self, observation: Mapping[str, Any]) -> dict[str, Any]:
        """The answer for this step: every array of the chunk without its first axis.

        Args:
            observation: Of this step; sent only where a new chunk is needed.

        Raises:
            ServerError: From the server.
            ValueError: A chunk is shorter than the horizon.
        """
        if self._chunk is None:
            self._chunk, self._step = self.policy.infer(observation), 0
            length = len(self._chunk["actions"])
            if self.horizon is not None and self.horizon > length:
                self._chunk = None
                raise ValueError(f"the horizon is {self.horizon}, and the server's chunks have {length} actions")
        chunk, step = self._chunk, self._step
        self._step += 1
        if self._step >= (len(chunk["actions"]) if self.horizon is None else self.horizon):
            self._chunk = None
        return {name: value[step] if isinstance(value, np.ndarray) else value for name, value in chunk.items()}

    def reset(self) -> None:
        """Begins a new episode."""
        self._chunk = None
        self.policy.reset()
