"""How each stage is trained from datasets: build the model to the data's sizes, fit, write a bundle.

Every recipe writes ``RUN/bundle`` and is resumable: a finished run is only scored again, and a folder that holds a run
of other data, model, parent or budget is refused.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from amplify import rng
from amplify.baselines.behaviour_cloning import BehaviourCloning
from amplify.config import GrownConfig
from amplify.errors import DataError
from amplify.forward.dynamics import ForwardConfig, ForwardDynamics
from amplify.inverse.action_decoder import ActionDecoder
from amplify.inverse.config import InverseConfig
from amplify.inverse.dynamics import InverseDynamics
from amplify.metrics.statistics import codebook_usage
from amplify.nn.device import computing_device
from amplify.policy.bundle import Bundle, load_bundle
from amplify.policy.info import info_of
from amplify.tokens.tokenizer import MotionTokenizer, TokenizerConfig
from amplify.train.fine_tuning import (
    BUNDLE,
    FineTuning,
    begin,
    beginning,
    beyond_range,
    bundle_of,
    opened,
    refits,
)
from amplify.train.foreseen import foreseen_tokens
from amplify.train.loop import TrainConfig, fit
from amplify.train.saving import identity_of, learned_from, save_run, set_aside, with_eyes
from amplify.train.sight import fit_seeing
from amplify.train.stages import (
    BehaviourCloningStage,
    ForwardStage,
    InverseStage,
    TokenizerStage,
    tokens_of_tracks,
    tokens_zoomed,
)
from amplify.train.training_data import (
    TrainingData,
    action_sizes,
    feature_sizes,
    first_features,
    on,
    seen_by,
    statistics_features,
    statistics_tracks,
)
from amplify.types import TrackWindow

__all__ = [
    "BUNDLE",
    "FineTuning",
    "InverseTraining",
    "TrainingData",
    "bundle_of",
    "identity_of",
    "learned_from",
    "save_run",
    "seeded",
    "set_aside",
    "train_behaviour_cloning",
    "train_forward",
    "train_inverse",
    "train_tokenizer",
    "with_eyes",
]

logger = logging.getLogger(__name__)


class InverseTraining(GrownConfig):
    """The budget of inverse dynamics, and where its motion tokens come from.

    Args:
        loop: Steps and rates.
        predicted_from: Share of the steps after which tokens are those that forward dynamics foresees, as in the loop
            on the robot; before, they are those of the real tracks. 1 never changes over.
        predicted_samples: Random futures a window beside the likeliest one. They do not belong to the actions that
            they are trained with: 3 of them cost success (0.84 instead of 0.88 in one trial with 3 training seeds).
        temperature: Of the random futures.
        zooms: Variants of every real window beside itself, as a nearer or farther camera would see it: what is learned
            then serves where the camera is at another distance. Foreseen tokens have none.
        zoom_most: How much larger or smaller, at most; factors are uniform in their logarithm.
        zoom_views: Views that are zoomed, all by default; a camera on the robot's hand comes with the robot.
    """

    later: ClassVar[tuple[str, ...]] = ("zooms", "zoom_most", "zoom_views")

    loop: TrainConfig
    predicted_from: float = Field(default=0.5, ge=0, le=1)
    predicted_samples: int = Field(default=0, ge=0)
    temperature: float = Field(default=1.0, gt=0)
    zooms: int = Field(default=0, ge=0)
    zoom_most: float = Field(default=1.8, gt=1)
    zoom_views: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _zooms_if_asked(self) -> "InverseTraining":
        if not self.zooms and (self.zoom_views or self.zoom_most != type(self).model_fields["zoom_most"].default):
            raise ValueError("zoom_most and zoom_views say how to zoom, and zooms is 0: give zooms as well, 3 say")
        return self


def seeded(seed: int, name: str, build: Callable[[], nn.Module]) -> Any:
    """A model whose first weights depend on the seed and the stage's name alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(rng.derive(seed, name, "weights"))
        return build()


