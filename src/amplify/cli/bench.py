"""``amplify bench``: how good a tracker is, and how fast acting, predicting, training and tracking are."""

import time
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from amplify.bench.settings import Against, BenchSettings, Preset
from amplify.data.dataset import Dataset
from amplify.errors import DataError, UsageError, pick
from amplify.jobs import one_thread, progress
from amplify.metrics.benchmark import OcclusionSums, occlusion_sums
from amplify.metrics.tracks import TrackSums, no_motion, track_sums
from amplify.sim.ground_truth import GroundTruthTracker
from amplify.tracks import TRACKERS
from amplify.tracks.queries import uniform_grid
from amplify.types import Clip

PLANS = 200
"""Plans of a trained model whose drafts are judged."""


def tracker(
    dataset: Annotated[Path, tyro.conf.Positional],
    /,
    *,
    name: Annotated[str, tyro.conf.arg(name="tracker")] = "flow",
    grid: int = 20,
    horizon: int = 16,
    episodes: int | None = None,
) -> dict[str, Any]:
    """Scores a tracker against exact tracks on a dataset that was recorded in simulation.

    Pixels are those of a 128×128 frame. Average Jaccard and occlusion accuracy leave out the query frame, ``all`` of
    the other figures includes it (the paper's form). Speed is that of one core.

    Args:
        dataset: The dataset's folder; it must hold the scene's poses.
        name: The tracker.
        grid: Points along each side of the frame.
        horizon: Frames of a window.
        episodes: Only the first so many episodes; all by default.
    """
    judged = pick(name, TRACKERS, kind="tracker")()
    exact = GroundTruthTracker()
    data = Dataset.open(dataset, columns=False)
    queries = uniform_grid(grid)
    one_thread()
    scores, still, occlusion = TrackSums(), TrackSums(), OcclusionSums()
    frames, seconds = 0, 0.0
    used = data.episodes[:episodes]
    for episode in progress(used, total=len(used), label="tracking", unit="episode"):
        for camera in data.spec.cameras:
            clip = data.clip(episode.index, camera)
            truth = exact.track(clip, queries, horizon=horizon)
            started = time.perf_counter()
            predicted = judged.track(_without_truth(clip), queries, horizon=horizon)
            seconds += time.perf_counter() - started
            frames += len(clip.frames)
            scores += track_sums(predicted, truth)
            still += track_sums(no_motion(truth), truth)
            occlusion += occlusion_sums(predicted, truth)
    if frames == 0:
        raise DataError(f"nothing to track in {dataset}", got=f"{len(used)} episodes", allowed="at least one")
    return {
        "tracker": judged.name,
        "version": judged.version,
        "episodes": len(used),
        "frames": frames,
        "frames_per_s": frames / seconds,
        "tracks": scores.scores().summary(),
        "no_motion": still.scores().summary(),
        "occlusion": occlusion.summary(),
    }


def act(
    *,
    config: Preset = "paper",
    against: Against | None = None,
    head: Literal["gaussian", "l1", "diffusion", "flow"] = "gaussian",
    head_training: int = 1500,
    trained: Path | None = None,
    videos: Path | None = None,
    rounds: int = 5,
    threads: int = 1,
    device: str = "cpu",
    seed: int = 0,
) -> dict[str, Any]:
    """Times one control step, from images to actions, with random weights and batch 1.

    Every part is a median in milliseconds and, with --against, the ratio to the plain formulation's median, both
    measured in turns in this run. "draft_all" is a step whose draft of the motion is right in every token; how much of
    a draft is right in use is "acceptance", measured with a trained model on held-out videos.

    Args:
        config: Sizes of the models.
        against: "reference-style" times what the reference implementation computes, too.
        head: Action head.
        head_training: Steps for which a small flow or diffusion head is trained to see what few sampling steps cost in
            action error; 0 leaves it out.
        trained: A bundle with forward dynamics, or the run that wrote it; needs --videos.
        videos: A dataset that it was not trained on, with image features; needs --trained.
        rounds: Times each part.
        threads: CPU threads.
        device: "cpu" or "cuda".
        seed: Of weights and inputs.
    """
    from amplify.bench.acceptance import acceptance
    from amplify.bench.control import bench_act
    from amplify.policy.bundle import load_bundle
    from amplify.train.recipes import bundle_of

    if (trained is None) != (videos is None):
        raise UsageError("--trained and --videos belong together", remedy="give both or neither")
    settings = _settings(config, against, rounds, threads, device, seed)
    measured: dict[str, Any] = {}
    if trained is not None and videos is not None:
        model = load_bundle(bundle_of(trained))
        measured["acceptance"] = acceptance(model, videos, plans=PLANS, settings=settings)
    return bench_act(settings, head=head, head_training=head_training) | measured


