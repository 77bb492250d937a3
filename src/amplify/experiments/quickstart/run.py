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
from amplify.config import Config
from amplify.data.dataset import Dataset
from amplify.data.extract import encode_dataset, track_dataset
from amplify.data.windows import Source
from amplify.encoders import TEXT_ENCODERS, VISION_ENCODERS
from amplify.errors import DataError, pick
from amplify.evaluate.rollout import PolicySpec, evaluate_policies, initial_state_seeds
from amplify.evaluate.tracks import evaluate_tracks, tracker_agreement
from amplify.experiments.ledger import Ledger
from amplify.experiments.quickstart.config import PRESETS, QuickstartConfig
from amplify.experiments.quickstart.folders import Folders
from amplify.experiments.quickstart.report import write_report
from amplify.forward.dynamics import ForwardDynamics
from amplify.jobs import map_jobs
from amplify.policy.bundle import load_bundle
from amplify.protocols import Tracker
from amplify.sim.ground_truth import GroundTruthTracker
from amplify.sim.record import RecordConfig, record
from amplify.tokens.tokenizer import MotionTokenizer
from amplify.tracks import TRACKERS
from amplify.train import recipes
from amplify.train.recipes import TrainingData

AMPLIFY, CLONING = "amplify", "behaviour_cloning"


def configured(preset: str, **changes: Any) -> QuickstartConfig:
    """A preset's settings with changes.

    Raises:
        UnknownNameError: There is no such preset.
    """
    return pick(preset, PRESETS, kind="preset")(**changes)


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
    results: dict[str, Any] = {}
    results["record"] = ledger.run("record", partial(_record, config, folders, workers))
    results["track"] = ledger.run("track", partial(_track, config, folders, workers))
    results["encode"] = ledger.run("encode", partial(_encode, folders, workers))
    motion = TrainingData(
        sources=(Source(path=folders.videos),),
        held_out=(Source(path=folders.held_out),),
        tracks=folders.tracks,
        features=folders.features,
        text=folders.text,
        horizon=config.horizon,
        action_horizon=config.inverse.action_horizon,
    )
    results["tokenizer"] = ledger.run(
        "tokenizer",
        lambda: recipes.train_tokenizer(
            folders.tokenizer, data=motion, model=config.tokenizer, train=config.tokenizer_training
        ),
    )
    results["forward"] = ledger.run(
        "forward",
        lambda: recipes.train_forward(
            folders.forward,
            parent=folders.tokenizer,
            data=motion,
            model=config.forward,
            train=config.forward_training,
        ),
    )
    demos = motion.model_copy(update={"sources": (Source(path=folders.demos),), "held_out": ()})
    results["inverse"] = ledger.run("inverse", partial(_train_inverse, config, folders, demos, workers))
    results["baseline"] = ledger.run("baseline", partial(_train_baseline, config, folders, demos, workers))
    results["tracks"] = ledger.run("track_metrics", partial(_score_tracks, config, folders))
    results["rollouts"] = ledger.run("rollouts", partial(_rollouts, config, folders, workers))
    _publish(folders)
    return write_report(config, folders, results, ledger.seconds, _resources(out, ledger.peak_memory_gb))


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
    for folder in (folders.videos, folders.held_out, folders.demos):
        for episode in Dataset.open(folder).episodes:
            key = f"{episode.info['task']}/{episode.info['seed']}"
            if key in seen:
                raise DataError(f"{key} was recorded twice", got=f"{seen[key]} and {folder}", remedy="report a bug")
            seen[key] = str(folder)
    for task in config.tasks:
        shared = {f"{task}/{seed}" for seed in initial_state_seeds(config.rollout, task)} & seen.keys()
        if shared:
            raise DataError("evaluation seeds were recorded", got=", ".join(sorted(shared)), remedy="report a bug")


def _tracker(name: str) -> Tracker:
    return pick(name, {**TRACKERS, "ground-truth": GroundTruthTracker}, kind="tracker")()


def _track(config: QuickstartConfig, folders: Folders, workers: int | None) -> dict[str, Any]:
    summary = {}
    for folder in (folders.videos, folders.held_out, folders.demos):
        summary[folder.name] = track_dataset(
            Dataset.open(folder), _tracker(config.tracker), grid=config.grid, horizon=config.horizon, workers=workers
        )
    if config.tracker != "ground-truth":
        summary["truth"] = track_dataset(
            Dataset.open(folders.held_out),
            _tracker("ground-truth"),
            grid=config.grid,
            horizon=config.horizon,
            workers=workers,
        )
    return summary


def _encode(folders: Folders, workers: int | None) -> dict[str, Any]:
    eyes, ears = VISION_ENCODERS["efficientnet-lite0"](), TEXT_ENCODERS["minilm"]()
    return {
        folder.name: encode_dataset(Dataset.open(folder), eyes, ears, workers=workers)
        for folder in (folders.videos, folders.held_out, folders.demos)
    }


class _Job(Config):
    """One model to train in a process of its own."""

    seed: int
    budget: str = "equal"
    steps: int


def _seeded(config: Config, seed: int, **changes: Any) -> Any:
    return config.model_copy(update={"seed": seed, **changes})


def _fit_inverse(config: QuickstartConfig, folders: Folders, demos: TrainingData, job: _Job) -> dict[str, Any]:
    training = config.inverse_training
    return recipes.train_inverse(
        folders.inverse(job.seed),
        parent=folders.forward,
        data=demos,
        model=config.inverse,
        train=training.model_copy(update={"loop": _seeded(training.loop, config.training_seed(job.seed))}),
    )


def _fit_baseline(config: QuickstartConfig, folders: Folders, demos: TrainingData, job: _Job) -> dict[str, Any]:
    return recipes.train_behaviour_cloning(
        folders.baseline(job.seed, job.budget),
        data=demos,
        model=config.inverse,
        train=_seeded(config.inverse_training.loop, config.training_seed(job.seed), steps=job.steps),
    )


def _train_inverse(
    config: QuickstartConfig, folders: Folders, demos: TrainingData, workers: int | None
) -> dict[str, Any]:
    jobs = [_Job(seed=seed, steps=config.inverse_training.loop.steps) for seed in range(config.inverse_seeds)]
    return _train_all(partial(_fit_inverse, config, folders, demos), jobs, workers, label="inverse dynamics")


def _train_baseline(
    config: QuickstartConfig, folders: Folders, demos: TrainingData, workers: int | None
) -> dict[str, Any]:
    equal = config.inverse_training.loop.steps
    budgets = {"equal": equal, "long": config.baseline_factor * equal}
    # Longest first, so that no core idles at the end.
    jobs = [
        _Job(seed=seed, budget=budget, steps=budgets[budget])
        for budget in ("long", "equal")
        for seed in range(config.inverse_seeds)
    ]
    return _train_all(partial(_fit_baseline, config, folders, demos), jobs, workers, label="behaviour cloning")


def _train_all(function: Any, jobs: list[_Job], workers: int | None, *, label: str) -> dict[str, Any]:
    figures = {}
    for done in map_jobs(function, jobs, workers=workers, label=label, unit="model"):
        if done.error:
            raise done.error
        figures[f"{done.item.budget}-{done.item.seed}"] = done.result
    return figures


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


def _resources(out: Path, peak_gb: float) -> dict[str, float]:
    disk = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    return {"peak_memory_gb": peak_gb, "disk_gb": disk / 1e9}
