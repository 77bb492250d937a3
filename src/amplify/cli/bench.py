"""``amplify bench tracker``: how good and how fast a tracker is, against the simulator's truth."""

import time
from pathlib import Path
from typing import Annotated, Any

import tyro

from amplify.data.dataset import Dataset
from amplify.errors import DataError, pick
from amplify.jobs import one_thread, progress
from amplify.metrics.benchmark import OcclusionSums, occlusion_sums
from amplify.metrics.tracks import TrackSums, no_motion, track_sums
from amplify.sim.ground_truth import GroundTruthTracker
from amplify.tracks import TRACKERS
from amplify.tracks.queries import uniform_grid
from amplify.types import Clip


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


def _without_truth(clip: Clip) -> Clip:
    return Clip(frames=clip.frames, fps=clip.fps, camera=clip.camera)
