"""The whole loop: record → track → encode → tokenizer → forward → inverse → rollouts → report.

Three datasets, each from its own seeds: *videos* without any action or proprioception column, *held-out* videos for
track metrics, and a few *demos* with actions. Behaviour cloning gets the same demos, features, head and controller.
"""

import shutil
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from amplify import rng
from amplify.data.dataset import Dataset
from amplify.data.extract import encode_dataset, track_dataset
from amplify.data.windows import Source
from amplify.encoders import TEXT_ENCODERS, VISION_ENCODERS
from amplify.errors import DataError, pick
from amplify.evaluate.rollout import PolicySpec, evaluate_policies, initial_state_seeds
from amplify.evaluate.tracks import evaluate_tracks, tracker_agreement
from amplify.experiments.defaults import ALL_TRACKERS
from amplify.experiments.ledger import Ledger
from amplify.experiments.quickstart.config import PRESETS, QuickstartConfig, baseline_name, inverse_name
from amplify.experiments.quickstart.folders import Folders
from amplify.experiments.quickstart.report import write_report
from amplify.forward.dynamics import ForwardDynamics
from amplify.jobs import Node
from amplify.policy.bundle import load_bundle
from amplify.protocols import Tracker
from amplify.sim.record import RecordConfig, record
from amplify.tokens.tokenizer import MotionTokenizer
from amplify.train import recipes
from amplify.train.loop import TrainConfig
from amplify.train.recipes import TrainingData

AMPLIFY, CLONING = "amplify", "behaviour_cloning"


def configured(preset: str, **changes: Any) -> QuickstartConfig:
    """A preset's settings with changes.

    Raises:
        UnknownNameError: There is no such preset or tracker.
    """
    build = pick(preset, PRESETS, kind="preset")
    if "tracker" in changes:
        pick(changes["tracker"], ALL_TRACKERS, kind="tracker")
    return build(**changes)


def quickstart(config: QuickstartConfig, out: Path, *, workers: int | None = None) -> dict[str, Any]:
    """Runs every stage that is not finished yet and writes the report; its content.

    Args:
        config: What to run.
        out: The run's folder, resumable.
        workers: Processes; all cores by default.

    Raises:
        AmplifyError: A stage failed; the same call goes on from there.
    """
    folders, ledger = Folders(out, config), Ledger(out, config)
    with ledger.attempt():
        ledger.run("record", partial(_record, config, folders, workers))
        ledger.run("track", partial(_track, config, folders, workers))
        ledger.run_graph(learning(config, folders), workers=workers)
        ledger.run("track_metrics", partial(_score_tracks, config, folders))
        ledger.run("rollouts", partial(_rollouts, config, folders, workers))
        _publish(folders)
    return write_report(config, folders, ledger)


def learning(config: QuickstartConfig, folders: Folders) -> list[Node[Any]]:
    """Encoding and training as a graph: behaviour cloning fills the core that motion tokens leave idle."""
    motion = TrainingData(
        sources=(Source(path=folders.videos),),
        held_out=(Source(path=folders.held_out),),
        tracks=folders.tracks,
        features=folders.features,
        text=folders.text,
        horizon=config.horizon,
        action_horizon=config.inverse.action_horizon,
    )
    demos = motion.model_copy(update={"sources": (Source(path=folders.demos),), "held_out": ()})
    seeds = range(config.inverse_seeds)
    inverse = [
        Node(inverse_name(seed), partial(_fit_inverse, config, folders, demos, seed), ("forward", "encode-demos"))
        for seed in seeds
    ]
    baselines = [
        Node(
            baseline_name(seed, budget), partial(_fit_baseline, config, folders, demos, seed, budget), ("encode-demos",)
        )
        for budget in ("long", "equal")
        for seed in seeds
    ]
    return [
        Node("tokenizer", partial(_fit_tokenizer, config, folders, motion)),
        *[Node(f"encode-{folder.name}", partial(_encode, folder), divides=True) for folder in folders.datasets],
        Node(
            "forward", partial(_fit_forward, config, folders, motion), ("tokenizer", "encode-videos", "encode-held-out")
        ),
        *inverse,
        *baselines,
    ]


def _record(config: QuickstartConfig, folders: Folders, workers: int | None) -> dict[str, Any]:
    exact = config.tracker == "ground-truth"
    summary = {}
    for name, folder, kind in (
        ("videos", folders.videos, {"episodes": config.videos, "actions": False, "scene": exact}),
        ("held_out", folders.held_out, {"episodes": config.held_out, "actions": False, "scene": True}),
        ("demos", folders.demos, {"episodes": config.demos, "actions": True, "scene": exact}),
    ):
        settings = RecordConfig(tasks=config.tasks, seed=rng.derive(config.seed, name), **kind)
        summary[name] = record(settings, folder, workers, strict=True)
    _assert_disjoint(config, folders)
    return summary


