"""``amplify evaluate``: success in a simulator, predicted tracks against the truth, actions against demonstrations."""

from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from amplify.errors import UsageError
from amplify.policy.controller import ControllerConfig

ROLLOUTS = 20
"""A task, where initial states are drawn."""


def policy(
    bundle: Annotated[Path, tyro.conf.Positional],
    *,
    benchmark: str = "metaworld",
    tasks: tuple[str, ...] = (),
    rollouts: int | None = None,
    initial_states: tuple[str, ...] = (),
    seed: int = 0,
    max_decisions: int | None = None,
    size: int | None = None,
    render_quality: Literal["fast", "full"] | None = None,
    kind: str | None = None,
    instructions: Literal["own", "paraphrases"] = "own",
    precision: Literal["float32", "bfloat16", "int8"] = "float32",
    device: str = "cpu",
    compile: bool = False,
    controller: ControllerConfig = ControllerConfig(),
    films: Path | None = None,
    finished: Path | None = None,
    workers: int | None = None,
    ray: str | None = None,
    gpus_per_worker: float = 0.0,
) -> dict[str, Any]:
    """Rolls a bundle's policy out and reports success with 95 % intervals.

    Args:
        bundle: A bundle, or the run that wrote it.
        benchmark: Where to act: "metaworld", or a suite of the installed LIBERO package ("libero/libero_object").
        tasks: Names of tasks, or numbers and ranges of them ("0-4"), from 0; all by default.
        rollouts: Initial states a task; by default all official ones, or 20 where there are none.
        initial_states: Numbers and ranges ("20-29") of official initial states, where the benchmark has such.
        seed: Of initial states that are drawn, as in Meta-World; recordings never share them.
        max_decisions: Step limit; the benchmark's own by default.
        size: Width and height of images in pixels; the benchmark's own, 128, by default.
        render_quality: "fast", the default, or "full", which draws LIBERO as LIBERO draws itself, at ten times the
            cost, and Meta-World with shadows, reflections and soft edges.
        kind: "amplify", "behaviour-cloning" or "atm"; by default what the bundle holds.
        instructions: "own" asks with each task's own sentence; "paraphrases" does so as well, and from the same initial
            states with sentences that nobody trained on, and with the sentence of another task.
        precision: Of the weights while acting; fewer bits are faster where the processor reads weights slowly.
        device: Where the policy computes: "cpu", "cuda", "cuda:1"; each worker has its own copy of it there.
        compile: Fuse a GPU's kernels: half a minute at each worker's first plan, and faster ones then.
        controller: Replanning and ensembling.
        films: Folder for an mp4 of the first rollout of each task, with the foreseen motion drawn on it.
        finished: Folder that keeps the results of finished rollouts, so that the same command again goes on from there.
        workers: Processes; all cores by default.
        ray: Address of a Ray cluster to run on ("local", "auto", "host:port", "ray://host:port").
        gpus_per_worker: GPUs, or share of one, that each worker has to itself.
    """
    from amplify.sim.gl import ensure_gl

    ensure_gl()
    from amplify.cli.numbers import names_or_numbers, numbers
    from amplify.evaluate.loading import kind_of
    from amplify.evaluate.rollout import (
        Numbered,
        PolicySpec,
        RolloutConfig,
        benchmark_of,
        evaluate_policies,
        task_names,
    )
    from amplify.evaluate.success import success_table
    from amplify.evaluate.wording import evaluate_wordings
    from amplify.jobs import distributed
    from amplify.policy.bundle import load_bundle
    from amplify.train.recipes import bundle_of

    chosen = numbers(initial_states, option="--initial-states")
    if chosen and rollouts is not None:
        raise UsageError("--initial-states and --rollouts exclude each other", remedy="leave one of them out")
    folder = bundle_of(bundle)
    kind = kind or kind_of(load_bundle(folder))
    asked: dict[str, Any] = {"benchmark": benchmark, "size_px": size, "quality": render_quality}
    where = benchmark_of(RolloutConfig(tasks=(), **asked))
    names = task_names(where, names_or_numbers(tasks, option="--tasks"))
    if rollouts is None:
        rollouts = min(map(where.initial_states, names)) if isinstance(where, Numbered) else ROLLOUTS
    config = RolloutConfig(
        tasks=names,
        rollouts=rollouts,
        initial_states=chosen,
        seed=seed,
        controller=controller,
        films=0 if films is None else 1,
        max_decisions=max_decisions,
        **asked,
    )
    spec = PolicySpec(label=kind, bundle=folder, kind=kind, precision=precision)
    options: dict[str, Any] = {"workers": workers, "films": films, "finished": finished}
    options |= {"device": device, "compile": compile}
    with distributed(ray, gpus_per_worker):
        if instructions == "paraphrases":
            return {"bundle": str(folder), "seed": seed, **evaluate_wordings(spec, config, **options)}
        results = evaluate_policies([spec], config, **options)
    return {"bundle": str(folder), "seed": seed, "success": success_table(results)}


