"""The quick-start's settings: which tasks, how many videos and demonstrations, which models, how many steps."""

from collections.abc import Callable
from typing import Any, Literal

from pydantic import model_validator

from amplify import rng
from amplify.config import Config
from amplify.evaluate.rollout import RolloutConfig
from amplify.forward.dynamics import ForwardConfig
from amplify.inverse.dynamics import InverseConfig
from amplify.policy.controller import ControllerConfig
from amplify.tokens.tokenizer import TokenizerConfig
from amplify.train.loop import TrainConfig
from amplify.train.recipes import InverseTraining

SIX_TASKS = ("button-press-topdown", "drawer-open", "drawer-close", "window-open", "window-close", "door-open")


class QuickstartConfig(Config):
    """Everything that changes the quick-start's result.

    Args:
        preset: The name of these settings.
        seed: Of recording, training and evaluation.
        tracker: "flow" learns from pixels alone; "ground-truth" uses the simulator's geometry.
        tasks: Meta-World tasks.
        videos: Action-free videos a task, for tokenizer and forward dynamics.
        held_out: Action-free videos a task, for track metrics only.
        demos: Demonstrations with actions a task, for inverse dynamics and behaviour cloning.
        grid: Points along one side of the uniform grid.
        horizon: Frames of a window.
        tokenizer: Model of the motion tokenizer.
        tokenizer_training: Its budget.
        forward: Model of forward dynamics.
        forward_training: Its budget.
        inverse: Model of inverse dynamics and, with the instruction in place of tokens, of behaviour cloning.
        inverse_training: Its budget; behaviour cloning gets the same.
        baseline_factor: Behaviour cloning is trained a second time for this many times the steps; the better counts.
        inverse_seeds: Inverse models, and behaviour-cloning models, trained with other seeds; success is their mean.
        rollouts: Initial states a task.
        max_decisions: Step limit of a rollout; experts need 29 to 46 decisions.
        controller: Replanning and ensembling, for both methods.
    """

    preset: Literal["smoke", "full"]
    seed: int = 0
    tracker: Literal["flow", "ground-truth"] = "flow"
    tasks: tuple[str, ...] = SIX_TASKS
    videos: int = 30
    held_out: int = 5
    demos: int = 5
    grid: int = 10
    horizon: int = 16
    tokenizer: TokenizerConfig
    tokenizer_training: TrainConfig
    forward: ForwardConfig
    forward_training: TrainConfig
    inverse: InverseConfig
    inverse_training: InverseTraining
    baseline_factor: int = 2
    inverse_seeds: int = 3
    rollouts: int = 20
    max_decisions: int = 60
    controller: ControllerConfig = ControllerConfig(replan_every=2)

    @model_validator(mode="after")
    def _fits_together(self) -> "QuickstartConfig":
        expected = {"points": self.grid**2, "steps": self.horizon - 1, "views": 1}
        for name, value in expected.items():
            if getattr(self.tokenizer, name) != value:
                raise ValueError(f"tokenizer.{name} must be {value} for this grid and horizon")
        return self

    @property
    def rollout(self) -> RolloutConfig:
        """Where both methods act."""
        return RolloutConfig(
            tasks=self.tasks,
            rollouts=self.rollouts,
            seed=self.seed,
            controller=self.controller,
            max_decisions=self.max_decisions,
            films=1,
        )

    def training_seed(self, index: int) -> int:
        """The seed of one of several trainings of the same model."""
        return rng.derive(self.seed, "training", index)


def inverse_name(seed: int) -> str:
    """The stage that trains one inverse model."""
    return f"inverse-{seed}"


def baseline_name(seed: int, budget: str) -> str:
    """The stage that trains one behaviour-cloning model; ``budget`` is "equal" or "long"."""
    return f"behaviour-cloning-{budget}-{seed}"


def full(**changes: Any) -> QuickstartConfig:
    """About ten minutes on two cores."""
    settings: dict[str, Any] = {
        "preset": "full",
        "tokenizer": TokenizerConfig.quickstart(),
        "tokenizer_training": TrainConfig(steps=900, batch_size=64, learning_rate=3e-3, validate_every=150),
        "forward": ForwardConfig.quickstart(),
        "forward_training": TrainConfig(steps=1000, batch_size=64, learning_rate=3e-3, validate_every=200),
        "inverse": InverseConfig.quickstart(image_dropout=0.3),
        "inverse_training": InverseTraining(loop=TrainConfig(steps=500, batch_size=64, learning_rate=1e-3)),
    }
    return QuickstartConfig(**{**settings, **changes})


def smoke(**changes: Any) -> QuickstartConfig:
    """A minute: the same code path at a size whose figures mean nothing."""
    loop = {"batch_size": 16, "learning_rate": 1e-3, "warmup_steps": 5, "log_every": 5}
    settings: dict[str, Any] = {
        "preset": "smoke",
        "tasks": SIX_TASKS[1:3],
        "videos": 2,
        "held_out": 1,
        "demos": 1,
        "tokenizer": TokenizerConfig.quickstart(width=32, decoder_hidden=32),
        "tokenizer_training": TrainConfig(steps=30, **loop),
        "forward": ForwardConfig.quickstart(width=32, layers=1),
        "forward_training": TrainConfig(steps=20, **loop),
        "inverse": InverseConfig.quickstart(width=32, layers=1),
        "inverse_training": InverseTraining(loop=TrainConfig(steps=20, **loop), predicted_samples=1),
        "baseline_factor": 2,
        "inverse_seeds": 1,
        "rollouts": 1,
    }
    return QuickstartConfig(**{**settings, **changes})


PRESETS: dict[str, Callable[..., QuickstartConfig]] = {"full": full, "smoke": smoke}
