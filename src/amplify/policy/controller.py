"""All memory of acting: replanning and temporal ensembling (Zhao et al., arXiv 2304.13705)."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor

from amplify.config import Config
from amplify.errors import UsageError
from amplify.protocols import Policy
from amplify.types import ActionChunk, MotionTokens, Observation, Plan


class ControllerConfig(Config):
    """When to replan and how to merge overlapping plans.

    Args:
        replan_every: Decisions between plans.
        ensemble: Whether to average what all plans in memory say about the present decision; if not, the newest acts.
        decay: Weight of the i-th plan is exp(−decay·i).
        first: Whether i counts from the "oldest" plan, as in the paper, or from the "newest".
    """

    replan_every: int = Field(default=1, ge=1)
    ensemble: bool = True
    decay: float = Field(default=0.01, ge=0)
    first: Literal["oldest", "newest"] = "oldest"


class Controller:
    """Turns a pure policy into one action a decision, for a batch of environments that may restart one by one.

    Args:
        policy: Observation → plan.
        config: Replanning and ensembling.
    """

    def __init__(self, policy: Policy, config: ControllerConfig):
        self.policy, self.config = policy, config
        self._clock = torch.zeros(0, dtype=torch.long)  # decisions since each environment's first
        self._memory: _Memory | None = None

    def reset(self, copies: int, *, mask: Sequence[bool] | None = None) -> None:
        """Forgets all plans, or those of some environments.

        Args:
            copies: Environments that act together.
            mask: Those that start anew; all by default.
        """
        if mask is None or len(self._clock) != copies:
            self._clock = torch.zeros(copies, dtype=torch.long)
            self._memory = None
            return
        chosen = torch.tensor(mask)
        self._clock[chosen] = 0
        if self._memory is not None:
            self._memory.forget(chosen)

    @property
    def plan(self) -> Plan | None:
        """The newest plan of every environment; None before the first."""
        return None if self._memory is None else self._memory.newest()

    def due(self, active: Sequence[bool] | None = None) -> bool:
        """Whether the next decision plans, and so needs an observation."""
        awake = torch.ones(len(self._clock), dtype=torch.bool) if active is None else torch.tensor(active)
        return bool((awake & (self._clock % self.config.replan_every == 0)).any())

    def act(
        self,
        observation: Observation | None,
        *,
        active: Sequence[bool] | None = None,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "b a"]:
        """The action of this decision, environment units; zero where an environment is not active.

        Args:
            observation: Of all environments; None where no plan is `due`.
            active: Environments that still act; the others cost nothing.
            generator: Passed to the policy.

        Raises:
            UsageError: Plans are shorter than the replanning interval, or nobody was ever active.
        """
        if observation is not None and len(self._clock) != len(observation.instruction):
            self.reset(len(observation.instruction))
        awake = torch.ones(len(self._clock), dtype=torch.bool) if active is None else torch.tensor(active)
        due = awake & (self._clock % self.config.replan_every == 0)
        if due.any():
            if observation is None:
                raise UsageError("a plan is due and there is no observation", remedy="ask `due` first")
            previous = None if self._memory is None else self._memory.known(due, self._clock)
            plan = self.policy.plan(_select(observation, due), previous=previous, generator=generator)
            if self._memory is None:
                self._memory = _Memory(len(due), plan, self.config)
            self._memory.add(plan, due, self._clock)
        if self._memory is None:
            raise UsageError("no environment is active at the first decision", remedy="keep at least one active")
        actions = self._memory.merge(self._clock)
        self._clock = self._clock + awake
        return torch.where(awake[:, None], actions, 0.0)


class _Memory:
    """The plans that still reach the present, of every environment; slot 0 is the newest, a start of −1 is empty."""

    def __init__(self, batch: int, plan: Plan, config: ControllerConfig):
        _, horizon, width = plan.actions.actions.shape
        if config.replan_every > horizon:
            raise UsageError(
                "the controller replans more rarely than a plan lasts",
                got=f"replan_every {config.replan_every}",
                allowed=f"1 to {horizon}, the plan's actions",
            )
        slots = -(-horizon // config.replan_every) if config.ensemble else 1
        self.config = config
        self.actions = torch.zeros(batch, slots, horizon, width)
        self.valid = torch.zeros(batch, slots, horizon, dtype=torch.bool)
        self.starts = torch.full((batch, slots), -1)
        self.tokens = None if plan.tokens is None else torch.zeros(batch, plan.tokens.indices.shape[-1]).long()

    def forget(self, chosen: Bool[Tensor, " b"]) -> None:
        self.starts[chosen] = -1

    def add(self, plan: Plan, due: Bool[Tensor, " b"], clock: Int[Tensor, " b"]) -> None:
        actions, valid = plan.actions.actions[:, None].cpu(), plan.actions.valid[:, None].cpu()
        self.actions[due] = torch.cat((actions, self.actions[due, :-1]), dim=1)
        self.valid[due] = torch.cat((valid, self.valid[due, :-1]), dim=1)
        self.starts[due] = torch.cat((clock[due, None], self.starts[due, :-1]), dim=1)
        if self.tokens is not None and plan.tokens is not None:
            self.tokens[due] = plan.tokens.indices.cpu()

    def known(self, chosen: Bool[Tensor, " b"], clock: Int[Tensor, " b"]) -> Plan | None:
        """The newest plans of some environments and their age; tokens are −1 where there is none, None if nowhere."""
        start = self.starts[chosen, 0]
        exists = start >= 0
        if not exists.any():
            return None
        newest = self.newest().map(lambda x: x[chosen])
        tokens = newest.tokens
        if tokens is not None:
            tokens = MotionTokens(indices=torch.where(exists[:, None], tokens.indices, -1))
        chunk = ActionChunk(actions=newest.actions.actions, valid=newest.actions.valid & exists[:, None])
        return Plan(actions=chunk, tokens=tokens, age=torch.where(exists, clock[chosen] - start, 0))

    def newest(self) -> Plan:
        tokens = None if self.tokens is None else MotionTokens(indices=self.tokens.clone())
        chunk = ActionChunk(actions=self.actions[:, 0].clone(), valid=self.valid[:, 0].clone())
        return Plan(actions=chunk, tokens=tokens)

    def merge(self, clock: Int[Tensor, " b"]) -> Float[Tensor, "b a"]:
        age = clock[:, None] - self.starts  # (b, slots)
        horizon, width = self.actions.shape[2:]
        at = age.clamp(0, horizon - 1)[..., None]
        known = (self.starts >= 0) & (age < horizon) & self.valid.gather(2, at)[..., 0]
        said = self.actions.gather(2, at[..., None].expand(-1, -1, -1, width))[:, :, 0]
        newer = known.long().cumsum(dim=1) - 1
        rank = newer if self.config.first == "newest" else known.sum(dim=1, keepdim=True) - 1 - newer
        weight = torch.where(known, torch.exp(-self.config.decay * rank), 0.0)
        return (weight[..., None] * said).sum(dim=1) / weight.sum(dim=1, keepdim=True).clamp_min(1e-12)


def _select(observation: Observation, chosen: Bool[Tensor, " b"]) -> Observation:
    if bool(chosen.all()):
        return observation
    return Observation(
        images=observation.images[chosen],
        cameras=observation.cameras,
        proprio=None if observation.proprio is None else observation.proprio[chosen],
        instruction=tuple(s for s, keep in zip(observation.instruction, chosen.tolist()) if keep),
        goal=None if observation.goal is None else observation.goal[chosen],
    )