def tracks(
    bundle: Annotated[Path, tyro.conf.Positional],
    dataset: Annotated[Path, tyro.conf.Positional],
    *,
    truth: str | None = None,
    features: str | None = None,
    text: str | None = None,
) -> dict[str, Any]:
    """Scores predicted tracks on held-out episodes, beside no motion and constant velocity.

    Args:
        bundle: A bundle with tokenizer and forward dynamics, or the run that wrote it.
        dataset: Episodes that were not trained on, with track and feature sidecars.
        truth: Track sidecar to score against; the simulator's by default.
        features: Feature sidecar; those of the bundle's encoder by default.
        text: Text sidecar; that of the bundle's encoder by default.
    """
    from amplify.data.sidecar import features_folder, text_folder, tracks_folder
    from amplify.errors import BundleError
    from amplify.evaluate.tracks import evaluate_tracks
    from amplify.forward.dynamics import ForwardDynamics
    from amplify.policy.bundle import load_bundle
    from amplify.policy.info import info_of
    from amplify.tokens.tokenizer import MotionTokenizer
    from amplify.train.recipes import bundle_of

    loaded = load_bundle(bundle_of(bundle))
    info = info_of(loaded)
    if info.vision_encoder is None or info.text_encoder is None or info.grid is None or info.horizon is None:
        raise BundleError(f"{bundle} holds no forward dynamics", remedy="run 'amplify train forward' first")
    truth = truth or tracks_folder("ground-truth", info.grid, info.horizon)
    scores = evaluate_tracks(
        loaded.module("tokenizer", MotionTokenizer),
        loaded.module("forward", ForwardDynamics),
        dataset,
        truth=truth,
        features=features or features_folder(info.vision_encoder.name),
        text=text or text_folder(info.text_encoder.name),
    )
    return {"bundle": str(bundle), "dataset": str(dataset), "truth": truth, "tracks": scores}


def actions(
    bundle: Annotated[Path, tyro.conf.Positional],
    dataset: Annotated[Path, tyro.conf.Positional],
    *,
    tracks: str | None = None,
    features: str | None = None,
    text: str | None = None,
    windows: int = 2048,
    seed: int = 0,
) -> dict[str, Any]:
    """Compares a policy's actions with those of labelled episodes: which half fails, foresight or control?

    Inverse dynamics is given the motion of the true tracks, then the motion that forward dynamics foresees, then that
    of other moments. It tells where to look when a policy fails in another scene or with another camera; success is
    measured by rollouts.

    Args:
        bundle: A bundle that acts (inverse dynamics, or behaviour cloning), or the run that wrote it.
        dataset: Demonstrations that were not trained on, with track and feature sidecars.
        tracks: Track sidecar, for inverse dynamics; that of the bundle's tracker by default.
        features: Feature sidecar; those of the bundle's encoder by default.
        text: Text sidecar; that of the bundle's encoder by default.
        windows: At most so many moments, evenly spread.
        seed: Of the other moments, and of the intervals.
    """
    from amplify.data.sidecar import features_folder, text_folder, tracks_folder
    from amplify.errors import BundleError
    from amplify.evaluate.actions import score_actions
    from amplify.policy.bundle import load_bundle
    from amplify.policy.info import info_of
    from amplify.train.recipes import bundle_of

    if windows < 1:
        raise UsageError("there is nothing to compare", got=f"--windows {windows}", allowed="1 and above")
    loaded = load_bundle(bundle_of(bundle))
    info = info_of(loaded)
    if info.vision_encoder is None or info.text_encoder is None:
        raise BundleError(f"{bundle} does not say what it sees with", remedy="name a bundle that was trained here")
    moved = "inverse" in loaded.models
    if tracks is not None and not moved:
        raise UsageError("behaviour cloning is shown no motion", got=f"--tracks {tracks}", remedy="leave --tracks out")
    if tracks is None and moved:
        if not info.tracker or info.grid is None or info.horizon is None:
            raise BundleError(f"{bundle} does not say which tracks it learned from", remedy="name them with --tracks")
        tracks = tracks_folder(str(info.tracker["name"]), info.grid, info.horizon)
    scores = score_actions(
        loaded,
        dataset,
        tracks=tracks,
        features=features or features_folder(info.vision_encoder.name),
        text=text or text_folder(info.text_encoder.name),
        windows=windows,
        seed=seed,
    )
    return {"bundle": str(bundle), "dataset": str(dataset), "tracks": tracks, **scores}
