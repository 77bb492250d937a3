"""Speed of importing videos: clips made here, with the engine and the processes of ``amplify import videos``."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from amplify.data.importers.engine import run_import
from amplify.data.importers.videos import VideosConfig, plan_videos
from amplify.jobs import cores, map_jobs
from amplify.rng import numpy_generator
from amplify.video import write_frames

FPS = 30
GOP = 60
"""Frames a key frame of the clips: cameras and phones write one every second or two."""
CRF = 20
CASES = {
    "128px": ((128, 128), (128, 128)),
    "480p": ((640, 480), (640, 480)),
    "480p_to_128px": ((640, 480), (128, 128)),
}
"""(width, height) of the clips and of the dataset."""


def moving_clip(frames: int, size: tuple[int, int], seed: int) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """A textured rectangle that crosses a smooth background, with a camera's noise.

    Args:
        frames: How many.
        size: Width and height, in pixels.
        seed: Of textures and noise.
    """
    width, height = size
    generator = numpy_generator(seed, "bench", "import")
    background = cv2.resize(
        generator.integers(40, 200, (8, 10, 3), dtype=np.uint8), size, interpolation=cv2.INTER_CUBIC
    )
    side = height // 4
    texture = cv2.resize(generator.integers(0, 255, (8, 8, 3), dtype=np.uint8), (side, side))
    noise = generator.normal(0, 1.5, (4, height, width, 3)).astype(np.float32)
    for t in range(frames):
        image = background.astype(np.float32) + noise[t % len(noise)]
        left = 2 * t % (width - side)
        image[side : 2 * side, left : left + side] = texture
        yield np.clip(image, 0, 255).astype(np.uint8)


def bench_import(*, clips: int, frames: int, rounds: int, workers: int | None, seed: int) -> dict[str, Any]:
    """Frames per second from video files to a finished dataset, for each of `CASES`: the best of several rounds.

    Worker processes are started before the clock is. Reading, decoding, resizing, encoding and writing count.

    Args:
        clips: Videos a case.
        frames: Of each video.
        rounds: Imports of each case.
        workers: Processes; all cores by default.
        seed: Of the clips.
    """
    processes = cores() if workers is None else workers
    report: dict[str, Any] = {"workers": processes, "clips": clips, "frames": frames}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        made = [(root, size, number, frames, seed) for size in _sizes() for number in range(clips)]
        for done in map_jobs(_make, made, workers=processes, label="make clips", unit="clip"):
            if done.error is not None:
                raise done.error
        for name, (source, target) in CASES.items():
            plan = plan_videos(root / _folder(source), VideosConfig(size=target), workers=0)
            rates = [
                run_import(plan, root / f"{name}-{number}", workers=processes)["frames_per_s"]
                for number in range(rounds)
            ]
            report[name] = {"frames_per_s": max(rates), "rounds": rates}
    return report


def _sizes() -> list[tuple[int, int]]:
    return list(dict.fromkeys(source for source, _ in CASES.values()))


def _folder(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _make(item: tuple[Path, tuple[int, int], int, int, int]) -> int:
    root, size, number, frames, seed = item
    path = root / _folder(size) / f"clip-{number:03d}.mp4"
    return write_frames(path, moving_clip(frames, size, seed + number), FPS, crf=CRF, gop=GOP)
