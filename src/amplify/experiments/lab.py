"""What studies have in common: tasks, recordings, models, and budgets at laptop scale (those of Meta-World)."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import Field

from amplify import rng
from amplify.baselines.track_diffusion import TrackDiffusionConfig
from amplify.baselines.track_transformer import TrackTransformerConfig
from amplify.config import Config
from amplify.errors import pick
from amplify.experiments.cells.baselines import AnyPoint, Diffusion
from amplify.experiments.cells.data import Data, Part, Recording, Tracking
from amplify.experiments.cells.models import Cloning, Forward, Inverse, PolicyModel, Tokenizer
from amplify.experiments.cells.rollouts import Rollouts
from amplify.experiments.defaults import ALL_TRACKERS
from amplify.experiments.simulators import Libero, MetaWorld
from amplify.forward.dynamics import ForwardConfig
from amplify.inverse.action_decoder import InverseConfig
from amplify.policy.controller import ControllerConfig
from amplify.tokens.tokenizer import TokenizerConfig
from amplify.train.loop import TrainConfig
from amplify.train.recipes import InverseTraining

OPPOSITES = {
    "drawer-open": "drawer-close",
    "window-open": "window-close",
    "door-open": "door-close",
    "faucet-open": "faucet-close",
}
PAIRS = tuple(task for pair in OPPOSITES.items() for task in pair)
"""Opposite tasks in the same scene, so that what is asked for cannot be guessed from the furniture."""


class LabConfig(Config):
    """Data, models and budgets that the arms of a study share.

    Args:
        budget: The name of these settings.
        simulator: Where data are recorded and policies act.
        seed: Of recording, training and evaluation.
        tasks: Of the simulator.
        videos: Action-free videos a task.
        held_out: Held-out videos a task.
        demos: Demonstrations with actions a task that are recorded; arms take some of them.
        play: Episodes of play a scene.
        tracking: How points are followed in everything that is learned from.
        tokenizer: Model of the motion tokenizer.
        tokenizer_training: Its budget.
        forward: Model of forward dynamics.
        forward_training: Its budget.
        any_point: Model of ATM's track transformer.
        any_point_training: Its budget: as much processor time as tokenizer and forward dynamics together.
        diffusion: Model of diffused tracks; it gets the same budget.
        inverse: Model of inverse dynamics and of the baselines' action decoder.
        inverse_training: Its budget, and that of every other policy.
        zero_shot_training: The same where the targets' actions are missing: more actions of other kinds to learn from.
            Only tokens of real tracks are used: what forward dynamics foresees belongs to its own tasks.
        training_seeds: Policies trained with other seeds, a cell of the table.
        motion_seeds: The same for motion models, where these are what is compared.
        ablation_seeds: The same for each option of the ablation.
        ablation_share: Share of the steps that the motion models of each option of the ablation get.
        rollouts: Initial states a task.
        max_decisions: Step limit of a rollout; None for the simulator's own.
        controller: Replanning and ensembling, for every policy.
    """

    budget: str
    simulator: MetaWorld | Libero = Field(default=MetaWorld(), discriminator="kind")
    seed: int = 0
    tasks: tuple[str, ...] = PAIRS
    videos: int = 30
    held_out: int = 5
    demos: int = 30
    play: int = 20
    tracking: Tracking = Tracking()
    tokenizer: TokenizerConfig = TokenizerConfig.quickstart()
    tokenizer_training: TrainConfig
    forward: ForwardConfig = ForwardConfig.quickstart()
    forward_training: TrainConfig
    any_point: TrackTransformerConfig = TrackTransformerConfig.quickstart()
    any_point_training: TrainConfig
    diffusion: TrackDiffusionConfig = TrackDiffusionConfig.quickstart()
    inverse: InverseConfig = InverseConfig.quickstart(image_dropout=0.3)
    inverse_training: InverseTraining
    zero_shot_training: InverseTraining
    training_seeds: int = 3
    motion_seeds: int = 2
    ablation_seeds: int = 1
    ablation_share: float = 0.5
    rollouts: int = 10
    max_decisions: int | None = 60
    controller: ControllerConfig = ControllerConfig(replan_every=2)


def _smoke(**changes: Any) -> LabConfig:
    loop = {"batch_size": 16, "learning_rate": 1e-3, "warmup_steps": 2, "log_every": 2}
    settings: dict[str, Any] = {
        "tasks": PAIRS[:2],
        "videos": 2,
        "held_out": 1,
        "demos": 2,
        "play": 1,
        "tokenizer": TokenizerConfig.quickstart(width=32, decoder_hidden=32),
        "tokenizer_training": TrainConfig(steps=6, **loop),
        "forward": ForwardConfig.quickstart(width=32, layers=1),
        "forward_training": TrainConfig(steps=4, **loop),
        "any_point": TrackTransformerConfig.quickstart(width=32, layers=1),
        "any_point_training": TrainConfig(steps=4, **loop),
        "diffusion": TrackDiffusionConfig.quickstart(width=32, layers=1),
        "inverse": InverseConfig.quickstart(width=32, layers=1, image_dropout=0.3),
        "inverse_training": InverseTraining(loop=TrainConfig(steps=4, **loop)),
        "zero_shot_training": InverseTraining(loop=TrainConfig(steps=4, **loop), predicted_from=1.0),
        "training_seeds": 1,
        "motion_seeds": 1,
        "rollouts": 1,
        "max_decisions": 4,
    }
    return LabConfig(budget="smoke", **{**settings, **changes})


def _laptop(**changes: Any) -> LabConfig:
    settings: dict[str, Any] = {
        "tokenizer_training": TrainConfig(steps=1000, batch_size=64, learning_rate=3e-3),
        "forward_training": TrainConfig(steps=1000, batch_size=64, learning_rate=3e-3),
        "any_point_training": TrainConfig(steps=2150, batch_size=64, learning_rate=3e-3),
        "inverse_training": InverseTraining(loop=TrainConfig(steps=500, batch_size=64, learning_rate=1e-3)),
        "zero_shot_training": InverseTraining(
            loop=TrainConfig(steps=900, batch_size=64, learning_rate=1e-3), predicted_from=1.0
        ),
    }
    return LabConfig(budget="laptop", **{**settings, **changes})


def _long(**changes: Any) -> LabConfig:
    settings: dict[str, Any] = {
        "videos": 50,
        "tokenizer_training": TrainConfig(steps=3000, batch_size=64, learning_rate=3e-3),
        "forward_training": TrainConfig(steps=4000, batch_size=64, learning_rate=3e-3),
        "any_point_training": TrainConfig(steps=7600, batch_size=64, learning_rate=3e-3),
        "inverse_training": InverseTraining(loop=TrainConfig(steps=1500, batch_size=64, learning_rate=1e-3)),
        "zero_shot_training": InverseTraining(
            loop=TrainConfig(steps=3000, batch_size=64, learning_rate=1e-3), predicted_from=1.0
        ),
        "training_seeds": 5,
        "motion_seeds": 3,
        "ablation_seeds": 3,
        "rollouts": 50,
    }
    return LabConfig(budget="long", **{**settings, **changes})


BUDGETS = {"smoke": _smoke, "laptop": _laptop, "long": _long}
"""Seconds with figures that mean nothing; an evening's hour on two cores; hours."""


