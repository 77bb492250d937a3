"""``amplify track``: from video to windows of tracks."""

from pathlib import Path
from typing import Any

from tyro.conf import Positional

from amplify.data.dataset import Dataset
from amplify.data.extract import track_dataset
from amplify.errors import DataError, pick
from amplify.protocols import Tracker
from amplify.tracks import TRACKERS


def track(
    dataset: Positional[Path],
    /,
    tracker: str = "flow",
    grid: int = 20,
    horizon: int = 16,
    workers: int | None = None,
    strict: bool = False,
) -> dict[str, Any]:
    """Follows a uniform grid of points from every frame of a dataset, into sidecar files.

    Args:
        dataset: Folder of a LeRobotDataset v3.
        tracker: "flow" sees only the video; "ground-truth" needs a simulator's recording.
        grid: Points a side.
        horizon: Frames a window, the query frame included.
        workers: Processes; all cores by default.
        strict: Whether one broken episode ends the command.
    """
    make = pick(tracker, {**TRACKERS, "ground-truth": _ground_truth}, kind="tracker")
    opened = Dataset.open(dataset, strict=strict, columns=False)
    summary = track_dataset(opened, make(), grid=grid, horizon=horizon, workers=workers)
    refuse_set_aside(summary, strict=strict)
    return summary


def _ground_truth() -> Tracker:
    from amplify.sim.ground_truth import GroundTruthTracker

    return GroundTruthTracker()


def refuse_set_aside(summary: dict[str, Any], *, strict: bool) -> None:
    """Raises DataError if episodes were set aside and the user wanted none to be."""
    if strict and summary["set_aside"]:
        got = "\n           ".join(f"{name}: {reason}" for name, reason in summary["set_aside"].items())
        raise DataError(f"episodes of {summary['dataset']} were set aside", got=got, remedy="leave --strict out")
