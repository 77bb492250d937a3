"""One source of a mixture, and the mixture: what a training set is made of."""

from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field, model_validator

from amplify.config import Config
from amplify.errors import UsageError


class Source(Config):
    """A dataset, or some of its episodes, and how they enter a mixture.

    Args:
        path: The dataset's folder.
        episodes: Their numbers; None takes all that are usable.
        role: "video" is never asked for actions and teaches tokens and forward dynamics alone; "actions" teaches those
            models alone that give actions; "both" teaches every stage.
        tasks: Keeps episodes whose instruction, or recorded task name, is one of these: a name, a glob ("open*"), or a
            regular expression between slashes ("/open|close/"); capitals do not matter. All where empty.
        fraction: Share of the episodes that are left, spread evenly over tasks; at least one.
        count: Their number, spread evenly over tasks; at most as many as there are.
        order: Which of each task's episodes fraction and count take: the first ones, or random ones.
        seed: Of the random ones.
        weight: How much more often a window of this source is drawn than one of a source of weight 1; with
            ``sampling="by-source"``, the source's share.
        views: Camera of this source → name of the view in the mixture; cameras that are not named keep their names.
        stride: Frames of this source that one step of a window spans; by default those that the mixture's rate asks
            for, 1 where it has none. Actions stay those of every frame.
        embodiment: Who acts ("sawyer", "human hand"); the dataset's robot type by default. Sources that differ in it
            cannot teach one model actions.
    """

    path: Path
    episodes: tuple[int, ...] | None = None
    role: Literal["both", "video", "actions"] = "both"
    tasks: tuple[str, ...] = ()
    fraction: float | None = Field(default=None, gt=0, le=1)
    count: int | None = Field(default=None, ge=1)
    order: Literal["start", "seeded"] = "start"
    seed: int = 0
    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    views: dict[str, str] = Field(default_factory=dict)
    stride: int | None = Field(default=None, ge=1)
    embodiment: str | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> "Source":
        if self.fraction is not None and self.count is not None:
            raise ValueError("fraction and count exclude each other")
        if len(set(self.views.values())) < len(self.views):
            raise ValueError(f"two cameras cannot be one view: {self.views}")
        return self

    def teaches(self, *, actions: bool) -> bool:
        """Whether a stage learns from this source.

        Args:
            actions: Whether it is a stage that learns actions.
        """
        return self.role != ("video" if actions else "actions")


class Mixture(Config):
    """Sources, what is held back of them for validation, and what their windows have in common.

    Args:
        sources: To learn from.
        held_out: For validation; none of their episodes may be among the sources'.
        validation_fraction: Share of the sources' episodes that is held back for validation in place of ``held_out``,
            whole episodes, random ones spread evenly over tasks; 0 holds none back.
        split_seed: Of the episodes that are held back.
        sampling: How often a source is drawn: "by-window" makes its share weight × windows, "by-source" its weight
            alone.
        views: Names of the views, in order; cameras of other names are left out, and a source that lacks a view has it
            masked. By default the views of all sources where any of them maps its cameras; otherwise the sources'
            cameras as they are.
        rate: Steps of a window a second: tracks of sources with other frame rates are resampled to it. By default a
            step is a frame, whatever the frame rate.
    """

    sources: tuple[Source, ...]
    held_out: tuple[Source, ...] = ()
    validation_fraction: float = Field(default=0.0, ge=0, lt=1)
    split_seed: int = 0
    sampling: Literal["by-window", "by-source"] = "by-window"
    views: tuple[str, ...] = ()
    rate: float | None = Field(default=None, gt=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _one_validation(self) -> "Mixture":
        if self.held_out and self.validation_fraction:
            raise ValueError("name datasets that are held out, or a fraction of the sources, not both")
        if len(set(self.views)) < len(self.views):
            raise ValueError(f"views must have different names, got {self.views}")
        return self


AnyMixture = TypeVar("AnyMixture", bound=Mixture)


def of_role(mixture: AnyMixture, *, actions: bool) -> AnyMixture:
    """The same mixture with only those sources that teach a stage.

    Args:
        mixture: All sources.
        actions: Whether the stage learns actions.

    Raises:
        UsageError: None does.
    """
    kept = tuple(source for source in mixture.sources if source.teaches(actions=actions))
    if mixture.sources and not kept:
        raise UsageError(
            f"no source teaches {'actions' if actions else 'motion from video'}",
            got=", ".join(f"{source.path} (role {source.role})" for source in mixture.sources),
            allowed=f"role 'both' or {'actions' if actions else 'video'!r}",
            remedy="change a role, or name another dataset",
        )
    held_out = tuple(source for source in mixture.held_out if source.teaches(actions=actions))
    return mixture.model_copy(update={"sources": kept, "held_out": held_out})