def predict(
    *,
    config: Preset = "paper",
    against: Against | None = None,
    rounds: int = 5,
    threads: int = 1,
    device: str = "cpu",
    seed: int = 0,
) -> dict[str, Any]:
    """Times one prediction, from images to the tracks of all points, with random weights and batch 1.

    Args:
        config: Sizes of the models.
        against: "reference-style" times what the reference implementation computes, too.
        rounds: Times each part.
        threads: CPU threads.
        device: "cpu" or "cuda".
        seed: Of weights and inputs.
    """
    from amplify.bench.control import bench_predict

    return bench_predict(_settings(config, against, rounds, threads, device, seed))


def train(
    *,
    config: Preset = "paper",
    against: Against | None = None,
    head: Literal["gaussian", "l1", "diffusion", "flow"] = "gaussian",
    batch: int = 8,
    subset_points: int = 16,
    precision: Literal["float32", "bfloat16"] = "float32",
    rounds: int = 3,
    threads: int = 1,
    device: str = "cpu",
    seed: int = 0,
) -> dict[str, Any]:
    """Times one training step of each stage on random inputs: features and foreseen tokens are cached.

    Against "reference-style" the images are encoded within the step, the tokenizer's loss takes every point, metrics
    are part of the step, and inverse dynamics foresees its tokens anew.

    Args:
        config: Sizes of the models.
        against: "reference-style" times what the reference implementation computes, too.
        head: Action head.
        batch: Windows a step.
        subset_points: Points a view in the tokenizer's loss.
        precision: Of matrix products; weights stay float32.
        rounds: Times each part.
        threads: CPU threads.
        device: "cpu" or "cuda".
        seed: Of weights and inputs.
    """
    from amplify.bench.training import bench_train

    settings = _settings(config, against, rounds, threads, device, seed)
    return bench_train(settings, batch=batch, subset_points=subset_points, bfloat16=precision == "bfloat16", head=head)


def track(
    *,
    against: Against | None = None,
    frames: int = 48,
    grid: int = 20,
    horizon: int = 16,
    rounds: int = 3,
    threads: int = 1,
    seed: int = 0,
) -> dict[str, Any]:
    """Times the flow tracker on a generated clip; "bench tracker" says how good a tracker is.

    Args:
        against: "reference-style" tracks every window by itself, too.
        frames: Length of the clip.
        grid: Points along one side of the frame.
        horizon: Frames of a window.
        rounds: Times each part.
        threads: CPU threads.
        seed: Of the clip.
    """
    from amplify.bench.tracking import bench_track

    return bench_track(
        _settings("paper", against, rounds, threads, "cpu", seed), frames=frames, grid=grid, horizon=horizon
    )


def import_videos(
    *, clips: int = 8, frames: int = 300, rounds: int = 3, workers: int | None = None, seed: int = 0
) -> dict[str, Any]:
    """Measures how fast videos become a dataset, on clips that it makes: 128 px, 480p, and 480p to 128 px.

    Args:
        clips: Videos of each size.
        frames: Of each video.
        rounds: Imports of each; the best counts.
        workers: Processes; all cores by default.
        seed: Of the clips.
    """
    from amplify.bench.importing import bench_import

    if min(clips, frames, rounds) < 1:
        raise UsageError("--clips, --frames and --rounds count from 1", got=(clips, frames, rounds))
    return bench_import(clips=clips, frames=frames, rounds=rounds, workers=workers, seed=seed)


def _settings(
    preset: Preset, against: Against | None, rounds: int, threads: int, device: str, seed: int
) -> BenchSettings:
    return BenchSettings(preset=preset, against=against, rounds=rounds, threads=threads, device=device, seed=seed)


def _without_truth(clip: Clip) -> Clip:
    return Clip(frames=clip.frames, fps=clip.fps, camera=clip.camera)