def lab_config(budget: str, *, tracker: str = "flow", **changes: Any) -> LabConfig:
    """A budget's settings with changes.

    Args:
        budget: One of `BUDGETS`.
        tracker: Of everything that is learned from.
        **changes: Settings that replace the budget's.

    Raises:
        UnknownNameError: There is no such budget or tracker.
    """
    pick(tracker, ALL_TRACKERS, kind="tracker")
    return pick(budget, BUDGETS, kind="budget")(tracking=Tracking.model_validate({"tracker": tracker}), **changes)


class Lab:
    """Makes cells from the common settings.

    Args:
        config: The settings.
    """

    def __init__(self, config: LabConfig):
        self.config = config

    def recording(self, name: str, *, tasks: tuple[str, ...], episodes: int, **changes: Any) -> Recording:
        """A recording with a seed of its own; without actions unless asked for."""
        settings = {"actions": False, **changes}
        seed = rng.derive(self.config.seed, name)
        record = self.config.simulator.recording(name, tasks=tasks, episodes=episodes, seed=seed, **settings)
        return Recording(name=name, record=record)

    def videos(self, tasks: tuple[str, ...] | None = None) -> Recording:
        """Action-free videos of the experts."""
        return self.recording("videos", tasks=tasks or self.config.tasks, episodes=self.config.videos)

    def held_out(self) -> Recording:
        """Videos that nothing learns from."""
        return self.recording("held-out", tasks=self.config.tasks, episodes=self.config.held_out)

    def demos(self) -> Recording:
        """Demonstrations with actions."""
        return self.recording("demos", tasks=self.config.tasks, episodes=self.config.demos, actions=True)

    def play(self, tasks: tuple[str, ...]) -> Recording:
        """Aimless play with actions in the tasks' scenes."""
        return self.recording("play", tasks=tasks, episodes=self.config.play, actions=True, play=True)

    def data(self, *parts: Part | Recording, features: bool = True) -> Data:
        """What a model learns from."""
        listed = tuple(Part(recording=part) if isinstance(part, Recording) else part for part in parts)
        return Data(parts=listed, tracking=self.config.tracking, features=features)

    def tokenizer(self, data: Data, *, seed: int | None = None, **changes: Any) -> Tokenizer:
        """The motion tokenizer of some videos; ``changes`` are to its model. Features are not read."""
        return Tokenizer(
            data=data.model_copy(update={"features": False}),
            model=changed(self.config.tokenizer, changes),
            train=self.seeded(self.config.tokenizer_training, seed),
        )

    def forward(
        self, data: Data, *, tokenizer: Tokenizer | None = None, seed: int | None = None, **changes: Any
    ) -> Forward:
        """Forward dynamics of the same videos; ``changes`` are to its model."""
        return Forward(
            tokenizer=tokenizer or self.tokenizer(data, seed=seed),
            data=data,
            model=changed(self.config.forward, changes),
            train=self.seeded(self.config.forward_training, seed),
        )

    def any_point(self, data: Data, *, seed: int | None = None) -> AnyPoint:
        """ATM's track transformer of the same videos."""
        return AnyPoint(data=data, model=self.config.any_point, train=self.seeded(self.config.any_point_training, seed))

    def diffusion(self, data: Data, *, seed: int | None = None) -> Diffusion:
        """A diffusion model of tracks of the same videos, with the any-point transformer's budget."""
        return Diffusion(
            data=data, model=self.config.diffusion, train=self.seeded(self.config.any_point_training, seed)
        )

    def inverse(
        self, forward: Forward, data: Data, seed: int, *, training: InverseTraining | None = None, **changes: Any
    ) -> Inverse:
        """Inverse dynamics; ``changes`` are to its model."""
        training = training or self.config.inverse_training
        return Inverse(
            forward=forward,
            data=data,
            model=changed(self.config.inverse, changes),
            train=training.model_copy(update={"loop": self.seeded(training.loop, seed)}),
        )

    def cloning(self, data: Data, seed: int, *, training: InverseTraining | None = None, **changes: Any) -> Cloning:
        """Behaviour cloning for as many steps; ``changes`` are to its model. It reads no tracks."""
        training = training or self.config.inverse_training
        return Cloning(
            data=data.model_copy(update={"tracking": None}),
            model=changed(self.config.inverse, changes),
            train=self.seeded(training.loop, seed),
        )

    def rollouts(
        self,
        model: PolicyModel,
        *,
        tasks: tuple[str, ...] | None = None,
        rollouts: int | None = None,
        instructions: tuple[tuple[str, str], ...] = (),
        films: int = 0,
    ) -> Rollouts:
        """The policy in closed loop; equal initial states for all policies."""
        return Rollouts(
            model=model,
            rollout=self.config.simulator.rollouts(
                tasks=tasks or self.config.tasks,
                rollouts=rollouts or self.config.rollouts,
                seed=self.config.seed,
                controller=self.config.controller,
                max_decisions=self.config.max_decisions,
                instructions=instructions,
                films=films,
            ),
        )

    def shortened(self, share: float) -> "Lab":
        """The same with motion models that train for a share of the steps."""
        budgets = {
            name: training.model_copy(update={"steps": max(1, round(share * training.steps))})
            for name in ("tokenizer_training", "forward_training")
            for training in (getattr(self.config, name),)
        }
        return Lab(self.config.model_copy(update=budgets))

    def seeded(self, training: TrainConfig, index: int | None = None) -> TrainConfig:
        """The budget with the study's seed, or that of one of several trainings of the same model."""
        seed = self.config.seed if index is None else rng.derive(self.config.seed, "training", index)
        return training.model_copy(update={"seed": seed})


Settings = TypeVar("Settings", bound=Config)


def changed(settings: Settings, changes: Mapping[str, Any]) -> Settings:
    """The settings with some replaced, checked anew."""
    return type(settings).model_validate({**settings.model_dump(), **changes})
