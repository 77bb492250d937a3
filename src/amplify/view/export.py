"""Episodes of a dataset as files of the Rerun viewer, with their tracks and what a bundle foresees in them."""

import functools
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from amplify.config import Config
from amplify.data.dataset import Dataset, EpisodeInfo
from amplify.data.files import write_json, written_aside
from amplify.data.track_store import TrackStore
from amplify.errors import DataError, UsageError, pick
from amplify.jobs import Once, map_jobs
from amplify.view.foreseen import Foreseen, Foreseer
from amplify.view.recording import FORESEEN_RGB, TRACKED_RGB, EpisodeFile

SETTINGS = "export.json"


class RerunConfig(Config):
    """What is written.

    Args:
        tracks: Folder of tracks in the dataset's sidecars; None writes none.
        bundle: Folder of a bundle that foresees motion and actions; None for none.
        foresee_every: Frames between two foreseen futures.
        jpeg_quality: Of images.
    """

    tracks: str | None = None
    bundle: Path | None = None
    foresee_every: int = Field(default=4, ge=1)
    jpeg_quality: int = Field(default=90, ge=1, le=100)


@dataclass(frozen=True, slots=True)
class _Job:
    dataset: Dataset
    episode: EpisodeInfo
    config: RerunConfig
    path: Path


def tracks_of(dataset: Dataset, wanted: str | None) -> str | None:
    """The folder of the tracks to show: the one that is asked for, or the only one there is.

    Args:
        dataset: Whose.
        wanted: Its name, "none", or None for the only one.

    Raises:
        UnknownNameError: There are no such tracks.
        UsageError: There are several.
    """
    sidecars = dataset.root / "sidecars"
    found = sorted(p.name for p in sidecars.glob("tracks-*") if p.is_dir()) if sidecars.is_dir() else []
    if wanted == "none" or (wanted is None and not found):
        return None
    if wanted is not None:
        return pick(wanted, dict.fromkeys(found, wanted), kind="folder of tracks")
    if len(found) > 1:
        raise UsageError(f"{dataset.root} has several tracks", allowed=", ".join(found), remedy="choose one: --tracks")
    return found[0]


def export_rerun(
    root: Path, out: Path, config: RerunConfig, *, episodes: Sequence[int] = (), workers: int | None = None
) -> dict[str, Any]:
    """A file an episode; those that are there already are kept.

    Args:
        root: The dataset's folder.
        out: Folder of the files.
        config: What is written.
        episodes: Their numbers; all of them where empty.
        workers: Processes; all cores by default.

    Returns:
        Files, and the episodes that were set aside with the reason.

    Raises:
        DataError: No dataset, no such episode, or none could be written.
    """
    dataset = Dataset.open(root)
    config = config.model_copy(update={"tracks": tracks_of(dataset, config.tracks)})
    known = {episode.index: episode for episode in dataset.episodes}
    broken = {problem.episode_index: problem.reason for problem in dataset.problems}
    unknown = [index for index in episodes if index not in known and index not in broken]
    if unknown:
        raise DataError(f"no episodes {unknown} in {root}", allowed=f"0 … {max(known | broken)}")
    chosen = [known[index] for index in (episodes or known) if index in known]
    jobs = [_Job(dataset.only(e.index), e, config, out / f"episode-{e.index:06d}.rrd") for e in chosen]
    todo = [job for job in jobs if not job.path.is_file()]
    aside = {index: reason for index, reason in broken.items() if not episodes or index in episodes}
    _same_settings(out, config)
    started = time.perf_counter()
    write = functools.partial(_write, Once(functools.partial(_foreseer, config.bundle)))
    for done in map_jobs(write, todo, workers=workers, label="rerun", unit="episode"):
        if done.error is not None:
            aside[done.item.episode.index] = str(done.error).splitlines()[0]
    files = [str(job.path) for job in jobs if job.path.is_file()]
    if not files:
        raise DataError(f"no episode of {root} could be written", got="; ".join(aside.values()) or "none was chosen")
    return {
        "dataset": str(root),
        "out": str(out),
        "files": len(files),
        "written_now": len(todo) - sum(job.episode.index in aside for job in todo),
        "tracks": config.tracks,
        "set_aside": {str(index): reason for index, reason in sorted(aside.items())},
        "seconds": round(time.perf_counter() - started, 2),
        "open_with": f"rerun {out}/*.rrd",
    }


