"""Options that ``amplify train`` commands share: what to learn from, and which weights to begin with."""

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from amplify.config import Config
from amplify.data.mixture.reading import read_mixture, read_source
from amplify.data.mixture.source import Mixture, Source, of_role
from amplify.data.mixture.splitting import split
from amplify.data.mixture.table import lines_of, table
from amplify.errors import UsageError
from amplify.train.fine_tuning import FineTuning

Datasets = Annotated[tuple[Path, ...], tyro.conf.Positional]


class MixtureFlags(Config):
    """What to learn from, beside datasets that are named alone.

    Args:
        source: One more source, repeatable: path=data/videos,weight=2,tasks=open*,fraction=0.5. Keys: path, episodes,
            role (both, video, actions), tasks, fraction, count, order (start, seeded), seed, weight, views
            (CAMERA:VIEW), stride, embodiment.
        mixture: JSON file with sources and the options below.
        validation_fraction: Share of the episodes that is held back for validation, in place of held-out datasets.
        split_seed: Of the episodes that are held back.
        sampling: How often a source is drawn: by weight × windows, or by its weight alone.
        views: Names of the views, in order; sources that lack one have it masked.
        rate: Steps of a window a second, to which tracks of other frame rates are resampled.
    """

    source: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    mixture: Path | None = None
    validation_fraction: float | None = None
    split_seed: int | None = None
    sampling: Literal["by-window", "by-source"] | None = None
    views: tuple[str, ...] | None = None
    rate: float | None = None


class InitFlags(Config):
    """Which weights to begin with.

    Args:
        init: Bundle or run whose model of this stage is fine-tuned; sizes and settings are then its own by default.
        init_statistics: Whether units of what the model sees and gives stay those of that bundle (kept) or follow the
            new data (refitted).
    """

    init: Path | None = None
    init_statistics: Literal["kept", "refitted"] = "kept"

    @property
    def fine_tuning(self) -> FineTuning | None:
        """What the recipes take."""
        return None if self.init is None else FineTuning(bundle=self.init, statistics=self.init_statistics)


Mixing = Annotated[MixtureFlags, tyro.conf.arg(name="")]
Init = Annotated[InitFlags, tyro.conf.arg(name="")]


def mixed(datasets: tuple[Path, ...], held_out: tuple[str, ...], flags: MixtureFlags) -> Mixture:
    """The mixture that a command line asks for: datasets first, then those of the file, then those of flags.

    Args:
        datasets: Named alone.
        held_out: Paths or sources, for validation.
        flags: The rest; what they say counts before the file.

    Raises:
        UsageError: There is no source, or something does not fit.
    """
    file = Mixture(sources=()) if flags.mixture is None else read_mixture(flags.mixture)
    sources = (*(Source(path=path) for path in datasets), *file.sources, *map(read_source, flags.source))
    if not sources:
        raise UsageError("no dataset given", remedy="name one or more dataset folders, or --source or --mixture")
    given = {
        name: getattr(flags, name)
        for name in ("validation_fraction", "split_seed", "sampling", "views", "rate")
        if getattr(flags, name) is not None
    }
    back = tuple(map(read_source, held_out)) or file.held_out
    return Mixture.model_validate({**dict(file), **given, "sources": sources, "held_out": back})


def show(mixture: Mixture, *, actions: bool) -> None:
    """Prints what a stage is to learn from, beside the command's own output.

    Args:
        mixture: All sources.
        actions: Whether the stage learns actions.
    """
    print(table(lines_of(split(of_role(mixture, actions=actions)))), file=sys.stderr, flush=True)


def settings(mixture: Mixture) -> dict[str, Any]:
    """The fields of a mixture, to make training data of."""
    return {name: getattr(mixture, name) for name in Mixture.model_fields}
