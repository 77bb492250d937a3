"""Runs an injected tracker or encoder over all episodes, on all cores; what is there and valid is not made again."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

from amplify.data.dataset import Dataset
from amplify.data.sidecar import (
    FOLDER,
    TEXT_FILE,
    Header,
    Producer,
    episode_path,
    features_folder,
    read_episode,
    read_sidecar,
    sentences_fingerprint,
    text_folder,
    tracks_folder,
    write_set_aside,
    write_sidecar,
)
from amplify.data.track_codec import Compression
from amplify.data.track_store import write_tracks
from amplify.errors import DataError, SidecarError
from amplify.jobs import map_jobs
from amplify.protocols import TextEncoder, Tracker, VisionEncoder
from amplify.tracks.queries import uniform_grid
from amplify.types import TrackWindow

BATCH = 16
"""Images encoded together: enough to spread the overhead, small enough for the processor's cache."""
GPU_BATCH = 256
"""The same for eyes on a GPU."""


@runtime_checkable
class RecordedVisionEncoder(VisionEncoder, Producer, Protocol):
    """A vision encoder that says what changes its result."""


@runtime_checkable
class RecordedTextEncoder(TextEncoder, Producer, Protocol):
    """A text encoder that says what changes its result."""


def track_dataset(
    dataset: Dataset,
    tracker: Tracker,
    *,
    grid: int,
    horizon: int,
    workers: int | None = None,
    compression: Compression = "zstd",
) -> dict[str, Any]:
    """Follows a uniform grid from every frame of every episode and camera, into sidecars; a summary.

    Args:
        dataset: What to track.
        tracker: Picklable, with everything that it needs.
        grid: Points a side.
        horizon: Frames a window, the query frame included.
        workers: Processes; all cores by default.
        compression: Of each window; tracks that are there in another form are stored anew.

    Raises:
        DataError: No episode could be tracked.
    """
    if horizon < 2:
        raise DataError("a window of motion needs two frames", got=f"horizon {horizon}", allowed="2 or more")
    folder = tracks_folder(tracker.name, grid, horizon)
    settings = {**tracker.settings, "grid": grid, "horizon": horizon}
    recipe = Header(
        kind="tracks", producer=tracker.name, version=tracker.version, settings=settings, length=0, origin=""
    )
    work = partial(_track_episode, dataset, tracker, recipe, compression)
    return _extract(dataset, folder, recipe, work, workers, label=f"track ({tracker.name})", compression=compression)


def encode_dataset(
    dataset: Dataset, vision: RecordedVisionEncoder, text: RecordedTextEncoder, *, workers: int | None = None
) -> dict[str, Any]:
    """Computes the features of every frame and of every instruction, into sidecars; a summary.

    Args:
        dataset: What to encode.
        vision: Picklable frozen encoder.
        text: Frozen encoder, used in this process only.
        workers: Processes; all cores by default.

    Raises:
        DataError: No episode could be encoded.
    """
    folder = features_folder(vision.name)
    recipe = Header(
        kind="features",
        producer=vision.name,
        version=vision.version,
        settings=dict(vision.settings),
        length=0,
        origin="",
    )
    work = partial(_encode_episode, dataset, vision, recipe)
    summary = _extract(dataset, folder, recipe, work, workers, label=f"encode ({vision.name})")
    return {**summary, "text": text_folder(text.name), "instructions": _encode_text(dataset, text)}


def _extract(
    dataset: Dataset,
    folder: str,
    recipe: Header,
    work: Callable[[int], int],
    workers: int | None,
    *,
    label: str,
    compression: Compression | None = None,
) -> dict[str, Any]:
    start = time.perf_counter()
    todo = [e.index for e in dataset.episodes if not _is_done(dataset, folder, recipe, compression, e.index)]
    set_aside: dict[int, str] = {}
    frames = 0
    for done in map_jobs(work, todo, workers=workers, label=label, unit="episode"):
        if done.error is not None:
            set_aside[done.item] = done.error.what
        else:
            frames += done.result or 0
    write_set_aside(dataset.root, folder, set_aside)
    usable = len(dataset.episodes) - len(set_aside)
    if usable == 0:
        reason = next(iter(set_aside.values()))
        raise DataError(f"{label}: no episode of {dataset.root} could be used", got=reason, remedy="record it again")
    problems = {problem.episode_index: problem.reason for problem in dataset.problems}
    seconds = time.perf_counter() - start
    return {
        "dataset": str(dataset.root),
        "sidecar": folder,
        "episodes": usable,
        "already_done": len(dataset.episodes) - len(todo),
        "frames": frames,
        "seconds": seconds,
        "frames_per_second": frames / seconds,
        "set_aside": {f"episode {index}": reason for index, reason in sorted((problems | set_aside).items())},
    }