def _same_settings(out: Path, config: RerunConfig) -> None:
    """Nothing, if the folder is new or of an interrupted run of the same settings."""
    path, settings = out / SETTINGS, config.model_dump(mode="json")
    if path.is_file():
        if json.loads(path.read_text()) != settings:
            raise UsageError(f"{out} holds files with other settings", remedy="choose another --out, or remove it")
    else:
        write_json(path, settings)


def _foreseer(bundle: Path | None) -> Foreseer | None:
    return None if bundle is None else Foreseer(bundle)


def _write(shared: Once[Foreseer | None], job: _Job) -> Path:
    dataset, episode, config = job.dataset, job.episode, job.config
    spec, index = dataset.spec, episode.index
    foreseer = shared()
    proprio, actions = dataset.proprio(index), dataset.actions(index)
    plots = ["proprioception"] if proprio is not None else []
    plots += ["actions"] if actions is not None else []
    with written_aside(job.path) as aside:
        plans = ["planned_actions"] if foreseer is not None and proprio is not None else []
        to = EpisodeFile(
            aside,
            name=f"{dataset.root.name} {index}",
            fps=float(spec.fps),
            cameras=spec.cameras,
            plots=plots + plans,
            jpeg_quality=config.jpeg_quality,
        )
        try:
            to.note("instruction", episode.instruction)
            if episode.info:
                to.note("notes", "\n".join(f"- {name}: {value}" for name, value in episode.info.items()))
            for camera in spec.cameras:
                to.images(camera, dataset.stream(index, camera))
            if proprio is not None and spec.proprio_names is not None:
                to.numbers("proprioception", spec.proprio_names, proprio)
            if actions is not None and spec.action_names is not None:
                to.numbers("actions", spec.action_names, actions)
            if config.tracks is not None:
                _write_tracks(to, dataset, index, config.tracks)
            if foreseer is not None:
                _write_foreseen(to, dataset, episode, foreseer, config.foresee_every)
        finally:
            to.close()
    return job.path


def _write_tracks(to: EpisodeFile, dataset: Dataset, index: int, folder: str) -> None:
    store = TrackStore(dataset, folder)
    for frame in range(dataset.length(index)):
        window = store.read(np.array([index]), np.array([frame]))
        for view, camera in enumerate(dataset.spec.cameras):
            inside = window.points[0, view][window.valid[0, view]].float().numpy()
            to.paths(camera, "tracks", frame, (inside + 1) / 2, size_px=dataset.spec.size(camera), rgb=TRACKED_RGB)


def _write_foreseen(to: EpisodeFile, dataset: Dataset, episode: EpisodeInfo, foreseer: Foreseer, every: int) -> None:
    index, frames = episode.index, list(range(0, episode.length, every))
    videos = {camera: dataset.frames(index, camera) for camera in dataset.spec.cameras}
    proprio = dataset.proprio(index)
    first: list[np.ndarray] = []
    for frame in frames:
        images = {camera: video[frame] for camera, video in videos.items()}
        state = None if proprio is None else proprio[frame]
        seen: Foreseen = foreseer.at(images, state, episode.instruction)
        for camera, points in seen.paths.items():
            to.paths(camera, "foreseen", frame, points, size_px=dataset.spec.size(camera), rgb=FORESEEN_RGB)
        if seen.actions is not None:
            first.append(seen.actions[0])
    if first:
        names = foreseer.action_names or dataset.spec.action_names or [str(n) for n in range(len(first[0]))]
        to.numbers("planned_actions", names, np.stack(first), frames)
