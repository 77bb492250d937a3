"""Where each episode's rows and frames are, and whether they are whole: reasons, not exceptions, for broken ones."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float32, UInt8

from amplify.data.info import confined, path_in, video_key
from amplify.data.layout import ACTION, DATA_PATH, STATE, VIDEO_PATH, DatasetSpec
from amplify.data.remote import elsewhere
from amplify.data.remote import present as present_here
from amplify.errors import AmplifyError, DataError
from amplify.video import count_frames, decode_image

MAX_ROWS = 50_000_000
"""Of one file; 19 days at 30 frames a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the rows and frames of an episode are.

    Args:
        length: Frames.
        data: The parquet file that holds its rows.
        videos: Of each camera with video the file, and the number of the episode's first frame in it.
        images: Of each camera whose images are stored one by one, the column of the rows.
    """

    length: int
    data: Path
    videos: dict[str, tuple[Path, int]]
    images: dict[str, str] = field(default_factory=dict)


def episode_rows(root: Path) -> list[dict[str, Any]]:
    """The table of episodes, in order, without statistics.

    Raises:
        DataError: It is missing or damaged.
    """
    paths = sorted((root / "meta" / "episodes").glob("chunk-*/file-*.parquet"))
    if not paths:
        raise DataError(f"no table of episodes in {root / 'meta'}", remedy="copy or record the dataset again")
    rows: list[dict[str, Any]] = []
    for path in paths:
        confined(root, path)
        try:
            with pq.ParquetFile(path) as file:
                _check_claims(file, path)
                names = [name for name in file.schema_arrow.names if not name.startswith("stats/")]
                found = file.read(columns=names).to_pylist()
        except (pa.ArrowException, OSError, ValueError) as error:
            raise DataError(f"damaged file: {path}", got=error, remedy="copy or record the dataset again") from error
        if not all(_is_whole(row.get("episode_index"), 0) and _is_whole(row.get("length"), 0) for row in found):
            got = "rows without a number or a length"
            raise DataError(f"damaged file: {path}", got=got, remedy="copy or record the dataset again")
        rows += found
    return sorted(rows, key=lambda row: row["episode_index"])


def locate(
    root: Path, info: dict[str, Any], spec: DatasetSpec, rows: list[dict[str, Any]]
) -> tuple[dict[int, Place], dict[int, str]]:
    """Places of the episodes that have one, reasons of those that have none, both by episode index."""
    places, reasons = {}, {}
    times = Counter(row["episode_index"] for row in rows)
    for row in rows:
        index = row["episode_index"]
        try:
            if times[index] > 1:
                raise DataError(f"{times[index]} episodes have the number {index}")
            if row["length"] < 1:
                raise DataError("an episode without frames")
            places[index] = _place(root, info, spec, row)
        except DataError as error:
            reasons[index] = reason_of(error)
    return places, reasons


def instruction_of(row: dict[str, Any]) -> str:
    """What an episode's row of the table says was asked for; empty where it says nothing."""
    tasks = row.get("tasks")
    return str(tasks[0]) if isinstance(tasks, list) and tasks and tasks[0] is not None else ""


def reason_of(error: AmplifyError) -> str:
    """The error in one line, without its remedy."""
    lines = [" ".join(line.split()) for line in str(error).splitlines()]
    return "; ".join(line for line in lines if line and not line.startswith("do:"))


def _place(root: Path, info: dict[str, Any], spec: DatasetSpec, row: dict[str, Any]) -> Place:
    videos: dict[str, tuple[Path, int]] = {}
    images: dict[str, str] = {}
    missing = []
    for camera in spec.cameras:
        key = video_key(info, camera)
        if info["features"][key]["dtype"] == "image":
            images[camera] = key
            continue
        start_s = row.get(f"videos/{key}/from_timestamp")
        if start_s is None or row.get(f"videos/{key}/file_index") is None:
            missing.append(camera)
            continue
        if not (math.isfinite(start_s) and start_s >= 0):
            raise DataError(f"damaged place of camera {camera}", got=f"from {start_s} s")
        path = path_in(root, info.get("video_path") or VIDEO_PATH, {"video_key": key, **_file(row, f"videos/{key}")})
        # Timestamps are floats, often summed ones; the frame number is what was meant.
        videos[camera] = path, round(start_s * spec.fps)
    if missing:
        raise DataError(f"no video of camera {', '.join(missing)} in this episode")
    data = path_in(root, info.get("data_path") or DATA_PATH, _file(row, "data"))
    return Place(length=row["length"], data=data, videos=videos, images=images)


