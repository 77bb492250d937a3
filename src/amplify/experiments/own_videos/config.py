"""Settings of a run on somebody's own videos and demonstrations."""

from typing import Any

from pydantic import Field, model_validator

from amplify.config import Config
from amplify.data.mixture.source import Source
from amplify.errors import pick
from amplify.experiments.quickstart.config import PRESETS
from amplify.forward.dynamics import ForwardConfig
from amplify.inverse.dynamics import InverseConfig
from amplify.tokens.tokenizer import TokenizerConfig
from amplify.train.loop import TrainConfig
from amplify.train.recipes import InverseTraining

HELD_BACK = 0.1
"""Share of the episodes that is held back where the user names neither a fraction nor datasets."""


class OwnVideosConfig(Config):
    """Everything that changes the result.

    Args:
        preset: The name of the models' sizes and budgets.
        seed: Of the episodes that are held back, and of training.
        tracker: Follows points through the videos.
        videos: What motion is learned from.
        actions: What actions are learned from.
        held_out: Episodes to judge by; where empty, a share of videos and of demonstrations is held back.
        validation_fraction: That share.
        views: Names of the views, see `Mixture`.
        rate: Steps of a window a second, see `Mixture`.
        grid: Points along one side of the uniform grid.
        horizon: Steps of a window, the first frame included.
        tokenizer: Model of the motion tokenizer; its views are those of the videos.
        tokenizer_training: Its budget.
        forward: Model of forward dynamics.
        forward_training: Its budget.
        inverse: Model of inverse dynamics.
        inverse_training: Its budget.
        films: Held-out episodes that are filmed.
    """

    preset: str
    seed: int = 0
    tracker: str = "flow"
    videos: tuple[Source, ...] = Field(min_length=1)
    actions: tuple[Source, ...] = Field(min_length=1)
    held_out: tuple[Source, ...] = ()
    validation_fraction: float = Field(default=HELD_BACK, gt=0, lt=1)
    views: tuple[str, ...] = ()
    rate: float | None = Field(default=None, gt=0)
    grid: int = Field(default=10, ge=2)
    horizon: int = Field(default=16, ge=2)
    tokenizer: TokenizerConfig
    tokenizer_training: TrainConfig
    forward: ForwardConfig
    forward_training: TrainConfig
    inverse: InverseConfig
    inverse_training: InverseTraining
    films: int = Field(default=3, ge=0)

    @model_validator(mode="after")
    def _fits_together(self) -> "OwnVideosConfig":
        for name, value in {"points": self.grid**2, "steps": self.horizon - 1}.items():
            if getattr(self.tokenizer, name) != value:
                raise ValueError(f"tokenizer.{name} must be {value} for this grid and horizon")
        return self


def configured(preset: str, **changes: Any) -> OwnVideosConfig:
    """The quick-start's models and budgets on other data.

    Args:
        preset: "full" or "smoke".
        changes: Fields of the configuration.

    Raises:
        UnknownNameError: There is no such preset.
    """
    sizes = pick(preset, PRESETS, kind="preset")()
    taken = ("tokenizer", "tokenizer_training", "forward", "forward_training", "inverse", "inverse_training")
    settings: dict[str, Any] = {name: getattr(sizes, name) for name in (*taken, "grid", "horizon")}
    settings |= {"films": 1 if preset == "smoke" else 3}
    return OwnVideosConfig(**{"preset": preset, **settings, **changes})
