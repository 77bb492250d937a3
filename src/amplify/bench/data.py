"""What data cost: windows a second into training, memory against the number of windows, work by stage and worker."""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psutil

from amplify.bench.importing import CASES, moving_clip
from amplify.bench.many_windows import HORIZON, many_episodes, one_episode, random_batches
from amplify.bench.tracking import moving_square
from amplify.data.dataset import Dataset, DatasetSpec, DatasetWriter, Episode
from amplify.data.extract import encode_dataset, track_dataset
from amplify.data.importers.engine import run_import
from amplify.data.importers.videos import VideosConfig, plan_videos
from amplify.data.sidecar import FOLDER, features_folder
from amplify.data.windows import Source, WindowSet
from amplify.encoders import TEXT_ENCODERS, VISION_ENCODERS
from amplify.jobs import map_jobs, one_thread
from amplify.tracks.flow import FlowTracker
from amplify.tracks.queries import uniform_grid
from amplify.video import write_frames

BATCH = 64
HOURS = 1000
WARM_BATCHES, COLD_BATCHES = 40, 8
LABEL = "estimate: measured on small clips on this machine and multiplied, not run"
FPS = 10
"""Frames of video a second that the estimate is for, of one camera at 128 px."""


def bench_data(
    *, windows: tuple[int, ...], episode_frames: int, clips: int, frames: int, workers: tuple[int, ...], seed: int
) -> dict[str, Any]:
    """Figures by stable names; all data are made here, and removed.

    Args:
        windows: Numbers of windows for which memory is measured.
        episode_frames: Windows an episode of those.
        clips: Episodes by which import, tracking and encoding are timed.
        frames: Of each.
        workers: Numbers of processes that are compared.
        seed: Of videos and draws.
    """
    one_thread()  # as each worker has
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        reading = {kind: _reading(folder / kind, kind, episode_frames, seed) for kind in ("zstd", "none")}
        memory = _memory(folder, windows, episode_frames, seed)
        stages, disk = _stages(folder / "stages", clips, frames, workers, seed)
    return {
        "batch": BATCH,
        "reading": reading,
        "memory": memory,
        "stages": stages,
        "bytes_a_frame": disk,
        "per_1000_hours": _extrapolated(stages, disk, str(min(workers))),
    }


def _reading(root: Path, compression: Any, frames: int, seed: int) -> dict[str, float]:
    """Random batches of track windows, from memory and from disk."""
    tracks = one_episode(root / "one", frames=frames, seed=seed, compression=compression)
    many = many_episodes(root / "one", root / "many", tracks, count=40)
    found = WindowSet([Source(path=many)], tracks=tracks, features=None, actions=False, horizon=HORIZON)
    warm, cold = [], []
    for batch in random_batches(len(found), size=BATCH, count=WARM_BATCHES, seed=seed):
        found.batch(batch)
    for batch in random_batches(len(found), size=BATCH, count=WARM_BATCHES, seed=seed):
        warm.append(_seconds(partial(found.batch, batch)))
    files = list((many / FOLDER / tracks).iterdir())
    for batch in random_batches(len(found), size=BATCH, count=COLD_BATCHES, seed=seed + 1):
        _forget(files)
        cold.append(_seconds(partial(found.batch, batch)))
    size = sum(path.stat().st_size for path in files if path.suffix == ".safetensors") / len(found)
    return {
        "bytes_a_window": size,
        "warm_batch_ms": 1e3 * statistics.median(warm),
        "warm_windows_per_s": BATCH / statistics.median(warm),
        "cold_batch_ms": 1e3 * statistics.median(cold),
        "cold_windows_per_s": BATCH / statistics.median(cold),
    }


