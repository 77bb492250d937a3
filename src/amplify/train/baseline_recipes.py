"""How the baselines of track prediction, and the policy that follows their tracks, are trained from datasets.

As in `amplify.train.recipes`, every recipe writes ``RUN/bundle`` and resumes the same run only.
"""

from pathlib import Path
from typing import Any

from amplify.baselines.track_diffusion import TrackDiffusion, TrackDiffusionConfig
from amplify.baselines.track_policy import TrackGuidedPolicy
from amplify.baselines.track_transformer import TrackTransformer, TrackTransformerConfig
from amplify.errors import UsageError
from amplify.inverse.config import InverseConfig
from amplify.nn.device import computing_device
from amplify.policy.bundle import load_bundle
from amplify.tracks.queries import uniform_grid
from amplify.train.baseline_stages import TrackPolicyStage, TrackStage, tracks_predicted
from amplify.train.loop import TrainConfig, fit
from amplify.train.recipes import bundle_of, identity_of, learned_from, save_run, seeded, set_aside, with_eyes
from amplify.train.sight import fit_seeing
from amplify.train.training_data import (
    TrainingData,
    action_sizes,
    feature_sizes,
    first_features,
    on,
    seen_by,
    statistics_tracks,
)

GUIDE_GRID = 6
"""Points along one side of the grid whose tracks guide the policy; ATM guides with 32 points."""


def train_track_transformer(
    run: Path, *, data: TrainingData, model: TrackTransformerConfig, train: TrainConfig
) -> dict[str, Any]:
    """Trains ATM's any-point transformer on tracks: from video and instruction, without actions."""
    return _train_tracks(run, "track-transformer", TrackTransformer, data=data, model=model, train=train)


def train_track_diffusion(
    run: Path, *, data: TrainingData, model: TrackDiffusionConfig, train: TrainConfig
) -> dict[str, Any]:
    """Trains the denoiser of trajectories on tracks: from video and instruction, without actions."""
    return _train_tracks(run, "track-diffusion", TrackDiffusion, data=data, model=model, train=train)


def train_track_policy(
    run: Path, *, parent: Path, data: TrainingData, model: InverseConfig, train: TrainConfig
) -> dict[str, Any]:
    """Trains ATM's policy on demonstrations, guided by the tracks that the parent's frozen transformer foresees."""
    bundle = load_bundle(bundle_of(parent))
    transformer = bundle.module("track_transformer", TrackTransformer).to(computing_device(train.device))
    identity = identity_of(data, model, bundle)
    data = data.resolved(actions=True, parent=bundle)
    data.same_encoders(bundle)
    if not data.sight.cached:
        raise UsageError(
            "the track policy learns from cached features", remedy="leave out fine-tuning, shift and colour"
        )
    windows = data.training_windows(tracks=False, features=True, actions=True)
    sizes, proprio, actions = action_sizes(windows, data)
    queries = uniform_grid(GUIDE_GRID).expand(sizes["views"], -1, -1)
    predicted = tracks_predicted(transformer, windows, queries, label="foreseen tracks")
    text_width = feature_sizes(first_features(windows))["text_width"]
    policy = seeded(
        train.seed,
        "track-policy",
        lambda: TrackGuidedPolicy(
            model, points=queries.shape[1], steps=transformer.steps, text_width=text_width, **sizes
        ),
    )
    policy.fit_scalers(proprio, actions, predicted)
    stage = TrackPolicyStage(policy, windows, predicted)
    figures = fit(stage, train, run, identity=identity) | set_aside(windows)
    models = {"track_transformer": transformer, "track_policy": policy}
    save_run(run, models, learned_from(data, bundle), figures, parent=bundle)
    return figures


def _train_tracks(
    run: Path,
    name: str,
    build: type[TrackTransformer] | type[TrackDiffusion],
    *,
    data: TrainingData,
    model: Any,
    train: TrainConfig,
) -> dict[str, Any]:
    identity = identity_of(data, model)
    data = data.resolved(actions=False)
    eyes = on(computing_device(train.device), data.eyes())
    windows = data.training_windows(tracks=True, features=True, actions=False)
    held_out = data.windows(tracks=True, features=True, actions=False, held_out=True)
    sizes = feature_sizes(first_features(seen_by(windows, eyes)))
    module = seeded(train.seed, name, lambda: build(model, steps=data.horizon - 1, **sizes))
    module.fit_statistics(statistics_tracks(windows))
    stage = TrackStage(name, module, windows, held_out and seen_by(held_out, eyes))
    figures = fit_seeing(stage, eyes, data.sight, train, run, identity=identity) | set_aside(windows)
    save_run(run, *with_eyes({name.replace("-", "_"): module}, learned_from(data), data, eyes), figures)
    return figures
