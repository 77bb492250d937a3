"""How each stage is trained from datasets: build the model to the data's sizes, fit, write a bundle.

Every recipe writes ``RUN/bundle`` and is resumable: a finished run is only scored again, and a folder that holds a run
of other data, model, parent or budget is refused.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from amplify import rng
from amplify.baselines.behaviour_cloning import BehaviourCloning
from amplify.config import Config
from amplify.data.dataset import Dataset
from amplify.data.sidecar import read_episode
from amplify.data.windows import Source, WindowSet
from amplify.errors import BundleError, DataError
from amplify.forward.dynamics import ForwardConfig, ForwardDynamics
from amplify.inverse.action_decoder import InverseConfig
from amplify.inverse.dynamics import InverseDynamics
from amplify.metrics.statistics import codebook_usage
from amplify.policy.bundle import Bundle, load_bundle, save_bundle
from amplify.policy.info import BundleInfo, EncoderInfo, info_of
from amplify.tokens.tokenizer import MotionTokenizer, TokenizerConfig
from amplify.train.loop import TrainConfig, fit
from amplify.train.stages import (
    BehaviourCloningStage,
    ForwardStage,
    InverseStage,
    TokenizerStage,
    tokens_of_tracks,
    tokens_predicted,
)
from amplify.types import Features, TrackWindow

BUNDLE = "bundle"
STATISTICS_WINDOWS = 1024


class InverseTraining(Config):
    """The budget of inverse dynamics, and where its motion tokens come from.

    Args:
        loop: Steps and rates.
        predicted_from: Share of the steps after which tokens are those that forward dynamics foresees, as in the loop
            on the robot; before, they are those of the real tracks. 1 never changes over.
        predicted_samples: Random futures a window beside the likeliest one. They do not belong to the actions that
            they are trained with: 3 of them cost success (0.84 instead of 0.88 in one trial with 3 training seeds).
        temperature: Of the random futures.
    """

    loop: TrainConfig
    predicted_from: float = 0.5
    predicted_samples: int = 0
    temperature: float = 1.0


class TrainingData(Config):
    """What a stage learns from.

    Args:
        sources: Datasets; actions are read by the stages that need them only.
        held_out: Datasets for validation.
        tracks: Name of the track sidecar ("tracks-flow-10x10-h16").
        features: Name of the feature sidecar.
        text: Name of the text sidecar.
        horizon: Frames of a track window; the sidecar's.
        action_horizon: Actions of a chunk.
    """

    sources: tuple[Source, ...]
    held_out: tuple[Source, ...] = ()
    tracks: str | None = None
    features: str | None = None
    text: str = "text-minilm"
    horizon: int = 16
    action_horizon: int = 16

    def windows(self, *, tracks: bool, features: bool, actions: bool, held_out: bool = False) -> WindowSet | None:
        """The windows of the sources, or None where there are no sources."""
        sources = self.held_out if held_out else self.sources
        if not sources:
            return None
        return WindowSet(
            list(sources),
            tracks=self.tracks if tracks else None,
            features=self.features if features else None,
            text=self.text,
            actions=actions,
            horizon=self.horizon,
            action_horizon=self.action_horizon,
        )

    def training_windows(self, *, tracks: bool, features: bool, actions: bool) -> WindowSet:
        """The windows to train on.

        Raises:
            DataError: There are none.
        """
        windows = self.windows(tracks=tracks, features=features, actions=actions)
        if windows is None or not len(windows):
            raise DataError("nothing to train on", remedy="name at least one dataset with usable episodes")
        return windows


def bundle_of(run: Path) -> Path:
    """The bundle's folder, given it or the run that wrote it.

    Raises:
        BundleError: There is none.
    """
    for folder in (run / BUNDLE, run):
        if (folder / "config.json").is_file():
            return folder
    raise BundleError(f"no bundle in {run}", remedy="name a bundle, or the --out folder of a finished 'amplify train'")


def seeded(seed: int, name: str, build: Callable[[], nn.Module]) -> Any:
    """A model whose first weights depend on the seed and the stage's name alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(rng.derive(seed, name, "weights"))
        return build()


def train_tokenizer(run: Path, *, data: TrainingData, model: TokenizerConfig, train: TrainConfig) -> dict[str, Any]:
    """Trains the motion tokenizer on tracks alone; its figures, with the codebook's usage on held-out windows."""
    windows = data.training_windows(tracks=True, features=False, actions=False)
    held_out = data.windows(tracks=True, features=False, actions=False, held_out=True)
    tokenizer = seeded(train.seed, "tokenizer", lambda: MotionTokenizer(model))
    tokenizer.fit_statistics(statistics_tracks(windows))
    figures = fit(
        TokenizerStage(tokenizer, windows, held_out), train, run, identity=identity_of(data, model)
    ) | set_aside(windows)
    tokens = tokens_of_tracks(tokenizer, held_out or windows, label="codebook")
    usage = codebook_usage(tokens, tokenizer.codebook_size)
    figures["codebook"] = {"size": usage.size, "used": usage.used, "perplexity": usage.perplexity}
    without_features = data.model_copy(update={"features": None})
    save_run(run, {"tokenizer": tokenizer}, learned_from(without_features), figures)
    return figures


