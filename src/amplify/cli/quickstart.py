"""``amplify quickstart``: the whole loop in one command, in a simulator or on the user's own data."""

from pathlib import Path
from typing import Any


def quickstart(
    *,
    out: Path,
    preset: str = "full",
    seed: int = 0,
    tracker: str = "flow",
    videos: tuple[str, ...] = (),
    actions: tuple[str, ...] = (),
    held_out: tuple[str, ...] = (),
    validation_fraction: float | None = None,
    views: tuple[str, ...] = (),
    rate: float | None = None,
    device: str = "cpu",
    workers: int | None = None,
) -> dict[str, Any]:
    """Video → tracks → tokens → dynamics → a policy; the same command again goes on where it stopped.

    Without data, it records six Meta-World tasks, learns motion from 30 action-free videos a task and control from 5
    labelled demonstrations a task, acts, and compares itself with behaviour cloning. With --videos and --actions it
    learns motion from your videos and control from your demonstrations, and judges itself on episodes that are held
    out. Either way it writes OUT/report.html, OUT/report.json and OUT/bundle.

    Args:
        out: Folder of the run.
        preset: "full" (about ten minutes on two cores) or "smoke" (a minute; its figures mean nothing).
        seed: Of everything.
        tracker: "flow" learns from pixels alone; in the simulator, "ground-truth" uses its geometry.
        videos: Datasets that teach motion, or sources as in path=data/videos,tasks=open*,weight=2; see "amplify train
            tokenizer --help". Name demonstrations here, too, where their videos should teach motion.
        actions: Datasets, or sources, with actions of your robot.
        held_out: Datasets, or sources, to judge by; those with actions judge actions. By default a share of all
            others is held back.
        validation_fraction: That share; 0.1 by default.
        views: Names of the views, in order; a source that lacks one has it masked.
        rate: Steps of a window a second; by default a step is a frame.
        device: Where models are trained: "cpu", "cuda", "cuda:1".
        workers: Processes; all cores by default.
    """
    from amplify.errors import UsageError

    own = {"--videos": videos, "--actions": actions}
    others = {"--held-out": held_out, "--validation-fraction": validation_fraction, "--views": views, "--rate": rate}
    if not any(own.values()):
        alone = [flag for flag, value in others.items() if value]
        if alone:
            raise UsageError(f"{alone[0]} is for your own data", remedy="name --videos and --actions, or leave it out")
        return _simulated(out, preset=preset, seed=seed, tracker=tracker, device=device, workers=workers)
    missing = [flag for flag, value in own.items() if not value]
    if missing:
        raise UsageError(
            f"your own data need {missing[0]}, too",
            remedy="give --videos what teaches motion and --actions what teaches actions; they may be the same dataset",
        )
    if held_out and validation_fraction is not None and validation_fraction:
        raise UsageError("name datasets that are held out, or a fraction, not both")
    return _own(
        out,
        preset,
        device,
        workers,
        {"seed": seed, "tracker": tracker, "views": views, "rate": rate},
        {"videos": videos, "actions": actions, "held_out": held_out},
        validation_fraction,
    )


def _simulated(out: Path, *, preset: str, seed: int, tracker: str, device: str, workers: int | None) -> dict[str, Any]:
    from amplify.sim.gl import ensure_gl
    from amplify.train.loop import trained_on

    ensure_gl()
    from amplify.experiments.quickstart.run import configured
    from amplify.experiments.quickstart.run import quickstart as run

    return run(trained_on(configured(preset, seed=seed, tracker=tracker), device), out, workers=workers)


def _own(
    out: Path,
    preset: str,
    device: str,
    workers: int | None,
    settings: dict[str, Any],
    data: dict[str, tuple[str, ...]],
    fraction: float | None,
) -> dict[str, Any]:
    from amplify.data.mixture.reading import read_source
    from amplify.experiments.own_videos.config import configured
    from amplify.experiments.own_videos.run import own_videos
    from amplify.train.loop import trained_on

    sources = {name: tuple(map(read_source, given)) for name, given in data.items()}
    share = {} if fraction is None else {"validation_fraction": fraction}
    return own_videos(trained_on(configured(preset, **settings, **sources, **share), device), out, workers=workers)