def train_tokenizer(
    run: Path, *, data: TrainingData, model: TokenizerConfig, train: TrainConfig, init: FineTuning | None = None
) -> dict[str, Any]:
    """Trains the motion tokenizer on tracks alone; its figures, with the codebook's usage on held-out windows."""
    identity, start = identity_of(data, model), opened(init)
    data = data.resolved(actions=False)
    windows = data.training_windows(tracks=True, features=False, actions=False)
    held_out = data.windows(tracks=True, features=False, actions=False, held_out=True)
    tracks = statistics_tracks(windows)
    _same_sizes(model, tracks)
    tokenizer = seeded(train.seed, "tokenizer", lambda: MotionTokenizer(model))
    begin(tokenizer, "tokenizer", start)
    if refits(init):
        tokenizer.fit_statistics(tracks)
    identity |= beginning(init, start)
    figures = fit(TokenizerStage(tokenizer, windows, held_out), train, run, identity=identity) | set_aside(windows)
    tokens = tokens_of_tracks(tokenizer, held_out or windows, label="codebook")
    usage = codebook_usage(tokens, tokenizer.codebook_size)
    figures["codebook"] = {"size": usage.size, "used": usage.used, "perplexity": usage.perplexity}
    without_features = data.model_copy(update={"features": None})
    save_run(run, {"tokenizer": tokenizer}, learned_from(without_features), figures, init=start)
    return figures


def _same_sizes(model: TokenizerConfig, tracks: TrackWindow) -> None:
    _, views, frames, points, _ = tracks.points.shape
    if (model.views, model.steps, model.points) != (views, frames - 1, points):
        raise DataError(
            "the tokenizer has other sizes than the tracks that it is to learn from",
            got=f"{model.views} views, {model.steps} steps, {model.points} points",
            allowed=f"{views} views, {frames - 1} steps, {points} points",
            remedy="set views, steps and points of its configuration to those of the tracks",
        )


def train_forward(
    run: Path,
    *,
    parent: Path,
    data: TrainingData,
    model: ForwardConfig,
    train: TrainConfig,
    init: FineTuning | None = None,
) -> dict[str, Any]:
    """Trains forward dynamics on the frozen tokenizer's tokens: from video and instruction, without actions."""
    bundle, start = load_bundle(bundle_of(parent)), opened(init)
    tokenizer = bundle.module("tokenizer", MotionTokenizer)
    identity = identity_of(data, model, bundle)
    data = data.resolved(actions=False, parent=bundle)
    _same_eyes_and_tokens(data, tokenizer, start)
    device = computing_device(train.device)
    goal, eyes, tokenizer = model.goal != "text", on(device, data.eyes(start)), tokenizer.to(device)
    windows = data.training_windows(tracks=True, features=True, actions=False, goal=goal)
    held_out = data.windows(tracks=True, features=True, actions=False, goal=goal, held_out=True)
    tokens = tokens_of_tracks(tokenizer, windows, label="tokens")
    held_out_tokens = tokens_of_tracks(tokenizer, held_out, label="tokens") if held_out else None
    seen = seen_by(windows, eyes)
    first = first_features(seen)
    forward = seeded(
        train.seed,
        "forward",
        lambda: ForwardDynamics(
            model,
            levels=tokenizer.config.levels,
            tokens=tokenizer.config.tokens,
            text_tokens=first.text.shape[-2],
            **feature_sizes(first),
        ),
    )
    begin(forward, "forward", start)
    if refits(init):
        forward.fit_statistics(statistics_features(seen))
    stage = ForwardStage(forward, windows, tokens, held_out and seen_by(held_out, eyes), held_out_tokens)
    identity |= beginning(init, start)
    figures = fit_seeing(stage, eyes, data.sight, train, run, identity=identity) | set_aside(windows)
    models = {"tokenizer": tokenizer, "forward": forward}
    save_run(run, *with_eyes(models, learned_from(data, bundle), data, eyes), figures, parent=bundle, init=start)
    return figures


def _same_eyes_and_tokens(data: TrainingData, tokenizer: MotionTokenizer, start: Bundle | None) -> None:
    """What forward dynamics learned goes on only where it sees with the same eyes; other tokens are learned anew."""
    if start is None:
        return
    data.same_encoders(start)
    theirs = start.models.get("tokenizer")
    ours = tokenizer.state_dict()
    if theirs is None or any(not torch.equal(ours.get(k, v.new_zeros(0)), v) for k, v in theirs.state_dict().items()):
        logger.warning(
            "%s was trained on the tokens of another tokenizer: what it foresees has to be learned anew", start.path
        )