def _assert_disjoint(config: QuickstartConfig, folders: Folders) -> None:
    """Every recording and every rollout starts from a seed of its own."""
    seen: dict[str, str] = {}
    for folder in folders.datasets:
        for episode in Dataset.open(folder, columns=False).episodes:
            key = f"{episode.info['task']}/{episode.info['seed']}"
            if key in seen:
                raise DataError(f"{key} was recorded twice", got=f"{seen[key]} and {folder}", remedy="report a bug")
            seen[key] = str(folder)
    for task in config.tasks:
        shared = {f"{task}/{seed}" for seed in initial_state_seeds(config.rollout, task)} & seen.keys()
        if shared:
            raise DataError("evaluation seeds were recorded", got=", ".join(sorted(shared)), remedy="report a bug")


def _tracker(name: str) -> Tracker:
    return pick(name, ALL_TRACKERS, kind="tracker")()


def _track(config: QuickstartConfig, folders: Folders, workers: int | None) -> dict[str, Any]:
    def track(folder: Path, tracker: str) -> dict[str, Any]:
        dataset = Dataset.open(folder, columns=False)
        return track_dataset(dataset, _tracker(tracker), grid=config.grid, horizon=config.horizon, workers=workers)

    summary = {folder.name: track(folder, config.tracker) for folder in folders.datasets}
    if config.tracker != "ground-truth":
        summary["truth"] = track(folders.held_out, "ground-truth")
    return summary


def _encode(folder: Path) -> dict[str, Any]:
    eyes, ears = VISION_ENCODERS["efficientnet-lite0"](), TEXT_ENCODERS["minilm"]()
    return encode_dataset(Dataset.open(folder, columns=False), eyes, ears)


def _fit_tokenizer(config: QuickstartConfig, folders: Folders, motion: TrainingData) -> dict[str, Any]:
    train = _seeded(config.tokenizer_training, config.seed)
    return recipes.train_tokenizer(folders.tokenizer, data=motion, model=config.tokenizer, train=train)


def _fit_forward(config: QuickstartConfig, folders: Folders, motion: TrainingData) -> dict[str, Any]:
    train = _seeded(config.forward_training, config.seed)
    return recipes.train_forward(
        folders.forward, parent=folders.tokenizer, data=motion, model=config.forward, train=train
    )


def _fit_inverse(config: QuickstartConfig, folders: Folders, demos: TrainingData, seed: int) -> dict[str, Any]:
    training = config.inverse_training
    return recipes.train_inverse(
        folders.inverse(seed),
        parent=folders.forward,
        data=demos,
        model=config.inverse,
        train=training.model_copy(update={"loop": _seeded(training.loop, config.training_seed(seed))}),
    )


def _fit_baseline(
    config: QuickstartConfig, folders: Folders, demos: TrainingData, seed: int, budget: str
) -> dict[str, Any]:
    steps = config.inverse_training.loop.steps * (config.baseline_factor if budget == "long" else 1)
    return recipes.train_behaviour_cloning(
        folders.baseline(seed, budget),
        data=demos,
        model=config.inverse,
        train=_seeded(config.inverse_training.loop, config.training_seed(seed), steps=steps),
    )


def _seeded(config: TrainConfig, seed: int, **changes: Any) -> TrainConfig:
    return config.model_copy(update={"seed": seed, **changes})


def _score_tracks(config: QuickstartConfig, folders: Folders) -> dict[str, Any]:
    bundle = load_bundle(recipes.bundle_of(folders.forward))
    score = partial(
        evaluate_tracks,
        bundle.module("tokenizer", MotionTokenizer),
        bundle.module("forward", ForwardDynamics),
        folders.held_out,
        features=folders.features,
        text=folders.text,
    )
    return {
        "truth": score(truth=folders.truth),
        "own_tracker": score(truth=folders.tracks, label="agreement with the tracker"),
        "tracker": tracker_agreement(
            folders.held_out, tracker=folders.tracks, truth=folders.truth, horizon=config.horizon
        ),
    }


def _rollouts(config: QuickstartConfig, folders: Folders, workers: int | None) -> dict[str, Any]:
    policies = []
    for seed in range(config.inverse_seeds):
        policies.append(
            PolicySpec(label=AMPLIFY, bundle=recipes.bundle_of(folders.inverse(seed)), kind="amplify", variant=seed)
        )
        for budget in ("equal", "long"):
            policies.append(
                PolicySpec(
                    label=f"{CLONING}_{budget}",
                    bundle=recipes.bundle_of(folders.baseline(seed, budget)),
                    kind="behaviour-cloning",
                    variant=seed,
                )
            )
    results = evaluate_policies(policies, config.rollout, workers=workers, films=folders.films)
    return {"episodes": [asdict(r) for r in results]}


def _publish(folders: Folders) -> None:
    """The first inverse model's bundle becomes the run's."""
    target, aside = folders.bundle, folders.out / ".bundle.partial"
    shutil.rmtree(aside, ignore_errors=True)
    shutil.copytree(recipes.bundle_of(folders.inverse(0)), aside)
    shutil.rmtree(target, ignore_errors=True)
    aside.rename(target)
