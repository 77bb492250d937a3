"""Plans for many sessions in one forward pass: whoever waits when the pass before ends goes together.

Sessions that were answered together ask again one after the other, within milliseconds. So the next pass waits until it
has as many as the last one answered, beside those who were waiting meanwhile; for a tenth of a pass at most.
"""

import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import torch

from amplify.errors import AmplifyError, UsageError
from amplify.protocols import Policy
from amplify.serve.metrics import Metrics
from amplify.types import ActionChunk, MotionTokens, Observation, Plan

PATIENCE = 0.1
"""Share of the last pass's time for which a batch may wait for others."""


class BusyError(AmplifyError):
    """More is asked for than can wait."""


@dataclass(slots=True)
class _Request:
    observation: Observation
    previous: Plan | None
    future: "Future[Plan]" = field(default_factory=Future)
    asked_s: float = field(default_factory=time.perf_counter)


class BatchingPolicy:
    """A `Policy` for many threads, each with a batch of one.

    Args:
        policy: Does the work, in one thread.
        metrics: Counts batches and times.
        max_batch: Requests of a pass.
        max_waiting: Requests that may wait; more are refused.
    """

    def __init__(self, policy: Policy, metrics: Metrics, *, max_batch: int = 16, max_waiting: int = 64):
        if max_batch < 1 or max_waiting < 1:
            raise UsageError("max_batch and max_waiting count from 1", got=f"{max_batch} and {max_waiting}")
        self.policy, self.metrics, self.max_batch = policy, metrics, max_batch
        self._waiting: queue.Queue[_Request | None] = queue.Queue(maxsize=max_waiting)
        self._answered, self._pass_s, self._ended_s = 0, 0.0, 0.0  # of the last pass
        self._thread = threading.Thread(target=self._work, name="forward-passes", daemon=True)
        self._thread.start()

    def plan(
        self, observation: Observation, *, previous: Plan | None = None, generator: torch.Generator | None = None
    ) -> Plan:
        """The plan for a batch of one, made together with whatever else waits; blocks.

        Args:
            observation: Of the same cameras and sizes as all others.
            previous: See `Policy`.
            generator: None: the likeliest plan is what a server gives.

        Raises:
            BusyError: Too many wait, or the server stops.
            AmplifyError: From the policy.
        """
        assert generator is None, "draws of one session would depend on who else asks"
        request = _Request(observation, previous)
        try:
            self._waiting.put_nowait(request)
        except queue.Full:
            raise BusyError("the server has more to do than it can", remedy="ask again later") from None
        return request.future.result()

    def close(self) -> None:
        """Ends the thread when the pass under way is done; who still waits is told."""
        self._waiting.put(None)
        self._thread.join()
        while not self._waiting.empty():
            request = self._waiting.get_nowait()
            if request is not None:
                request.future.set_exception(BusyError("the server stops"))

    def _work(self) -> None:
        while True:
            batch = self._gathered()
            if batch is None:
                return
            started = time.perf_counter()
            self.metrics.batch.observe(float(len(batch)))
            for request in batch:
                self.metrics.waited.observe(started - request.asked_s)
            self._answer(batch)
            self._answered, self._ended_s = len(batch), time.perf_counter()
            self._pass_s = self._ended_s - started
            self.metrics.inferred.observe(self._pass_s)

    def _gathered(self) -> list[_Request] | None:
        first = self._waiting.get()
        if first is None:
            return None
        batch, until = [first], self._ended_s + PATIENCE * self._pass_s
        while len(batch) < self.max_batch:
            waited = sum(request.asked_s < self._ended_s for request in batch)
            patience = until - time.perf_counter() if len(batch) < waited + self._answered else 0.0
            try:
                request = self._waiting.get(timeout=patience) if patience > 0 else self._waiting.get_nowait()
            except queue.Empty:
                break
            if request is None:
                self._waiting.put(None)  # the present batch is answered before the end
                break
            batch.append(request)
        return batch

    def _answer(self, batch: Sequence[_Request]) -> None:
        try:
            plan = self.policy.plan(joined([r.observation for r in batch]), previous=_previous(batch))
            for number, request in enumerate(batch):
                request.future.set_result(plan.map(lambda x, n=number: x[n : n + 1].clone()))
        except Exception as error:  # noqa: BLE001  (whatever it is, nobody may wait for ever)
            if len(batch) == 1:
                batch[0].future.set_exception(error)
                return
            # One observation may be at fault: the others are answered.
            for request in batch:
                self._answer([request])


def joined(observations: Sequence[Observation]) -> Observation:
    """Observations of a batch of one each as one batch."""
    first = observations[0]
    proprio = [o.proprio for o in observations if o.proprio is not None]
    return Observation(
        images=torch.cat([o.images for o in observations]),
        cameras=first.cameras,
        proprio=torch.cat(proprio) if first.proprio is not None else None,
        instruction=tuple(sentence for o in observations for sentence in o.instruction),
    )


def _previous(batch: Sequence[_Request]) -> Plan | None:
    """The plans before, with tokens of −1 and nothing valid where there was none."""
    known = [request.previous for request in batch if request.previous is not None]
    if not known:
        return None
    plans = [r.previous if r.previous is not None else _nothing(known[0]) for r in batch]
    tokens = [plan.tokens.indices for plan in plans if plan.tokens is not None]
    ages = [plan.age if plan.age is not None else torch.zeros(1, dtype=torch.long) for plan in plans]
    return Plan(
        actions=ActionChunk(
            actions=torch.cat([plan.actions.actions for plan in plans]),
            valid=torch.cat([plan.actions.valid for plan in plans]),
        ),
        tokens=MotionTokens(indices=torch.cat(tokens)) if len(tokens) == len(plans) else None,
        age=torch.cat(ages),
    )


def _nothing(like: Plan) -> Plan:
    return Plan(
        actions=ActionChunk(actions=torch.zeros_like(like.actions.actions), valid=torch.zeros_like(like.actions.valid)),
        tokens=None if like.tokens is None else MotionTokens(indices=torch.full_like(like.tokens.indices, -1)),
        age=torch.zeros(1, dtype=torch.long),
    )
