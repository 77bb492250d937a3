"""The whole loop on somebody's own data: track → encode → tokenizer → forward → inverse → scores → report."""

import shutil
from functools import partial
from pathlib import Path
from typing import Any

from amplify.data.dataset import Dataset
from amplify.data.extract import encode_dataset, track_dataset
from amplify.data.mixture.table import lines_of
from amplify.encoders import TEXT_ENCODERS, VISION_ENCODERS
from amplify.errors import pick
from amplify.evaluate.tracks import evaluate_tracks
from amplify.experiments.ledger import Ledger
from amplify.experiments.own_videos.actions import action_errors
from amplify.experiments.own_videos.config import OwnVideosConfig
from amplify.experiments.own_videos.parts import Parts
from amplify.experiments.own_videos.report import write_report
from amplify.forward.dynamics import ForwardDynamics
from amplify.jobs import Node
from amplify.policy.bundle import load_bundle
from amplify.tokens.tokenizer import MotionTokenizer
from amplify.tracks import TRACKERS
from amplify.train import recipes
from amplify.train.loop import TrainConfig


def own_videos(config: OwnVideosConfig, out: Path, *, workers: int | None = None) -> dict[str, Any]:
    """Runs every stage that is not finished yet and writes the report; its content.

    Args:
        config: What to run.
        out: The run's folder, resumable.
        workers: Processes; all cores by default.

    Raises:
        AmplifyError: Data do not fit, or a stage failed; the same call goes on from there.
    """
    tracker = pick(config.tracker, TRACKERS, kind="tracker")()
    parts, ledger = Parts(out, config), Ledger(out, config)
    with ledger.attempt():
        ledger.run("data", partial(_described, parts))
        ledger.run("track", partial(_track, parts, tracker, workers))
        nodes: list[Node[Any]] = [
            *[
                Node(f"encode-{number}", partial(_encode, path), divides=True)
                for number, path in enumerate(parts.windows)
            ],
            Node("tokenizer", partial(_fit_tokenizer, parts)),
        ]
        encoded = tuple(node.name for node in nodes)
        nodes += [
            Node("forward", partial(_fit_forward, parts), encoded),
            Node("inverse", partial(_fit_inverse, parts), ("forward",)),
        ]
        ledger.run_graph(nodes, workers=workers)
        ledger.run("track_metrics", partial(_score_tracks, parts))
        ledger.run("action_error", partial(_score_actions, parts))
        _publish(parts)
    return write_report(parts, ledger)


def _described(parts: Parts) -> dict[str, Any]:
    lines = {"motion": lines_of(parts.motion), "actions": lines_of(parts.labelled)}
    return {name: [{f: getattr(line, f) for f in line.__slots__} for line in rows] for name, rows in lines.items()}


def _track(parts: Parts, tracker: Any, workers: int | None) -> dict[str, Any]:
    grid, summary = parts.config.grid, {}
    for path, horizon in parts.windows.items():
        dataset = Dataset.open(path, columns=False)
        summary[str(path)] = track_dataset(dataset, tracker, grid=grid, horizon=horizon, workers=workers)
    truth = _with_truth(parts)
    for path in {source.path for source in parts.held_out} if truth else ():
        from amplify.sim.ground_truth import GroundTruthTracker

        exact = GroundTruthTracker()
        dataset = Dataset.open(path, columns=False)
        track_dataset(dataset, exact, grid=grid, horizon=parts.windows[path], workers=workers)
    return {"datasets": summary, "truth": truth}


def _with_truth(parts: Parts) -> bool:
    """Whether a simulator recorded all of what is held out."""
    datasets = [Dataset.open(path, columns=False) for path in {source.path for source in parts.held_out}]
    return all(dataset.scene(info.index) is not None for dataset in datasets for info in dataset.episodes)


def _encode(path: Path) -> dict[str, Any]:
    eyes, ears = VISION_ENCODERS["efficientnet-lite0"](), TEXT_ENCODERS["minilm"]()
    return encode_dataset(Dataset.open(path, columns=False), eyes, ears)


def _fit_tokenizer(parts: Parts) -> dict[str, Any]:
    config, data = parts.config, parts.motion
    model = config.tokenizer.model_copy(update={"views": len(data.view_names()), "view_weights": ()})
    train = _seeded(config.tokenizer_training, config.seed)
    return recipes.train_tokenizer(parts.tokenizer, data=data, model=model, train=train)


def _fit_forward(parts: Parts) -> dict[str, Any]:
    config = parts.config
    train = _seeded(config.forward_training, config.seed)
    return recipes.train_forward(
        parts.forward, parent=parts.tokenizer, data=parts.motion, model=config.forward, train=train
    )


def _fit_inverse(parts: Parts) -> dict[str, Any]:
    config = parts.config
    training = config.inverse_training
    training = training.model_copy(update={"loop": _seeded(training.loop, config.seed)})
    return recipes.train_inverse(
        parts.inverse, parent=parts.forward, data=parts.labelled, model=config.inverse, train=training
    )


def _seeded(config: TrainConfig, seed: int) -> TrainConfig:
    return config.model_copy(update={"seed": seed})


def _score_tracks(parts: Parts) -> dict[str, Any]:
    bundle = load_bundle(recipes.bundle_of(parts.forward))
    tokenizer, forward = bundle.module("tokenizer", MotionTokenizer), bundle.module("forward", ForwardDynamics)
    score = partial(
        evaluate_tracks,
        tokenizer,
        forward,
        parts.held_out,
        features=parts.features,
        text=parts.text,
        views=parts.views,
        rate=parts.config.rate,
    )
    scores: dict[str, Any] = {"own_tracker": score(truth=parts.tracks), "truth": None}
    if _with_truth(parts):
        scores["truth"] = score(truth=parts.truth, label="track metrics, truth")
    return scores


def _score_actions(parts: Parts) -> dict[str, Any]:
    return action_errors(load_bundle(recipes.bundle_of(parts.inverse)), parts.labelled)


def _publish(parts: Parts) -> None:
    aside = parts.out / ".bundle.partial"
    shutil.rmtree(aside, ignore_errors=True)
    shutil.copytree(recipes.bundle_of(parts.inverse), aside)
    shutil.rmtree(parts.bundle, ignore_errors=True)
    aside.rename(parts.bundle)