def train_inverse(
    run: Path,
    *,
    parent: Path,
    data: TrainingData,
    model: InverseConfig,
    train: InverseTraining,
    init: FineTuning | None = None,
) -> dict[str, Any]:
    """Trains inverse dynamics on demonstrations: on real tokens first, then on those that forward dynamics foresees.

    Eyes that are fine-tuned here are inverse dynamics' own: forward dynamics keeps those that it was trained with.
    """
    bundle, start = load_bundle(bundle_of(parent)), opened(init)
    device = computing_device(train.loop.device)
    tokenizer = bundle.module("tokenizer", MotionTokenizer).to(device)
    forward = bundle.module("forward", ForwardDynamics).to(device)
    identity = identity_of(data, model, bundle) | {"tokens": train.model_dump(mode="json", exclude={"loop"})}
    data = data.resolved(actions=True, parent=bundle)
    data.same_encoders(bundle)
    eyes = on(device, data.eyes(bundle, start))
    goal = forward.config.goal != "text"
    windows = data.training_windows(tracks=True, features=True, actions=True, goal=goal)
    held_out = data.windows(tracks=True, features=True, actions=True, goal=goal, held_out=True)
    seen = seen_by(windows, eyes)
    real = tokens_of_tracks(tokenizer, windows, label="tokens")
    changes_over = round(train.predicted_from * train.loop.steps)
    predicted = None
    if changes_over < train.loop.steps:
        options = {"samples": train.predicted_samples, "temperature": train.temperature, "seed": train.loop.seed}
        predicted = foreseen_tokens(bundle, seen, real, data, **options)
    zoom = {"most": train.zoom_most, "views": train.zoom_views, "seed": train.loop.seed}
    variants = [tokens_zoomed(tokenizer, windows, number, **zoom) for number in range(train.zooms)]
    sizes, proprio, actions = action_sizes(seen, data)
    inverse = seeded(
        train.loop.seed,
        "inverse",
        lambda: InverseDynamics(
            model, code_width=tokenizer.embedding_width(model.motion), tokens=tokenizer.config.tokens, **sizes
        ),
    )
    begin(inverse, "inverse", start)
    if refits(init):
        inverse.fit_scalers(proprio, actions)
    _warn_beyond(inverse.decoder, actions)
    identity |= beginning(init, start)
    stage = InverseStage(
        inverse,
        windows,
        tokenizer=tokenizer,
        real=torch.stack([real, *variants]),
        predicted=predicted,
        predicted_from=changes_over,
        held_out=held_out and seen_by(held_out, eyes),
        held_out_tokens=tokens_of_tracks(tokenizer, held_out, label="tokens") if held_out else None,
    )
    figures = fit_seeing(stage, eyes, data.sight, train.loop, run, identity=identity) | set_aside(windows)
    models = {"tokenizer": tokenizer, "forward": forward, "inverse": inverse}
    models |= {name: bundle.models[name] for name in ("vision_encoder", "text_encoder") if name in bundle.models}
    if eyes is not None and data.sight.fine_tune:
        models["inverse_vision_encoder"] = eyes
    known = info_of(bundle)
    encoders = {"vision_encoder": known.vision_encoder, "text_encoder": known.text_encoder}
    info = learned_from(data, bundle).model_copy(update=encoders)
    save_run(run, models, info, figures, parent=bundle, init=start)
    return figures


def _warn_beyond(decoder: ActionDecoder, actions: Tensor) -> None:
    beyond = beyond_range(decoder.action_scaler.scale(actions))
    if beyond > 0.01:
        logger.warning(
            "%.0f %% of the actions lie outside of the range that the model was first trained with, and are learned as "
            "its limits: --init-statistics refitted takes the range of the new data",
            100 * beyond,
        )


def train_behaviour_cloning(
    run: Path, *, data: TrainingData, model: InverseConfig, train: TrainConfig, init: FineTuning | None = None
) -> dict[str, Any]:
    """Trains the baseline on the same demonstrations, features and head, guided by the instruction."""
    identity, start = identity_of(data, model), opened(init)
    data = data.resolved(actions=True, parent=start)
    if start is not None:
        data.same_encoders(start)
    eyes = on(computing_device(train.device), data.eyes(start))
    windows = data.training_windows(tracks=False, features=True, actions=True)
    seen = seen_by(windows, eyes)
    sizes, proprio, actions = action_sizes(seen, data)
    text = first_features(seen).text
    policy = seeded(
        train.seed,
        "behaviour-cloning",
        lambda: BehaviourCloning(model, text_width=text.shape[-1], text_tokens=text.shape[-2], **sizes),
    )
    begin(policy, "behaviour_cloning", start)
    if refits(init):
        policy.fit_scalers(proprio, actions)
    _warn_beyond(policy.decoder, actions)
    held_out = data.windows(tracks=False, features=True, actions=True, held_out=True)
    stage = BehaviourCloningStage(policy, windows, held_out and seen_by(held_out, eyes))
    identity |= beginning(init, start)
    figures = fit_seeing(stage, eyes, data.sight, train, run, identity=identity) | set_aside(windows)
    save_run(run, *with_eyes({"behaviour_cloning": policy}, learned_from(data), data, eyes), figures, init=start)
    return figures
