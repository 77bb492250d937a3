"""``amplify train``: one stage at a time, on datasets with track and feature sidecars."""

from pathlib import Path
from typing import Annotated, Any

import tyro

from amplify.data.sidecar import folders
from amplify.data.windows import Source
from amplify.errors import UsageError
from amplify.forward.dynamics import ForwardConfig
from amplify.inverse.action_decoder import InverseConfig
from amplify.tokens.tokenizer import TokenizerConfig
from amplify.train import recipes
from amplify.train.loop import TrainConfig
from amplify.train.recipes import InverseTraining, TrainingData

Datasets = Annotated[tuple[Path, ...], tyro.conf.Positional]


def tokenizer(
    datasets: Datasets,
    *,
    out: Path,
    held_out: tuple[Path, ...] = (),
    tracks: str | None = None,
    model: TokenizerConfig = TokenizerConfig.quickstart(),
    train: TrainConfig = TrainConfig(steps=900, learning_rate=3e-3),
) -> dict[str, Any]:
    """Learns motion tokens from tracks; OUT/bundle holds the tokenizer.

    Args:
        datasets: Datasets with track sidecars ("amplify track").
        out: Folder of the run; the same command again resumes.
        held_out: Datasets for validation.
        tracks: Track sidecar; needed where the datasets have several.
        model: Sizes and loss.
        train: Budget.
    """
    data = _data(datasets, held_out, tracks=tracks, needs=("tracks",))
    return recipes.train_tokenizer(out, data=data, model=model, train=train) | {"bundle": str(out / recipes.BUNDLE)}


def forward(
    datasets: Datasets,
    *,
    out: Path,
    tokenizer: Path,
    held_out: tuple[Path, ...] = (),
    tracks: str | None = None,
    features: str | None = None,
    text: str | None = None,
    model: ForwardConfig = ForwardConfig.quickstart(),
    train: TrainConfig = TrainConfig(steps=1000),
) -> dict[str, Any]:
    """Learns image + instruction → motion tokens; OUT/bundle holds tokenizer and forward dynamics.

    Args:
        datasets: Datasets with track and feature sidecars; actions are never read.
        out: Folder of the run; the same command again resumes.
        tokenizer: Bundle or run of the tokenizer.
        held_out: Datasets for validation.
        tracks: Track sidecar; needed where the datasets have several.
        features: Feature sidecar; needed where the datasets have several.
        text: Text sidecar; needed where the datasets have several.
        model: Sizes and regularisation.
        train: Budget.
    """
    data = _data(datasets, held_out, tracks=tracks, features=features, text=text, needs=("tracks", "features", "text"))
    figures = recipes.train_forward(out, parent=tokenizer, data=data, model=model, train=train)
    return figures | {"bundle": str(out / recipes.BUNDLE)}


def inverse(
    datasets: Datasets,
    *,
    out: Path,
    forward: Path,
    tracks: str | None = None,
    features: str | None = None,
    text: str | None = None,
    model: InverseConfig = InverseConfig.quickstart(),
    train: InverseTraining = InverseTraining(loop=TrainConfig(steps=500)),
) -> dict[str, Any]:
    """Learns image + proprioception + motion tokens → actions; OUT/bundle holds a whole policy.

    Args:
        datasets: Demonstrations with actions, and with track and feature sidecars.
        out: Folder of the run; the same command again resumes.
        forward: Bundle or run of forward dynamics.
        tracks: Track sidecar; needed where the datasets have several.
        features: Feature sidecar; needed where the datasets have several.
        text: Text sidecar; needed where the datasets have several.
        model: Sizes and loss.
        train: Budget, and where the tokens come from.
    """
    data = _data(datasets, (), tracks=tracks, features=features, text=text, needs=("tracks", "features", "text"))
    figures = recipes.train_inverse(out, parent=forward, data=data, model=model, train=train)
    return figures | {"bundle": str(out / recipes.BUNDLE)}


def behaviour_cloning(
    datasets: Datasets,
    *,
    out: Path,
    features: str | None = None,
    text: str | None = None,
    model: InverseConfig = InverseConfig.quickstart(),
    train: TrainConfig = TrainConfig(steps=500),
) -> dict[str, Any]:
    """Learns the baseline, image + proprioception + instruction → actions; OUT/bundle holds its policy.

    Args:
        datasets: Demonstrations with actions and feature sidecars.
        out: Folder of the run; the same command again resumes.
        features: Feature sidecar; needed where the datasets have several.
        text: Text sidecar; needed where the datasets have several.
        model: Sizes and loss, those of inverse dynamics.
        train: Budget.
    """
    data = _data(datasets, (), features=features, text=text, needs=("features", "text"))
    figures = recipes.train_behaviour_cloning(out, data=data, model=model, train=train)
    return figures | {"bundle": str(out / recipes.BUNDLE)}


_REMEDY = {"tracks": "amplify track DATASET", "features": "amplify encode DATASET", "text": "amplify encode DATASET"}


def _data(
    datasets: tuple[Path, ...], held_out: tuple[Path, ...], *, needs: tuple[str, ...], **chosen: str | None
) -> TrainingData:
    if not datasets:
        raise UsageError("no dataset given", remedy="name one or more dataset folders")
    sidecars: dict[str, Any] = {kind: chosen.get(kind) or _only(datasets[0], kind) for kind in needs}
    return TrainingData(
        sources=tuple(Source(path=path) for path in datasets),
        held_out=tuple(Source(path=path) for path in held_out),
        **sidecars,
    )


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
