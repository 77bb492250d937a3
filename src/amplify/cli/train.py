"""``amplify train``: one stage at a time, on datasets with track and feature sidecars."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amplify.cli.mixing import Datasets, Init, InitFlags, Mixing, MixtureFlags, mixed, settings, show
from amplify.cli.presets import CLONING, FORWARD, INVERSE, TOKENIZER, Preset, init_model, with_presets
from amplify.data.mixture.alignment import horizon_of
from amplify.data.mixture.source import Mixture, of_role
from amplify.data.sidecar import folders
from amplify.errors import UsageError
from amplify.forward.config import ForwardConfig
from amplify.inverse.config import InverseConfig
from amplify.tokens.config import TokenizerConfig
from amplify.train import recipes
from amplify.train.loop import TrainConfig
from amplify.train.recipes import InverseTraining
from amplify.train.sight import Sight
from amplify.train.training_data import TrainingData


@with_presets(TOKENIZER)
def tokenizer(
    datasets: Datasets,
    *,
    out: Path,
    held_out: tuple[str, ...] = (),
    mixing: Mixing = MixtureFlags(),
    init: Init = InitFlags(),
    tracks: str | None = None,
    preset: Preset = "quickstart",
    model: TokenizerConfig = TOKENIZER["quickstart"]()["model"],
    train: TrainConfig = TOKENIZER["quickstart"]()["train"],
) -> dict[str, Any]:
    """Learns motion tokens from tracks; OUT/bundle holds the tokenizer.

    Args:
        datasets: Datasets with track sidecars ("amplify track").
        out: Folder of the run; the same command again resumes.
        held_out: Datasets, or sources as --source takes them, for validation.
        mixing: What else to learn from.
        init: Which weights to begin with.
        tracks: Track sidecar; needed where the datasets have several.
        preset: Sizes and budget; single options still count.
        model: Sizes and loss. Views, points and steps are the sidecar's.
        train: Budget.
    """
    data = _data(mixed(datasets, held_out, mixing), {"tracks": tracks}, actions=False)
    begun = init_model(init.init, "tokenizer")
    model = _of_the_data(model, [getattr(TokenizerConfig, preset)(), *([begun] if begun else [])], data)
    figures = recipes.train_tokenizer(out, data=data, model=model, train=train, init=init.fine_tuning)
    return figures | {"bundle": str(out / recipes.BUNDLE)}


@with_presets(FORWARD)
def forward(
    datasets: Datasets,
    *,
    out: Path,
    tokenizer: Path,
    held_out: tuple[str, ...] = (),
    mixing: Mixing = MixtureFlags(),
    init: Init = InitFlags(),
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
        held_out: Datasets, or sources as --source takes them, for validation.
        mixing: What else to learn from.
        init: Which weights to begin with.
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
    data = _data(mixed(datasets, held_out, mixing), names, actions=False, sight=sight)
    figures = recipes.train_forward(out, parent=tokenizer, data=data, model=model, train=train, init=init.fine_tuning)
    return figures | {"bundle": str(out / recipes.BUNDLE)}


@with_presets(INVERSE)
def inverse(
    datasets: Datasets,
    *,
    out: Path,
    forward: Path,
    held_out: tuple[str, ...] = (),
    mixing: Mixing = MixtureFlags(),
    init: Init = InitFlags(),
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
        held_out: Demonstrations, or sources as --source takes them, for validation.
        mixing: What else to learn from.
        init: Which weights to begin with.
        tracks: Track sidecar; needed where the datasets have several.
        features: Feature sidecar; needed where the datasets have several.
        text: Text sidecar; needed where the datasets have several.
        sight: Fine-tuning (inverse dynamics then has eyes of its own) and augmentation.
        preset: Sizes and budget; single options still count.
        model: Sizes and loss.
        train: Budget, and where the tokens come from.
    """
    names = {"tracks": tracks, "features": features, "text": text}
    data = _data(
        mixed(datasets, held_out, mixing), names, actions=True, sight=sight, action_horizon=model.action_horizon
    )
    figures = recipes.train_inverse(out, parent=forward, data=data, model=model, train=train, init=init.fine_tuning)
    return figures | {"bundle": str(out / recipes.BUNDLE)}


@with_presets(CLONING)
def behaviour_cloning(
    datasets: Datasets,
    *,
    out: Path,
    held_out: tuple[str, ...] = (),
    mixing: Mixing = MixtureFlags(),
    init: Init = InitFlags(),
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
        held_out: Demonstrations, or sources as --source takes them, for validation.
        mixing: What else to learn from.
        init: Which weights to begin with.
        features: Feature sidecar; needed where the datasets have several.
        text: Text sidecar; needed where the datasets have several.
        sight: Fine-tuning and augmentation.
        preset: Sizes and budget; single options still count.
        model: Sizes and loss, those of inverse dynamics.
        train: Budget.
    """
    names = {"features": features, "text": text}
    data = _data(
        mixed(datasets, held_out, mixing), names, actions=True, sight=sight, action_horizon=model.action_horizon
    )
    figures = recipes.train_behaviour_cloning(out, data=data, model=model, train=train, init=init.fine_tuning)
    return figures | {"bundle": str(out / recipes.BUNDLE)}


_REMEDY = {"tracks": "amplify track DATASET", "features": "amplify encode DATASET", "text": "amplify encode DATASET"}


def _data(
    mixture: Mixture,
    chosen: Mapping[str, str | None],
    *,
    actions: bool,
    sight: Sight = Sight(),
    action_horizon: int = 16,
) -> TrainingData:
    first = of_role(mixture, actions=actions).sources[0].path
    sidecars: dict[str, Any] = {kind: name or _only(first, kind) for kind, name in chosen.items()}
    show(mixture, actions=actions)
    data = TrainingData(**settings(mixture), sight=sight, action_horizon=action_horizon, **sidecars)
    if data.tracks is None:
        return data
    header = of_role(data, actions=actions).header(data.tracks)
    return data.model_copy(update={"horizon": horizon_of(data.tracks) or int(header.settings["horizon"])})


def _of_the_data(model: TokenizerConfig, defaults: list[TokenizerConfig], data: TrainingData) -> TokenizerConfig:
    """The model at the sizes of the sidecar, unless the user asked for others."""
    video = of_role(data, actions=False)
    sizes: dict[str, Any] = {
        "views": len(video.view_names()),
        "points": int(video.header(str(data.tracks)).settings["grid"]) ** 2,
        "steps": data.horizon - 1,
    }
    for name, size in sizes.items():
        if getattr(model, name) not in (size, *(getattr(default, name) for default in defaults)):
            raise UsageError(
                f"{name} that the tracks do not have", got=getattr(model, name), allowed=f"{size}, as in {data.tracks}"
            )
    weights = [default.view_weights for default in defaults if default.views != sizes["views"]]
    if model.view_weights in weights:
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
