"""``amplify bench``: how good a tracker is, and how fast acting, predicting, training and tracking are."""

from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from amplify.bench.settings import Against, BenchSettings, Preset
from amplify.cli.track import Precision, refuse_set_aside, tracker_named
from amplify.errors import UsageError, pick
from amplify.tracks import TRACKERS

PLANS = 200
"""Plans of a trained model whose drafts are judged."""


def trackers(
    datasets: Annotated[tuple[Path, ...], tyro.conf.Positional],
    /,
    *,
    trackers: tuple[str, ...] = ("flow", "dis", "lucas-kanade"),
    grid: int = 20,
    horizon: int = 16,
    episodes: int | None = None,
    cameras: tuple[str, ...] | None = None,
    noise: float = 0.0,
    size_px: int = 128,
    stride: int = 5,
    out: Path | None = None,
    workers: int = 0,
    strict: bool = False,
    seed: int = 0,
    weights: dict[str, Path] = {},  # noqa: B006
    code: dict[str, Path] = {},  # noqa: B006
    allow_code: bool = False,
    device: str | None = None,
    precision: Precision | None = None,
    batch: int | None = None,
) -> dict[str, Any]:
    """Judges trackers by the truth: TAP-Vid's figures with 95 % intervals over videos, and frames a second.

    Args:
        datasets: Datasets recorded in simulation, or folders with .npz files in TAP-Vid's layout: "video" (t, h, w, 3)
            uint8, "points" (n, t, 2) as (x, y) in 0 … 1, "occluded" (n, t).
        trackers: Names as in "amplify track"; "dis" is what the others are compared with.
        grid: Points along each side of the frame, in simulation.
        horizon: Frames of a window, the query frame included.
        episodes: Only the first so many episodes of each dataset; all by default.
        cameras: Only these cameras; all by default.
        noise: Standard deviation of noise that is added to the videos, in grey levels of 255.
        size_px: Side of the frame whose pixels are counted; TAP-Vid's published figures are those of 256.
        stride: Frames from one query frame to the next in annotated videos.
        out: Folder for a page with tables and pictures.
        workers: Processes; more than one disturb each other's times.
        strict: Whether one broken video ends the command with exit code 1.
        seed: Of noise and intervals.
        weights: Checkpoints of learned trackers: name and file in turn.
        code: Clones of learned trackers' repositories: name and folder in turn; the code in them will run.
        allow_code: Lets CoTracker's code and weights be downloaded from its authors, and run.
        device: Where learned trackers compute.
        precision: Of learned trackers' products.
        batch: Windows that go through a learned tracker's network together.
    """
    from amplify.bench.trackers import TrackerBench, bench_trackers

    for option, given in (("weights", weights), ("code", code)):
        for name in given:
            pick(name, dict.fromkeys(trackers), kind=f"tracker after --{option}")
    common = {"allow_code": allow_code or None, "device": device, "precision": precision, "batch": batch}
    chosen = {}
    for name in dict.fromkeys(trackers):
        learned = name in TRACKERS and TRACKERS[name].learned
        own = {"weights": weights.get(name), "code": code.get(name), **(common if learned else {})}
        chosen[name] = tracker_named(name, **own)
    unused = [option for option, value in common.items() if value is not None]
    if unused and not any(name in TRACKERS and TRACKERS[name].learned for name in trackers):
        raise UsageError(
            "none of these trackers was learned", got=", ".join(f"--{o.replace('_', '-')}" for o in unused)
        )
    config = TrackerBench(
        grid=grid,
        horizon=horizon,
        episodes=episodes,
        cameras=cameras,
        noise=noise,
        size_px=size_px,
        stride=stride,
        seed=seed,
    )
    summary = bench_trackers(datasets, chosen, config, out=out, workers=workers)
    refuse_set_aside({"dataset": ", ".join(map(str, datasets)), "set_aside": summary["set_aside"]}, strict=strict)
    return summary


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
    """Times the flow tracker on a generated clip; "bench trackers" says how good a tracker is.

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


def data(
    *,
    windows: tuple[int, ...] = (10_000, 1_000_000),
    episode_frames: int = 200,
    clips: int = 4,
    frames: int = 60,
    workers: tuple[int, ...] = (1, 2),
    seed: int = 0,
    out: Path | None = None,
) -> dict[str, Any]:
    """Measures reading, memory and work on data that it makes, and estimates what 1,000 hours of video would cost.

    Windows are the paper's (400 points, 16 frames, one view), made by the flow tracker; sets of many are links to a few
    files. The estimate multiplies what was measured on this machine and is labelled as one.

    Args:
        windows: Sizes of the sets whose memory is measured.
        episode_frames: Windows an episode of those sets.
        clips: Videos by which import, tracking and encoding are timed.
        frames: Of each.
        workers: Numbers of processes that are compared.
        seed: Of videos and draws.
        out: JSON file for the figures.
    """
    from amplify.bench.data import bench_data
    from amplify.data.files import write_json

    if (
        min((*windows, *workers, clips, frames, episode_frames), default=0) < 1
        or frames < 16
        or not (windows and workers)
    ):
        raise UsageError("nothing to measure", got="a number below 1, or clips of fewer than 16 frames")
    report = bench_data(
        windows=windows, episode_frames=episode_frames, clips=clips, frames=frames, workers=workers, seed=seed
    )
    if out is not None:
        write_json(out, report)
    return report


def _settings(
    preset: Preset, against: Against | None, rounds: int, threads: int, device: str, seed: int
) -> BenchSettings:
    return BenchSettings(preset=preset, against=against, rounds=rounds, threads=threads, device=device, seed=seed)
