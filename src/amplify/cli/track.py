"""``amplify track``: from video to windows of tracks."""

from pathlib import Path
from typing import Any, Literal

from tyro.conf import Positional

from amplify.data.dataset import Dataset
from amplify.data.extract import track_dataset
from amplify.data.track_codec import Compression
from amplify.errors import DataError, UsageError, pick
from amplify.jobs import distributed
from amplify.protocols import Tracker
from amplify.tracks import TRACKERS
from amplify.tracks.learned.tracker import LearnedTracker

Precision = Literal["float32", "bfloat16", "float16"]


def track(
    dataset: Positional[Path],
    /,
    tracker: str = "flow",
    grid: int = 20,
    horizon: int = 16,
    workers: int | None = None,
    strict: bool = False,
    *,
    weights: Path | None = None,
    code: Path | None = None,
    allow_code: bool = False,
    device: str | None = None,
    precision: Precision | None = None,
    batch: int | None = None,
    side_px: int | None = None,
    compress: Compression = "zstd",
    ray: str | None = None,
    gpus_per_worker: float = 0.0,
) -> dict[str, Any]:
    """Follows a uniform grid of points from every frame of a dataset, into sidecar files.

    Args:
        dataset: Folder of a LeRobotDataset v3.
        tracker: "flow", "dis" and "lucas-kanade" need nothing but the video; "cotracker3", "cotracker3-online",
            "cotracker2", "bootstapir" and "tapnext" need their authors' code and weights; "ground-truth" needs a
            simulator's recording.
        grid: Points a side.
        horizon: Frames a window, the query frame included.
        workers: Processes; all cores by default, one for a tracker that was learned.
        strict: Whether one broken episode ends the command.
        weights: Checkpoint of a learned tracker; it is read without running code.
        code: Clone of a learned tracker's repository: the code in it will run.
        allow_code: Lets CoTracker's code and weights be downloaded from its authors, and run.
        device: Where a learned tracker computes: "cpu" or "cuda".
        precision: Of a learned tracker's products.
        batch: Windows that go through a learned tracker's network together.
        side_px: Side to which frames are scaled; its meaning and default are the tracker's.
        compress: "zstd" stores a window in a few kB, "none" in 26 and reads it faster.
        ray: Address of a Ray cluster to run on ("local", "auto", "host:port", "ray://host:port").
        gpus_per_worker: GPUs, or share of one, that each worker has to itself.
    """
    chosen = tracker_named(
        tracker,
        weights=weights,
        code=code,
        allow_code=allow_code or None,
        device=device,
        precision=precision,
        batch=batch,
        side_px=side_px,
    )
    if workers is None and isinstance(chosen, LearnedTracker) and ray is None and gpus_per_worker == 0:
        workers = 1
    with distributed(ray, gpus_per_worker):
        opened = Dataset.open(dataset, strict=strict, columns=False)
        summary = track_dataset(opened, chosen, grid=grid, horizon=horizon, workers=workers, compression=compress)
    refuse_set_aside(summary, strict=strict)
    return summary


def tracker_named(name: str, **options: Any) -> Tracker:
    """A tracker of pixels, or the simulator's, with the options that are not None.

    Raises:
        UnknownNameError: There is no such tracker.
        UsageError: It lacks an option.
    """
    make = pick(name, {**TRACKERS, "ground-truth": _ground_truth}, kind="tracker")
    return make(**{option: value for option, value in options.items() if value is not None})


def _ground_truth(**options: Any) -> Tracker:
    from amplify.sim.ground_truth import GroundTruthTracker

    if options:
        given = ", ".join("--" + option.replace("_", "-") for option in options)
        raise UsageError("the tracker 'ground-truth' has no such option", got=given, allowed="none")
    return GroundTruthTracker()


def refuse_set_aside(summary: dict[str, Any], *, strict: bool) -> None:
    """Raises DataError if episodes were set aside and the user wanted none to be."""
    if strict and summary["set_aside"]:
        got = "\n           ".join(f"{name}: {reason}" for name, reason in summary["set_aside"].items())
        raise DataError(f"episodes of {summary['dataset']} were set aside", got=got, remedy="leave --strict out")
