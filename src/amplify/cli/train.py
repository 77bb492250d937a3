"""``amplify train``: one stage at a time, on datasets with track and feature sidecars."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import tyro

from amplify.cli.presets import CLONING, FORWARD, INVERSE, TOKENIZER, Preset, with_presets
from amplify.data.sidecar import folders
from amplify.data.windows import Source
from amplify.errors import UsageError
from amplify.forward.config import ForwardConfig
from amplify.inverse.config import InverseConfig
from amplify.tokens.config import TokenizerConfig
from amplify.train import recipes
from amplify.train.loop import TrainConfig
from amplify.train.recipes import InverseTraining
from amplify.train.sight import Sight
from amplify.train.training_data import TrainingData

Datasets = Annotated[tuple[Path, ...], tyro.conf.Positional]


@with_presets(TOKENIZER)
def tokenizer(
    datasets: Datasets,
    *,
    out: Path,
    held_out: tuple[Path, ...] = (),
    tracks: str | None = None,
    preset: Preset = "quickstart",
    model: TokenizerConfig = TOKENIZER["quickstart"]()["model"],
    train: TrainConfig = TOKENIZER["quickstart"]()["train"],
) -> dict[str, Any]:
    """Learns motion tokens from tracks; OUT/bundle holds the tokenizer.

    Args:
        datasets: Datasets with track sidecars ("amplify track").
        out: Folder of the run; the same command again resumes.
        held_out: Datasets for validation.
        tracks: Track sidecar; needed where the datasets have several.
        preset: Sizes and budget; single options still count.
        model: Sizes and loss. Views, points and steps are the sidecar's.
        train: Budget.
    """
    data = _data(datasets, held_out, {"tracks": tracks})
    model = _of_the_data(model, getattr(TokenizerConfig, preset)(), data)
    return recipes.train_tokenizer(out, data=data, model=model, train=train) | {"bundle": str(out / recipes.BUNDLE)}


@with_presets(FORWARD)
def forward(
    datasets: Datasets,
    *,
    out: Path,
    tokenizer: Path,
    held_out: tuple[Path, ...] = (),
    tracks: str | None = None,
    features: str | None = None,
    text: str | None = None,
    sight: Sight = Sight(),
    preset: Preset = "quickstart",
    model: ForwardConfig = FORWARD["quickstart"]()["model"],
    train: TrainConfig = FORWARD["quickstart"]()["train"],
) -> dict[str, Any]:
    """Learns image + instruction → motion tokens; OUT/bundle holds tokenizer and forward dynamics.

    Args:
        datasets: Datasets with track and feature sidecars; actions are never read.
        out: Folder of the run; the same command again resumes.
        tokenizer: Bundle or run of the tokenizer.
        held_out: Datasets for validation.
        tracks: Track sidecar; needed where the datasets have several.
        features: Feature sidecar; needed where the datasets have several.
        text: Text sidecar; needed where the datasets have several. A dataset whose episodes of one task carry several
            sentences teaches them all.
        sight: Fine-tuning and augmentation.
        preset: Sizes and budget; single options still count.
        model: Sizes and regularisation.
        train: Budget.
    """
    names = {"tracks": tracks, "features": features, "text": text}
    data = _data(datasets, held_out, names, sight=sight)
    figures = recipes.train_forward(out, parent=tokenizer, data=data, model=model, train=train)
    return figures | {"bundle": str(out / recipes.BUNDLE)}


@with_presets(INVERSE)
def inverse(
    datasets: Datasets,
    *,
    out: Path,
    forward: Path,
    tracks: str | None = None,
    features: str | None = None,
    text: str | None = None,
    sight: Sight = Sight(),
    preset: Preset = "quickstart",
    model: InverseConfig = INVERSE["quickstart"]()["model"],
    train: InverseTraining = INVERSE["quickstart"]()["train"],
) -> dict[str, Any]:
    """Learns image + proprioception + motion tokens → actions; OUT/bundle holds a whole policy.

    Args:
        datasets: Demonstrations with actions, and with track and feature sidecars.
        out: Folder of the run; the same command again resumes.
        forward: Bundle or run of forward dynamics.
        tracks: Track sidecar; needed where the datasets have several.
        features: Feature sidecar; needed where the datasets have several.
        text: Text sidecar; needed where the datasets have several.
        sight: Fine-tuning (inverse dynamics then has eyes of its own) and augmentation.
        preset: Sizes and budget; single options still count.
        model: Sizes and loss.
        train: Budget, and where the tokens come from.
    """
    names = {"tracks": tracks, "features": features, "text": text}
    data = _data(datasets, (), names, sight=sight, actions=model.action_horizon)
    figures = recipes.train_inverse(out, parent=forward, data=data, model=model, train=train)
    return figures | {"bundle": str(out / recipes.BUNDLE)}


@with_presets(CLONING)
def behaviour_cloning(
    datasets: Datasets,
    *,
    out: Path,
    features: str | None = None,
    text: str | None = None,
    sight: Sight = Sight(),
    preset: Preset = "quickstart",
    model: InverseConfig = CLONING["quickstart"]()["model"],
    train: TrainConfig = CLONING["quickstart"]()["train"],
) -> dict[str, Any]:
    """Learns the baseline, image + proprioception + instruction → actions; OUT/bundle holds its policy.

    Args:
        datasets: Demonstrations with actions and feature sidecars.
        out: Folder of the run; the same command again resumes.
        features: Feature sidecar; needed where the datasets have several.
        text: Text sidecar; needed where the datasets have several.
        sight: Fine-tuning and augmentation.
        preset: Sizes and budget; single options still count.
        model: Sizes and loss, those of inverse dynamics.
        train: Budget.
    """
    names = {"features": features, "text": text}
    data = _data(datasets, (), names, sight=sight, actions=model.action_horizon)
    figures = recipes.train_behaviour_cloning(out, data=data, model=model, train=train)
    return figures | {"bundle": str(out / recipes.BUNDLE)}


_REMEDY = {"tracks": "amplify track DATASET", "features": "amplify encode DATASET", "text": "amplify encode DATASET"}


def _data(
    datasets: tuple[Path, ...],
    held_out: tuple[Path, ...],
    chosen: Mapping[str, str | None],
    *,
    sight: Sight = Sight(),
    actions: int = 16,
) -> TrainingData:
    if not datasets:
        raise UsageError("no dataset given", remedy="name one or more dataset folders")
    sidecars: dict[str, Any] = {kind: name or _only(datasets[0], kind) for kind, name in chosen.items()}
    data = TrainingData(
        sources=tuple(Source(path=path) for path in datasets),
        held_out=tuple(Source(path=path) for path in held_out),
        sight=sight,
        action_horizon=actions,
        **sidecars,
    )
    if data.tracks is None:
        return data
    return data.model_copy(update={"horizon": int(data.header(data.tracks).settings["horizon"])})


def _of_the_data(model: TokenizerConfig, default: TokenizerConfig, data: TrainingData) -> TokenizerConfig:
    """The model at the sizes of the sidecar, unless the user asked for others."""
    header = data.header(str(data.tracks))
    sizes: dict[str, Any] = {
        "views": len(header.cameras),
        "points": int(header.settings["grid"]) ** 2,
        "steps": int(header.settings["horizon"]) - 1,
    }
    for name, size in sizes.items():
        if getattr(model, name) not in (size, getattr(default, name)):
            raise UsageError(
                f"{name} that the tracks do not have", got=getattr(model, name), allowed=f"{size}, as in {data.tracks}"
            )
    if model.view_weights == default.view_weights and sizes["views"] != default.views:
        sizes["view_weights"] = ()
    return TokenizerConfig.model_validate({**model.model_dump(), **sizes})


def _only(dataset: Path, kind: str) -> str:
    found = folders(dataset, kind)
    if len(found) == 1:
        return found[0]
    if not found:
        raise UsageError(f"{dataset} has no {kind} sidecar", remedy=f"run '{_REMEDY[kind]}' first")
    raise UsageError(
        f"{dataset} has several {kind} sidecars",
        allowed=", ".join(found),
        remedy=f"choose one with --{kind}",
    )
