"""Where studies record and act: one simulator's recordings and rollouts behind the same calls."""

from abc import ABC, abstractmethod
from typing import Any, Literal

from amplify.config import Config
from amplify.evaluate.rollout import RolloutConfig
from amplify.policy.controller import ControllerConfig
from amplify.sim.libero.config import LiberoConfig
from amplify.sim.libero.record_config import RecordConfig as LiberoRecordConfig
from amplify.sim.record import RecordConfig


class Simulator(Config, ABC):
    """A simulator as studies use it."""

    @abstractmethod
    def recording(
        self, name: str, *, tasks: tuple[str, ...], episodes: int, seed: int, **changes: Any
    ) -> RecordConfig | LiberoRecordConfig:
        """What is recorded for a purpose.

        Args:
            name: The purpose ("videos", "demos", "held-out").
            tasks: Of the simulator.
            episodes: A task.
            seed: Of the recording.
            **changes: Settings that differ from those for all purposes.
        """

    @abstractmethod
    def rollouts(
        self,
        *,
        tasks: tuple[str, ...],
        rollouts: int,
        seed: int,
        controller: ControllerConfig,
        max_decisions: int | None,
        instructions: tuple[tuple[str, str], ...],
        films: int,
    ) -> RolloutConfig:
        """Where a policy acts; the arguments are `RolloutConfig`'s."""


class MetaWorld(Simulator):
    """Meta-World: initial states are drawn by seeds, those of rollouts other than those of recordings."""

    kind: Literal["metaworld"] = "metaworld"

    def recording(self, name: str, *, tasks: tuple[str, ...], episodes: int, seed: int, **changes: Any) -> RecordConfig:
        """Scripted experts, or play."""
        return RecordConfig(tasks=tasks, episodes=episodes, seed=seed, **changes)

    def rollouts(self, *, rollouts: int, **settings: Any) -> RolloutConfig:
        """Copies of all initial states, stepped together."""
        return RolloutConfig(rollouts=rollouts, copies=min(20, rollouts), **settings)


class Libero(Simulator):
    """A suite of LIBERO: official initial states, shared out so that policies act from states that no recording has.

    Args:
        suite: Its name.
        simulator: Cameras, image size, quality.
        states: Purpose → first and last of the initial states that its recordings take in turn.
        acting: First of the initial states that policies act from.
    """

    kind: Literal["libero"] = "libero"
    suite: str = "libero_object"
    simulator: LiberoConfig = LiberoConfig()
    states: tuple[tuple[str, int, int], ...] = (("videos", 0, 19), ("demos", 20, 29), ("held-out", 30, 34))
    acting: int = 30

    def recording(
        self, name: str, *, tasks: tuple[str, ...], episodes: int, seed: int, **changes: Any
    ) -> LiberoRecordConfig:
        """The oracle's demonstrations."""
        known = {purpose: tuple(range(first, last + 1)) for purpose, first, last in self.states}
        settings = {"initial_states": known.get(name, tuple(range(self.acting))), "simulator": self.simulator}
        return LiberoRecordConfig.model_validate(
            {"suite": self.suite, "tasks": tasks, "episodes": episodes, "seed": seed, **settings, **changes}
        )

    def rollouts(self, *, rollouts: int, **settings: Any) -> RolloutConfig:
        """Official initial states, one after the other."""
        return RolloutConfig(
            benchmark=f"libero/{self.suite}",
            rollouts=rollouts,
            initial_states=tuple(range(self.acting, self.acting + rollouts)),
            copies=min(10, rollouts),
            **settings,
        )
