"""Writes a LeRobotDataset v3, one parquet file and one mp4 a camera an episode, from any number of processes.

Episodes are staged whole under ``.staging``; `DatasetWriter.finalize` gives them their numbers. Until
``meta/info.json`` appears, last, there is no dataset; a kill at any moment loses at most the episode being written.
"""

import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import load_file, save_file

from amplify.data.episode import Episode, Footage
from amplify.data.files import place, write_json, written_aside
from amplify.data.info import read_info, spec_of
from amplify.data.layout import (
    ACTION,
    CHUNK,
    DATA_PATH,
    EPISODES_PATH,
    IMAGES,
    NOTES_PATH,
    REPORT_PATH,
    STATE,
    VIDEO_PATH,
    DatasetSpec,
    info_of,
)
from amplify.data.remote import fetched, located, refreshed, removed, sent
from amplify.data.scene import write_scene
from amplify.data.stats import ImageStats, Stats, column_stats, total_stats
from amplify.errors import DataError
from amplify.video import RECORDING_CRF, write_frames

__all__ = ["SCENE_PATH", "DatasetWriter", "Episode", "Footage", "report_of"]

SCENE_PATH = "sidecars/scene/episode-{index:06d}.safetensors"


class DatasetWriter:
    """Stages episodes and makes a dataset of them.

    Args:
        root: The dataset's folder; new, empty, or left by an interrupted recording with the same spec.
        spec: What every episode has.

    Raises:
        DataError: The folder holds something else.
    """

    def __init__(self, root: Path, spec: DatasetSpec):
        root = refreshed(located(root))
        self.root, self.spec = root, spec
        self.staging = root / ".staging"
        note = self.staging / "spec.json"
        if self.finished:
            found = spec_of(read_info(root), root)
        elif note.is_file():
            found = DatasetSpec.model_validate_json(note.read_text())
        else:
            if root.exists() and any(p.name != ".staging" for p in root.iterdir()):
                raise DataError(f"not an empty folder, nor a dataset: {root}", remedy="choose another folder")
            write_json(note, spec.model_dump())
            found = spec
        if found != spec:
            raise DataError(
                f"{root} holds a recording with other settings",
                got=spec.model_dump_json(),
                allowed=found.model_dump_json(),
                remedy="choose another folder, or remove this one",
            )

    @property
    def finished(self) -> bool:
        """Whether the dataset is complete."""
        return (self.root / "meta" / "info.json").is_file()

    def staged(self) -> frozenset[str]:
        """Keys of the episodes that are safely on disk."""
        if self.finished:
            return frozenset(_finished_keys(self.root))
        return frozenset(p.name for p in self.staging.iterdir() if (p / "record.json").is_file() and p.name[0] != ".")

    def write_episode(self, key: str, episode: Episode) -> None:
        """Stages one episode; does nothing if the key is staged already.

        Args:
            key: Names the recording for resuming; letters, digits, ``.``, ``_`` and ``-``.
            episode: All arrays have one row a frame.

        Raises:
            DataError: The episode does not fit the spec, has rows that are not numbers, or the dataset is complete.
        """
        self.write_footage(key, episode.footage(key))

    def write_footage(self, key: str, footage: Footage) -> None:
        """`write_episode` of frames as they come.

        Args:
            key: Names the recording for resuming; letters, digits, ``.``, ``_`` and ``-``.
            footage: Its frames are gone through only if the key is not staged.

        Raises:
            DataError: The footage does not fit the spec, ends early, has rows that are not numbers, cannot be read, or
                the dataset is complete.
        """
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", key) or key == "spec.json":
            raise DataError("episode key not usable as a file name", got=repr(key), allowed="letters, digits, . _ -")
        if self._is_staged(key):
            return
        if self.finished:
            raise DataError(f"the dataset {self.root} is complete", got=key, remedy="record into another folder")
        footage.check(key, self.spec)
        aside = self.staging / f".{key}.{os.getpid()}"
        shutil.rmtree(aside, ignore_errors=True)
        try:
            self._write_aside(aside, key, footage)
            aside.rename(self.staging / key)
            sent(self.staging / key)
        except OSError:
            if not self._is_staged(key):  # else another process has staged the same meanwhile
                raise
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def _is_staged(self, key: str) -> bool:
        return key in self.staged() if self.finished else (self.staging / key / "record.json").is_file()

    def _write_aside(self, aside: Path, key: str, footage: Footage) -> None:
        stats: dict[str, Stats] = {}
        for camera in self.spec.cameras:
            width, height = self.spec.size(camera)
            watch = ImageStats(footage.length)
            frames = watch.watched(_fitting(footage.frames[camera], (height, width, 3), f"{key}, camera {camera}"))
            count = write_frames(aside / f"{camera}.mp4", frames, self.spec.fps, crf=RECORDING_CRF)
            if count != footage.length:
                raise DataError(
                    f"episode {key}, camera {camera}: wrong number of frames", got=count, allowed=footage.length
                )
            stats[IMAGES + camera] = watch.stats()
        columns = {STATE: footage.proprio, ACTION: footage.actions}
        save_file({name: array for name, array in columns.items() if array is not None}, aside / "columns.safetensors")
        if footage.scene is not None:
            write_scene(aside / "scene.safetensors", footage.scene)
        record = {
            "length": footage.length,
            "instruction": footage.instruction,
            "info": footage.info,
            "stats": {name: _listed(part) for name, part in stats.items()},
        }
        write_json(aside / "record.json", record)

    def finalize(self, keys: Sequence[str], report: Mapping[str, Any] | None = None) -> None:
        """Makes the dataset of staged episodes; the same call again finishes what was interrupted.

        Args:
            keys: Episodes to keep; their order becomes the episode index.
            report: How the dataset came about, stored with it; see `report_of`.

        Raises:
            DataError: An episode is not staged, or the dataset is complete with other episodes.
        """
        if self.finished:
            if list(keys) != _finished_keys(self.root):
                raise DataError(f"{self.root} is complete, with other episodes", remedy="record into another folder")
            removed(self.staging)
            return
        missing = sorted(set(keys) - self.staged())
        if missing or not keys or len(set(keys)) < len(keys):
            got = f"not staged: {', '.join(missing[:5])}" if missing else f"{len(keys)} keys"
            raise DataError("cannot finish the dataset", got=got, allowed="one or more distinct staged episodes")
        for leftover in ("data", "videos", "sidecars", "meta"):
            removed(self.root / leftover)
        records = [json.loads((self.staging / key / "record.json").read_text()) for key in keys]
        tasks = {said: index for index, said in enumerate(dict.fromkeys(record["instruction"] for record in records))}
        rows, start = [], 0
        for index, (key, record) in enumerate(zip(keys, records)):
            rows.append(self._place_episode(index, start, fetched(self.staging / key), record, tasks))
            start += record["length"]
        if report is not None:
            write_json(self.root / REPORT_PATH, dict(report))
        self._write_meta(keys, records, list(tasks), rows)
        removed(self.staging)

    def _place_episode(
        self, index: int, start: int, folder: Path, record: dict[str, Any], tasks: dict[str, int]
    ) -> dict[str, Any]:
        length, task = record["length"], tasks[record["instruction"]]
        at = {"chunk_index": index // CHUNK, "file_index": index % CHUNK}
        frame = np.arange(length)
        arrays = load_file(folder / "columns.safetensors") | {
            "timestamp": (frame / self.spec.fps).astype(np.float32),
            "frame_index": frame,
            "episode_index": np.full(length, index),
            "index": start + frame,
            "task_index": np.full(length, task),
        }
        _write_table(self.root / DATA_PATH.format(**at), {name: _column(array) for name, array in arrays.items()})
        stats = {name: column_stats(array) for name, array in arrays.items()}
        stats |= {name: {k: np.array(v) for k, v in part.items()} for name, part in record["stats"].items()}
        row: dict[str, Any] = {
            "episode_index": index,
            "tasks": [record["instruction"]],
            "length": length,
            **{f"data/{name}": value for name, value in at.items()},
            "dataset_from_index": start,
            "dataset_to_index": start + length,
            "meta/episodes/chunk_index": 0,
            "meta/episodes/file_index": 0,
        }
        for camera in self.spec.cameras:
            key = IMAGES + camera
            place(folder / f"{camera}.mp4", self.root / VIDEO_PATH.format(video_key=key, **at))
            row |= {f"videos/{key}/{name}": value for name, value in at.items()}
            row |= {f"videos/{key}/from_timestamp": 0.0, f"videos/{key}/to_timestamp": length / self.spec.fps}
        row |= {f"stats/{name}/{k}": v.tolist() for name, part in stats.items() for k, v in part.items()}
        if (folder / "scene.safetensors").is_file():
            place(folder / "scene.safetensors", self.root / SCENE_PATH.format(index=index))
        return row

    def _write_meta(
        self, keys: Sequence[str], records: list[dict[str, Any]], tasks: list[str], rows: list[dict[str, Any]]
    ) -> None:
        columns = {name: pa.array([row[name] for row in rows]) for name in rows[0]}
        _write_table(self.root / EPISODES_PATH, columns)
        names: dict[str, list[str]] = {}
        for column in rows[0]:
            if column.startswith("stats/"):
                names.setdefault(column.split("/")[1], []).append(column)
        parts = {
            name: [{column.split("/")[2]: np.array(row[column]) for column in found} for row in rows]
            for name, found in names.items()
        }
        write_json(
            self.root / "meta" / "stats.json", {name: _listed(total_stats(part)) for name, part in parts.items()}
        )
        # Without this pandas metadata, readers of the format take the row number for the task's name.
        columns = [
            {"name": name, "field_name": name, "pandas_type": kind, "numpy_type": stored, "metadata": None}
            for name, kind, stored in (("task_index", "int64", "int64"), ("task", "unicode", "object"))
        ]
        frame = {"index_columns": ["task"], "column_indexes": [], "columns": columns, "pandas_version": "2.0.0"}
        _write_table(
            self.root / "meta" / "tasks.parquet",
            {"task_index": pa.array(range(len(tasks)), pa.int64()), "task": pa.array(tasks)},
            metadata={"pandas": json.dumps(frame)},
        )
        with written_aside(self.root / NOTES_PATH) as aside:
            lines = [
                json.dumps({"episode_index": index, "key": key, "info": record["info"]})
                for index, (key, record) in enumerate(zip(keys, records))
            ]
            aside.write_text("\n".join(lines) + "\n")
        info = info_of(self.spec, lengths=[record["length"] for record in records], tasks=len(tasks))
        write_json(self.root / "meta" / "info.json", info)


def report_of(root: Path) -> dict[str, Any]:
    """What was handed to `DatasetWriter.finalize`; empty if nothing was."""
    path = root / REPORT_PATH
    return json.loads(path.read_text()) if path.is_file() else {}


def _fitting(frames: Iterable[np.ndarray], shape: tuple[int, int, int], where: str) -> Iterator[np.ndarray]:
    for frame in frames:
        if frame.shape != shape or frame.dtype != np.uint8:
            raise DataError(
                f"episode {where}: wrong shape of images", got=f"{frame.shape} {frame.dtype}", allowed=shape
            )
        yield frame


def _finished_keys(root: Path) -> list[str]:
    path = root / NOTES_PATH
    return [json.loads(line)["key"] for line in path.read_text().splitlines()] if path.is_file() else []


def _listed(stats: Stats) -> dict[str, Any]:
    return {name: value.tolist() for name, value in stats.items()}


def _column(array: np.ndarray) -> pa.Array:
    if array.ndim == 1:
        return pa.array(array)
    return pa.FixedSizeListArray.from_arrays(pa.array(array.reshape(-1)), array.shape[1])


def _write_table(path: Path, columns: dict[str, pa.Array], metadata: dict[str, str] | None = None) -> None:
    with written_aside(path) as aside:
        table = pa.table(columns)
        if metadata:
            table = table.replace_schema_metadata(metadata)
        pq.write_table(table, aside, compression="snappy")