def _forget(files: list[Path]) -> None:
    """Asks the system to drop its copies of files; it has to read them from the disk again."""
    for path in files:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def _memory(folder: Path, windows: tuple[int, ...], frames: int, seed: int) -> dict[str, Any]:
    """Resident memory of a process of its own that draws from so many windows."""
    tracks = one_episode(folder / "one", frames=frames, seed=seed, compression="zstd")
    rows = []
    for number in sorted(windows):
        root = many_episodes(folder / "one", folder / f"many-{number}", tracks, count=max(1, number // frames))
        # A process that measured another set would have its memory still.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
            rows.append(fresh.submit(_drawn, root, tracks, seed).result())
    first, last = rows[0], rows[-1]
    more = last["windows"] - first["windows"]
    return {
        "sets": rows,
        "bytes_a_window": 1e6 * (last["grown_mb"] - first["grown_mb"]) / more if more else None,
    }


def _drawn(root: Path, tracks: str, seed: int) -> dict[str, float]:
    process = psutil.Process()
    before = process.memory_info().rss
    began = time.perf_counter()
    found = WindowSet([Source(path=root)], tracks=tracks, features=None, actions=False, horizon=HORIZON)
    opened = time.perf_counter() - began
    for batch in random_batches(len(found), size=BATCH, count=WARM_BATCHES, seed=seed):
        found.batch(batch)
    rss = process.memory_info().rss
    return {"windows": len(found), "open_s": opened, "rss_mb": rss / 1e6, "grown_mb": (rss - before) / 1e6}


def _stages(
    root: Path, clips: int, frames: int, workers: tuple[int, ...], seed: int
) -> tuple[dict[str, Any], dict[str, float]]:
    """Frames a second of each stage by number of processes, and bytes a frame of what it leaves."""
    videos = root / "videos"
    videos.mkdir(parents=True)
    for number in range(clips):
        size = CASES["128px"][0]
        write_frames(videos / f"clip-{number}.mp4", moving_clip(frames, size, seed + number), 30, crf=20, gop=60)
    config = VideosConfig(fps=30, size=CASES["128px"][1])
    vision = VISION_ENCODERS["efficientnet-lite0"]({})
    text = TEXT_ENCODERS["minilm"]({})
    seconds: dict[str, dict[str, float]] = {"import": {}, "track": {}, "encode": {}}
    disk: dict[str, float] = {}
    for processes in sorted(workers):
        data, recorded = root / f"data-{processes}", root / f"recorded-{processes}"
        list(map_jobs(_warm, list(range(2 * processes)), workers=processes))
        imported = partial(run_import, plan_videos(videos, config, workers=0), data, workers=processes)
        seconds["import"][str(processes)] = _seconds(imported)
        opened = _recorded(recorded, clips, frames, seed)
        tracked = partial(track_dataset, opened, FlowTracker(), grid=20, horizon=HORIZON, workers=processes)
        seconds["track"][str(processes)] = _seconds(tracked)
        seconds["encode"][str(processes)] = _seconds(partial(encode_dataset, opened, vision, text, workers=processes))
        parts = {"import": data / "videos", "track": recorded / FOLDER / "tracks-flow-20x20-h16"}
        parts["encode"] = recorded / FOLDER / features_folder(vision.name)
        disk = {name: _size(path) / (clips * frames) for name, path in parts.items()}
    fewest = str(min(workers))
    report = {
        name: {
            "frames_per_s": {count: clips * frames / taken for count, taken in of_stage.items()},
            "speedup": {count: of_stage[fewest] / taken for count, taken in of_stage.items()},
        }
        for name, of_stage in seconds.items()
    }
    return report, disk


def _recorded(root: Path, clips: int, frames: int, seed: int) -> Dataset:
    made = [moving_square(frames, seed=seed + number) for number in range(clips)]
    height, width = made[0].frames.shape[1:3]
    writer = DatasetWriter(root, DatasetSpec(fps=20, cameras=("front",), width=width, height=height))
    for number, clip in enumerate(made):
        writer.write_episode(f"clip-{number}", Episode(instruction="push", frames={"front": clip.frames}))
    writer.finalize([f"clip-{number}" for number in range(clips)])
    return Dataset.open(root, columns=False)


def _warm(number: int) -> int:
    """Imports what the stages need, which is not to be timed."""
    FlowTracker().track(moving_square(3, seed=number), uniform_grid(2), horizon=2)
    return number


def _extrapolated(stages: dict[str, Any], disk: dict[str, float], fewest: str) -> dict[str, Any]:
    frames = HOURS * 3600 * FPS
    hours = {name: frames / stage["frames_per_s"][fewest] / 3600 * int(fewest) for name, stage in stages.items()}
    return {
        "label": LABEL,
        "frames": frames,
        "fps": FPS,
        "cpu_hours": hours | {"all": sum(hours.values())},
        "disk_gb": {name: frames * size / 1e9 for name, size in disk.items()}
        | {"all": frames * sum(disk.values()) / 1e9},
    }


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _seconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began