def train_forward(
    run: Path, *, parent: Path, data: TrainingData, model: ForwardConfig, train: TrainConfig
) -> dict[str, Any]:
    """Trains forward dynamics on the frozen tokenizer's tokens: from video and instruction, without actions."""
    bundle = load_bundle(bundle_of(parent))
    tokenizer = bundle.module("tokenizer", MotionTokenizer)
    windows = data.training_windows(tracks=True, features=True, actions=False)
    held_out = data.windows(tracks=True, features=True, actions=False, held_out=True)
    tokens = tokens_of_tracks(tokenizer, windows, label="tokens")
    held_out_tokens = tokens_of_tracks(tokenizer, held_out, label="tokens") if held_out else None
    sizes = feature_sizes(first_features(windows))
    forward = seeded(
        train.seed,
        "forward",
        lambda: ForwardDynamics(
            model,
            levels=tokenizer.config.levels,
            tokens=tokenizer.config.steps,
            vision_width=sizes["vision_width"],
            patches=sizes["patches"],
            views=sizes["views"],
            text_width=sizes["text_width"],
        ),
    )
    forward.fit_statistics(_statistics_features(windows))
    stage = ForwardStage(forward, windows, tokens, held_out, held_out_tokens)
    figures = fit(stage, train, run, identity=identity_of(data, model, bundle)) | set_aside(windows)
    models = {"tokenizer": tokenizer, "forward": forward}
    save_run(run, models, learned_from(data, bundle), figures, parent=bundle)
    return figures


def train_inverse(
    run: Path, *, parent: Path, data: TrainingData, model: InverseConfig, train: InverseTraining
) -> dict[str, Any]:
    """Trains inverse dynamics on demonstrations: on real tokens first, then on those that forward dynamics foresees."""
    bundle = load_bundle(bundle_of(parent))
    tokenizer = bundle.module("tokenizer", MotionTokenizer)
    forward = bundle.module("forward", ForwardDynamics)
    windows = data.training_windows(tracks=True, features=True, actions=True)
    real = tokens_of_tracks(tokenizer, windows, label="tokens")
    changes_over = round(train.predicted_from * train.loop.steps)
    predicted = None
    # Nothing can be foreseen for play, whose text asks for nothing: there the tokens stay those of the real tracks.
    known = np.isin(windows.instructions, info_of(bundle).instructions)[windows.instruction_numbers]
    if changes_over < train.loop.steps and known.any():
        predicted = real.expand(1 + train.predicted_samples, -1, -1).clone()
        predicted[:, torch.from_numpy(known)] = tokens_predicted(
            forward,
            windows,
            np.flatnonzero(known),
            samples=train.predicted_samples,
            temperature=train.temperature,
            seed=train.loop.seed,
            label="foreseen tokens",
        )
    sizes, proprio, actions = action_sizes(windows, data)
    inverse = seeded(
        train.loop.seed,
        "inverse",
        lambda: InverseDynamics(
            model, code_width=tokenizer.embedding_width(model.motion), tokens=tokenizer.config.steps, **sizes
        ),
    )
    inverse.fit_scalers(proprio, actions)
    stage = InverseStage(
        inverse, windows, tokenizer=tokenizer, real=real, predicted=predicted, predicted_from=changes_over
    )
    identity = identity_of(data, model, bundle) | {"tokens": train.model_dump(mode="json", exclude={"loop"})}
    figures = fit(stage, train.loop, run, identity=identity) | set_aside(windows)
    models = {"tokenizer": tokenizer, "forward": forward, "inverse": inverse}
    save_run(run, models, learned_from(data, bundle), figures, parent=bundle)
    return figures


def train_behaviour_cloning(
    run: Path, *, data: TrainingData, model: InverseConfig, train: TrainConfig
) -> dict[str, Any]:
    """Trains the baseline on the same demonstrations, features and head, guided by the instruction."""
    windows = data.training_windows(tracks=False, features=True, actions=True)
    sizes, proprio, actions = action_sizes(windows, data)
    text_width = feature_sizes(first_features(windows))["text_width"]
    policy = seeded(train.seed, "behaviour-cloning", lambda: BehaviourCloning(model, text_width=text_width, **sizes))
    policy.fit_scalers(proprio, actions)
    figures = fit(BehaviourCloningStage(policy, windows), train, run, identity=identity_of(data, model)) | set_aside(
        windows
    )
    save_run(run, {"behaviour_cloning": policy}, learned_from(data), figures)
    return figures