def _file(row: dict[str, Any], kind: str) -> dict[str, int]:
    numbers = {name: row.get(f"{kind}/{name}") for name in ("chunk_index", "file_index")}
    if not all(_is_whole(value, 0) for value in numbers.values()):
        raise DataError(f"damaged place in {kind}", got=numbers, allowed="whole numbers")
    return {name: int(value or 0) for name, value in numbers.items()}


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and value >= least


def _check_claims(file: pq.ParquetFile, path: Path) -> None:
    """A few bytes of a column of equal values can claim any number of rows."""
    if file.metadata.num_rows > MAX_ROWS:
        raise DataError(f"absurd file of rows: {path}", got=f"{file.metadata.num_rows} rows", allowed=MAX_ROWS)


def examine(places: dict[int, Place], spec: DatasetSpec | None) -> dict[int, str]:
    """Why episodes cannot be used, by episode index; empty when all can.

    Args:
        places: The episodes to look at.
        spec: Which columns to check; None leaves the files of rows unopened.
    """
    counts: dict[Path, int | DataError] = {}
    shares = Counter(path for place in places.values() for path, _ in place.videos.values())
    images = sorted({name for place in places.values() for name in place.images.values()})
    tables = _Tables([] if spec is None else columns_of(spec), images)
    reasons = {}
    for index, place in places.items():
        try:
            for camera, (path, start) in place.videos.items():
                _examine_video(camera, path, start, place.length, counts, alone=shares[path] == 1)
            if spec is not None or place.images:
                _examine_rows(index, place, tables)
        except DataError as error:
            reasons[index] = reason_of(error)
    return reasons


def columns_of(spec: DatasetSpec) -> list[str]:
    """Proprioception and actions, as far as the dataset has them."""
    return [STATE] * (spec.proprio_names is not None) + [ACTION] * (spec.action_names is not None)


def read_column(place: Place, episode_index: int, name: str) -> Float32[np.ndarray, "t d"]:
    """One column of one episode.

    Raises:
        DataError: The file is missing or damaged, or lacks the column.
    """
    table = _read_rows(place.data, ["episode_index", name], episode_index)
    return _matrix(_rows_of(table, episode_index)[name], name)


def read_columns(
    places: Mapping[int, Place], names: list[str]
) -> Iterator[tuple[int, dict[str, Float32[np.ndarray, "t d"]]]]:
    """Columns of many episodes by name, file by file: one that they share is read once.

    Raises:
        DataError: A file is missing or damaged, or lacks a column.
    """
    tables = _Tables(names, [])
    for index, place in sorted(places.items(), key=lambda item: (item[1].data, item[0])):
        rows = _rows_of(tables.read(place.data), index) if names else {}
        yield index, {name: _matrix(rows[name], name) for name in names}