def _is_done(dataset: Dataset, folder: str, recipe: Header, wanted: Compression | None, episode_index: int) -> bool:
    try:
        header = read_episode(dataset, folder, episode_index).header
    except SidecarError:
        return False
    compression = None if header.layout is None else header.layout.compression
    return header.recipe == recipe.recipe and compression in (None, wanted)


def _header(dataset: Dataset, recipe: Header, episode_index: int, **changes: Any) -> Header:
    return recipe.model_copy(
        update={
            "length": dataset.length(episode_index),
            "origin": dataset.fingerprint(episode_index),
            "cameras": dataset.spec.cameras,
            **changes,
        }
    )


def _same_text(path: Path, header: Header) -> bool:
    try:
        return read_sidecar(path, remedy="").header == header
    except SidecarError:
        return False


def _track_episode(
    dataset: Dataset, tracker: Tracker, recipe: Header, compression: Compression, episode_index: int
) -> int:
    grid, horizon = int(recipe.settings["grid"]), int(recipe.settings["horizon"])
    windows = [
        tracker.track(dataset.clip(episode_index, camera), uniform_grid(grid), horizon=horizon)
        for camera in dataset.spec.cameras
    ]
    errors = [window.error_px for window in windows if window.error_px is not None]
    tracks = TrackWindow(
        points=torch.cat([window.points for window in windows], dim=1),  # (t, v, horizon, n, 2)
        visible=torch.cat([window.visible for window in windows], dim=1),
        valid=torch.cat([window.valid for window in windows], dim=1),
        error_px=torch.cat(errors, dim=1) if len(errors) == len(windows) else None,
    )
    if not tracks.points.isfinite().all() or (tracks.error_px is not None and tracks.error_px.isnan().any()):
        raise DataError(f"{tracker.name} returned positions that are not finite numbers in episode {episode_index}")
    path = episode_path(dataset.root, recipe.folder, episode_index)
    write_tracks(path, _header(dataset, recipe, episode_index), tracks, compression=compression)
    return len(tracks.points) * len(windows)


@torch.no_grad()
def _encode_episode(dataset: Dataset, vision: RecordedVisionEncoder, recipe: Header, episode_index: int) -> int:
    views, size = [], BATCH if getattr(vision, "device", "cpu") == "cpu" else GPU_BATCH
    for camera in dataset.spec.cameras:
        frames = torch.from_numpy(dataset.frames(episode_index, camera))
        views.append(torch.cat([vision.encode(batch).cpu() for batch in frames.split(size)]))
    features = torch.stack(views, dim=1).half()  # (t, v, p, d)
    if not features.isfinite().all():
        raise DataError(f"{vision.name} returned features beyond half precision's range in episode {episode_index}")
    header = _header(dataset, recipe, episode_index)
    write_sidecar(episode_path(dataset.root, recipe.folder, episode_index), header, {"vision": features})
    return len(features) * len(views)


def _encode_text(dataset: Dataset, text: RecordedTextEncoder) -> int:
    sentences = tuple(sorted({episode.instruction for episode in dataset.episodes}))
    folder = text_folder(text.name)
    header = Header(
        kind="text",
        producer=text.name,
        version=text.version,
        settings=dict(text.settings),
        length=len(sentences),
        origin=sentences_fingerprint(sentences),
        sentences=sentences,
    )
    path = dataset.root / FOLDER / folder / TEXT_FILE
    if not _same_text(path, header):
        write_sidecar(path, header, {"text": text.encode(sentences).cpu().float()})
    return len(sentences)
