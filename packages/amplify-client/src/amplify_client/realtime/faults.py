"""A policy behind a bad network: to rehearse, before it happens on the robot."""

import random
import time
from collections.abc import Mapping
from typing import Any

from amplify_client.chunks import Infers
from amplify_client.client import ServerError


class Faulty:
    """Delays answers, and loses some.

    Args:
        policy: Answers.
        latency_s: Added to every answer.
        jitter_s: Mean of a further, exponentially distributed delay.
        drop_share: Of requests that get no answer but an error, in 0 … 1.
        timeout_s: How long it takes to notice that.
        seed: Of what is drawn.

    Raises:
        ValueError: A time is negative, or the share is none.
    """

    def __init__(
        self,
        policy: Infers,
        *,
        latency_s: float = 0.0,
        jitter_s: float = 0.0,
        drop_share: float = 0.0,
        timeout_s: float = 0.5,
        seed: int = 0,
    ):
        if min(latency_s, jitter_s, timeout_s) < 0 or not 0 <= drop_share <= 1:
            raise ValueError("times are 0 or more, and the share of lost requests is in 0 … 1")
        self.policy, self.latency_s, self.jitter_s = policy, latency_s, jitter_s
        self.drop_share, self.timeout_s = drop_share, timeout_s
        self._draw = random.Random(seed)

    def infer(self, observation: Mapping[str, Any]) -> dict[str, Any]:
        """The answer, later.

        Raises:
            ServerError: This one is lost.
        """
        if self._draw.random() < self.drop_share:
            time.sleep(self.timeout_s)
            raise ServerError("the answer was dropped on purpose")
        time.sleep(self.latency_s + (self._draw.expovariate(1 / self.jitter_s) if self.jitter_s else 0.0))
        return self.policy.infer(observation)

    def reset(self) -> None:
        """Begins a new episode."""
        self.policy.reset()