def identity_of(data: TrainingData, model: Config, parent: Bundle | None = None) -> dict[str, Any]:
    """What the result of a stage depends on beside its budget: only the same run resumes."""
    return {
        "data": data.model_dump(mode="json"),
        "model": model.model_dump(mode="json"),
        "parent": None if parent is None else parent.hash,
    }


def set_aside(windows: WindowSet) -> dict[str, Any]:
    """How many broken episodes the datasets have, which were left out with a warning each."""
    return {"episodes_set_aside": sum(len(dataset.problems) for dataset in windows.datasets)}


def statistics_tracks(windows: WindowSet) -> TrackWindow:
    """Tracks of evenly spread windows, enough to know how far points move."""
    tracks = windows.batch(_evenly(windows)).tracks
    assert tracks is not None
    return tracks


def _statistics_features(windows: WindowSet) -> Features:
    features = windows.batch(_evenly(windows)).features
    assert features is not None
    return features


def _evenly(windows: WindowSet) -> np.ndarray:
    return np.linspace(0, len(windows) - 1, min(len(windows), STATISTICS_WINDOWS)).astype(int)


def first_features(windows: WindowSet) -> Features:
    """Frozen features of the first window, for their sizes."""
    features = windows.batch(np.zeros(1, dtype=int)).features
    assert features is not None
    return features


def feature_sizes(features: Features) -> dict[str, int]:
    """The sizes that a model needs to know of its frozen features."""
    _, views, patches, vision_width = features.vision.shape
    return {
        "views": views,
        "patches": patches,
        "vision_width": vision_width,
        "text_width": features.text.shape[-1],
    }


def action_sizes(windows: WindowSet, data: TrainingData) -> tuple[dict[str, int], Tensor, Tensor]:
    """The sizes that an action model needs to know, and all proprioception (m p) and actions (m a) of the data.

    Raises:
        DataError: The data have no actions or no proprioception.
    """
    plain = data.training_windows(tracks=False, features=False, actions=True)
    everything = plain.batch(np.arange(len(plain)))
    if everything.proprio is None or everything.actions is None:
        raise DataError(
            "inverse dynamics needs demonstrations with actions and proprioception",
            got=", ".join(str(s.path) for s in data.sources),
            remedy="name a dataset that has both columns (record without --no-actions)",
        )
    proprio, actions = everything.proprio, everything.actions.actions[:, 0]
    sizes = feature_sizes(first_features(windows))
    del sizes["text_width"]
    return sizes | {"proprio_width": proprio.shape[-1], "action_width": actions.shape[-1]}, proprio, actions


def save_run(
    run: Path,
    models: dict[str, nn.Module],
    info: BundleInfo,
    figures: dict[str, Any],
    *,
    parent: Bundle | None = None,
) -> None:
    """Writes the run's bundle; its figures come after the parent's."""
    stats = figures if parent is None else parent.stats | figures
    save_bundle(run / BUNDLE, models, info.meta, stats, parents=[parent] if parent else [])


def learned_from(data: TrainingData, parent: Bundle | None = None) -> BundleInfo:
    """What a bundle must know of its data to be used elsewhere; a parent's entries stay where this stage has none."""
    # Columns are left closed: video must be enough, whatever the files of actions hold.
    datasets = [Dataset.open(source.path, columns=False) for source in data.sources]
    dataset = datasets[0]
    spec, first = dataset.spec, dataset.episodes[0].index
    known: dict[str, Any] = {
        "cameras": spec.cameras,
        "frame_size_px": spec.width,
        "fps": spec.fps,
        "robot_type": spec.robot_type,
        "instructions": tuple(sorted({e.instruction for d in datasets for e in d.episodes})),
    }
    if data.tracks is not None:
        header = read_episode(dataset, data.tracks, first).header
        settings = dict(header.settings)
        known["grid"], known["horizon"] = int(settings.pop("grid")), int(settings.pop("horizon"))
        known["tracker"] = {"name": header.producer, "version": header.version, **settings}
    if data.features is not None:
        header = read_episode(dataset, data.features, first).header
        known["vision_encoder"] = EncoderInfo(name=header.producer, settings=header.settings)
        known["text_encoder"] = EncoderInfo(name=data.text.removeprefix("text-"))
    if spec.action_names and spec.proprio_names:
        known["action_names"], known["proprio_names"] = spec.action_names, spec.proprio_names
    return (info_of(parent) if parent else BundleInfo()).model_copy(update=known)
