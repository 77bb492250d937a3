"""Where each episode's rows and frames are, and whether they are whole: reasons, not exceptions, for broken ones."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float32

from amplify.data.layout import ACTION, DATA_PATH, STATE, VIDEO_PATH, DatasetSpec, video_key
from amplify.errors import DataError
from amplify.video import count_frames


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the rows and frames of an episode are.

    Args:
        length: Frames.
        data: The parquet file that holds its rows.
        videos: Of each camera the file, and the number of the episode's first frame in it.
    """

    length: int
    data: Path
    videos: dict[str, tuple[Path, int]]


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
        try:
            names = [name for name in pq.read_schema(path).names if not name.startswith("stats/")]
            rows += pq.read_table(path, columns=names).to_pylist()
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"damaged file: {path}", got=error, remedy="copy or record the dataset again") from error
    return sorted(rows, key=lambda row: row["episode_index"])


def locate(
    root: Path, info: dict[str, Any], spec: DatasetSpec, rows: list[dict[str, Any]]
) -> tuple[dict[int, Place], dict[int, str]]:
    """Places of the episodes that have one, reasons of those that have none, both by episode index."""
    places, reasons = {}, {}
    for row in rows:
        videos: dict[str, tuple[Path, int]] = {}
        for camera in spec.cameras:
            key = video_key(info, camera)
            at = {name: row.get(f"videos/{key}/{name}") for name in ("chunk_index", "file_index")}
            start_s = row.get(f"videos/{key}/from_timestamp")
            if start_s is not None and None not in at.values():
                path = root / (info.get("video_path") or VIDEO_PATH).format(video_key=key, **at)
                # Timestamps are floats, often summed ones; the frame number is what was meant.
                videos[camera] = path, round(start_s * spec.fps)
        missing = [camera for camera in spec.cameras if camera not in videos]
        if missing:
            reasons[row["episode_index"]] = f"no video of camera {', '.join(missing)} in this episode"
            continue
        at = {name: row[f"data/{name}"] for name in ("chunk_index", "file_index")}
        data = root / (info.get("data_path") or DATA_PATH).format(**at)
        places[row["episode_index"]] = Place(length=row["length"], data=data, videos=videos)
    return places, reasons


def examine(places: dict[int, Place], spec: DatasetSpec | None) -> dict[int, str]:
    """Why episodes cannot be used, by episode index; empty when all can.

    Args:
        places: The episodes to look at.
        spec: Which columns to check; None leaves the files of rows unopened.
    """
    counts: dict[Path, int | DataError] = {}
    shares = Counter(path for place in places.values() for path, _ in place.videos.values())
    tables = _Tables([] if spec is None else columns_of(spec))
    reasons = {}
    for index, place in places.items():
        try:
            for camera, (path, start) in place.videos.items():
                _examine_video(camera, path, start, place.length, counts, alone=shares[path] == 1)
            if spec is not None:
                _examine_rows(index, place, tables)
        except DataError as error:
            reasons[index] = "; ".join(line.strip() for line in str(error).splitlines() if "do:" not in line)
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
    return _matrix(_rows_of(table, episode_index)[name])


class _Tables:
    """The last table of rows that was read: neighbouring episodes often share one."""

    def __init__(self, names: list[str]):
        self.names = names
        self.last: tuple[Path, pa.Table] | None = None

    def read(self, path: Path) -> pa.Table:
        if self.last is None or self.last[0] != path:
            self.last = path, _read_rows(path, ["episode_index", *self.names])
        return self.last[1]


def _examine_video(
    camera: str, path: Path, start: int, length: int, counts: dict[Path, int | DataError], *, alone: bool
) -> None:
    if path not in counts:
        try:
            counts[path] = count_frames(path)
        except DataError as error:
            counts[path] = error
    count = counts[path]
    if isinstance(count, DataError):
        raise count
    if count < start + length or (alone and start == 0 and count != length):
        raise DataError(f"camera {camera}: wrong frame count in {path}", got=count, allowed=start + length)


def _examine_rows(index: int, place: Place, tables: _Tables) -> None:
    rows = _rows_of(tables.read(place.data), index)
    if len(rows) != place.length:
        raise DataError(f"wrong number of rows in {place.data}", got=len(rows), allowed=place.length)
    for name in tables.names:
        if not np.isfinite(_matrix(rows[name])).all():
            raise DataError(f"{name!r} has values that are not finite numbers in {place.data}")


def _read_rows(path: Path, names: list[str], episode_index: int | None = None) -> pa.Table:
    """Columns of a file of rows; of the row groups that may hold one episode, or of all."""
    remedy = "copy or record the dataset again, or leave the episode out"
    if not path.is_file():
        raise DataError(f"no such file of rows: {path}", remedy=remedy)
    try:
        with pq.ParquetFile(path) as file:
            missing = [name for name in names if name not in file.schema_arrow.names]
            if missing:
                raise DataError(f"{path} lacks columns", got=", ".join(missing), remedy=remedy)
            return file.read_row_groups(_groups(file, episode_index), columns=names)
    except (pa.ArrowException, OSError) as error:
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


def _matrix(column: pa.ChunkedArray) -> np.ndarray:
    values = column.combine_chunks()
    if pa.types.is_fixed_size_list(values.type) or pa.types.is_list(values.type):
        flat = values.flatten().to_numpy(zero_copy_only=False)
        return flat.reshape(len(values), -1).astype(np.float32)
    return values.to_numpy(zero_copy_only=False).reshape(len(values), 1).astype(np.float32)