def read_images(
    place: Place, episode_index: int, name: str, start: int, count: int
) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Images that are stored one by one in the rows, decoded one at a time.

    Args:
        place: Of the episode.
        episode_index: Its number.
        name: The column.
        start: First row of the episode.
        count: How many.

    Raises:
        DataError: The file is damaged, or holds something else.
    """
    rows = _rows_of(_read_rows(place.data, ["episode_index", name], episode_index), episode_index)
    if start + count > len(rows):
        raise DataError(f"too few rows in {place.data}", got=len(rows), allowed=start + count)
    for number, row in enumerate(rows[name].slice(start, count)):
        value = row.as_py()
        content = value.get("bytes") if isinstance(value, dict) else value
        if not isinstance(content, bytes):
            raise DataError(f"{name!r} has no image in row {start + number} of {place.data}", got=type(value).__name__)
        yield decode_image(content, where=f"{name}, row {start + number} of episode {episode_index}, {place.data}")


class _Tables:
    """The last table of rows that was read: neighbouring episodes often share one."""

    times = "timestamp"

    def __init__(self, names: list[str], images: list[str]):
        self.names, self.images = names, images
        self.last: tuple[Path, pa.Table] | None = None

    def read(self, path: Path) -> pa.Table:
        if self.last is None or self.last[0] != path:
            self.last = path, _read_rows(path, ["episode_index", *self.names], optional=self.times, present=self.images)
        return self.last[1]


@lru_cache(maxsize=1 << 17)
def _counted(path: Path, _state: tuple[int, int] | None) -> int | DataError:
    """Frames of a video, or why it has none; a command opens its datasets several times, and files seldom change."""
    try:
        return count_frames(path)
    except DataError as error:
        return error


def _examine_video(
    camera: str, path: Path, start: int, length: int, counts: dict[Path, int | DataError], *, alone: bool
) -> None:
    if elsewhere(path):
        return  # it is taken on trust until it is fetched to be read
    if path not in counts:
        found = path.stat() if path.is_file() else None
        counts[path] = _counted(path, (found.st_size, found.st_mtime_ns) if found else None)
    count = counts[path]
    if isinstance(count, DataError):
        raise count
    if count < start + length or (alone and start == 0 and count != length):
        raise DataError(f"camera {camera}: wrong frame count in {path}", got=count, allowed=start + length)


def _examine_rows(index: int, place: Place, tables: _Tables) -> None:
    rows = _rows_of(tables.read(place.data), index)
    if len(rows) != place.length:
        raise DataError(f"wrong number of rows in {place.data}", got=len(rows), allowed=place.length)
    if tables.times in rows.column_names and (np.diff(_matrix(rows[tables.times], tables.times)[:, 0]) < 0).any():
        raise DataError(f"time stamps that run backwards in {place.data}")
    for name in tables.names:
        if not np.isfinite(_matrix(rows[name], name)).all():
            raise DataError(f"{name!r} has values that are not finite numbers in {place.data}")


def _read_rows(
    path: Path, names: list[str], episode_index: int | None = None, *, optional: str = "", present: Sequence[str] = ()
) -> pa.Table:
    """Columns of a file of rows; of the row groups that may hold one episode, or of all."""
    remedy = "copy or record the dataset again, or leave the episode out"
    if not present_here(path).is_file():
        raise DataError(f"no such file of rows: {path}", remedy=remedy)
    try:
        with pq.ParquetFile(path) as file:
            _check_claims(file, path)
            missing = [name for name in (*names, *present) if name not in file.schema_arrow.names]
            if missing:
                raise DataError(f"{path} lacks columns", got=", ".join(missing), remedy=remedy)
            names = [*names, *([optional] if optional in file.schema_arrow.names else [])]
            return file.read_row_groups(_groups(file, episode_index), columns=names)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"damaged file of rows: {path}", got=error, remedy=remedy) from error


def _groups(file: pq.ParquetFile, episode_index: int | None) -> list[int]:
    groups = range(file.num_row_groups)
    column = next(i for i in range(len(file.schema)) if file.schema.column(i).path == "episode_index")
    ranges = [file.metadata.row_group(group).column(column).statistics for group in groups]
    return [
        group
        for group, span in zip(groups, ranges)
        if episode_index is None or span is None or not span.has_min_max or span.min <= episode_index <= span.max
    ]


def _rows_of(table: pa.Table, episode_index: int) -> pa.Table:
    return table.filter(pa.array(table["episode_index"].to_numpy() == episode_index))


def _matrix(column: pa.ChunkedArray, name: str) -> np.ndarray:
    values = column.combine_chunks()
    try:
        if pa.types.is_fixed_size_list(values.type) or pa.types.is_list(values.type):
            flat = values.flatten().to_numpy(zero_copy_only=False)
            return flat.reshape(len(values), -1).astype(np.float32)
        return values.to_numpy(zero_copy_only=False).reshape(len(values), 1).astype(np.float32)
    except (ValueError, TypeError) as error:
        raise DataError(f"{name!r} has rows of unequal length or of no numbers", got=error) from error
