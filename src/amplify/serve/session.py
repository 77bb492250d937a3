"""What a server remembers of one connection, and how it answers its messages."""

import time
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from amplify.errors import DataError, UsageError
from amplify.policy.controller import Controller, ControllerConfig
from amplify.protocols import Policy
from amplify.serve.mapping import Reader

Mode = Literal["chunk", "ensemble"]
ENDPOINTS = ("infer", "reset")


class Session:
    """Answers the messages of one connection, one after the other.

    Args:
        policy: Shared by all sessions.
        reader: Reads observations.
        mode: "chunk" answers with the whole plan and remembers nothing; "ensemble" answers with one action, merged from
            all plans that reach the present.
        controller: Replanning and merging in "ensemble".
    """

    def __init__(self, policy: Policy, reader: Reader, mode: Mode, controller: ControllerConfig):
        self.policy, self.reader, self.mode = policy, reader, mode
        self._controller = Controller(policy, controller)
        self._controller.reset(1)
        self._previous_ms: float | None = None

    def answer(self, message: Any) -> dict[str, Any] | str:
        """What is sent back: a map for an observation, a text for a reset.

        Args:
            message: As unpacked; ``endpoint`` says "infer" (the default) or "reset".

        Raises:
            AmplifyError: The message cannot be used.
        """
        if not isinstance(message, Mapping) or not all(isinstance(name, str) for name in message):
            raise DataError("a message that holds no names", allowed="a map of an observation")
        endpoint = message.get("endpoint", "infer")
        if endpoint not in ENDPOINTS:
            raise UsageError("unknown endpoint", got=repr(endpoint)[:80], allowed=", ".join(ENDPOINTS))
        if endpoint == "reset":
            self._controller.reset(1)
            return "reset successful"
        started = time.perf_counter()
        observation = self.reader.read(message)
        read = time.perf_counter()
        if self.mode == "chunk":
            plan = self.policy.plan(observation)
            valid = plan.actions.valid[0]
            actions = plan.actions.actions[0][valid]
        else:
            actions = self._controller.act(observation)
        ended = time.perf_counter()
        timing = {"infer_ms": 1000 * (ended - read), "read_ms": 1000 * (read - started)}
        if self._previous_ms is not None:
            timing["prev_total_ms"] = self._previous_ms
        return {"actions": np.ascontiguousarray(actions.float().cpu().numpy()), "server_timing": timing}

    def took(self, milliseconds: float) -> None:
        """How long the last answer took in all; the next one tells."""
        self._previous_ms = milliseconds
