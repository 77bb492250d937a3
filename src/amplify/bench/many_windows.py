"""A dataset of any number of windows in seconds: one recorded episode, under many numbers."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from amplify.bench.tracking import moving_square
from amplify.data.dataset import Dataset, DatasetSpec, DatasetWriter, Episode
from amplify.data.extract import track_dataset
from amplify.data.files import place, written_aside
from amplify.data.layout import CHUNK, EPISODES_PATH, IMAGES, VIDEO_PATH
from amplify.data.sidecar import FOLDER, episode_path
from amplify.data.track_codec import Compression
from amplify.tracks.flow import FlowTracker

CAMERA = "front"
GRID, HORIZON = 20, 16


def one_episode(root: Path, *, frames: int, seed: int, compression: Compression) -> str:
    """A dataset of one episode with flow tracks of the paper's grid; the folder of its tracks.

    Args:
        root: Of the dataset.
        frames: Of the episode, and so its windows.
        seed: Of the video.
        compression: Of the windows.
    """
    clip = moving_square(frames, seed=seed)
    height, width = clip.frames.shape[1:3]
    writer = DatasetWriter(root, DatasetSpec(fps=round(clip.fps), cameras=(CAMERA,), width=width, height=height))
    writer.write_episode("one", Episode(instruction="push the square", frames={CAMERA: clip.frames}))
    writer.finalize(["one"])
    opened = Dataset.open(root, columns=False)
    return track_dataset(opened, FlowTracker(), grid=GRID, horizon=HORIZON, workers=0, compression=compression)[
        "sidecar"
    ]


def many_episodes(source: Path, root: Path, folder: str, *, count: int) -> Path:
    """A dataset of so many episodes whose files are all links to those of one.

    Args:
        source: Of `one_episode`.
        root: Of the new dataset.
        folder: Of the tracks.
        count: Episodes.
    """
    row: dict[str, Any] = pq.read_table(source / EPISODES_PATH).to_pylist()[0]
    row = {name: value for name, value in row.items() if not name.startswith("stats/")}
    key, rows = IMAGES + CAMERA, []
    video, tracks = (
        source / VIDEO_PATH.format(video_key=key, chunk_index=0, file_index=0),
        episode_path(source, folder, 0),
    )
    for index in range(count):
        # A file system holds only so many links to one file.
        if index % CHUNK == 0:
            at = {"chunk_index": index // CHUNK, "file_index": 0}
            here = root / VIDEO_PATH.format(video_key=key, **at), episode_path(root, folder, index)
            for origin, copy in zip((video, tracks), here):
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(origin.read_bytes())
        else:
            at = {"chunk_index": index // CHUNK, "file_index": index % CHUNK}
            place(here[0], root / VIDEO_PATH.format(video_key=key, **at))
            place(here[1], episode_path(root, folder, index))
        start = index * row["length"]
        named = {f"{kind}/{name}": value for kind in ("data", f"videos/{key}") for name, value in at.items()}
        rows.append(
            row
            | named
            | {"episode_index": index, "dataset_from_index": start, "dataset_to_index": start + row["length"]}
        )
    (root / FOLDER).mkdir(exist_ok=True)
    with written_aside(root / EPISODES_PATH) as aside:
        pq.write_table(pa.Table.from_pylist(rows), aside)
    for name in ("tasks.parquet", "info.json"):
        place(source / "meta" / name, root / "meta" / name)
    return root


def random_batches(windows: int, *, size: int, count: int, seed: int) -> list[np.ndarray]:
    """Numbers of random windows.

    Args:
        windows: To draw from.
        size: Windows a batch.
        count: Batches.
        seed: Of the draw.
    """
    generator = np.random.default_rng(seed)
    return [generator.integers(windows, size=size) for _ in range(count)]
