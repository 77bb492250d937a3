"""Reads info.json of a LeRobotDataset, which may come from anywhere: nothing that it says is believed unchecked."""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from amplify.data.layout import ACTION, IMAGES, STATE, VERSION, DatasetSpec
from amplify.errors import DataError

MAX_BYTES = 64 << 20
"""Of a JSON file."""


class _Feature(BaseModel):
    model_config = ConfigDict(extra="allow")
    dtype: str
    shape: list[int] = Field(max_length=8)
    names: Any = None

    @field_validator("shape")
    @classmethod
    def _sizes(cls, shape: list[int]) -> list[int]:
        if any(not 0 < size <= 1 << 16 for size in shape) or math.prod(shape) > 1 << 28:
            raise ValueError("sizes must be positive and what memory can hold")
        return shape


class _Info(BaseModel):
    model_config = ConfigDict(extra="allow")
    codebase_version: str
    fps: float = Field(gt=0, le=1000)
    features: dict[str, _Feature]
    robot_type: str | None = None
    data_path: str | None = Field(default=None, max_length=1000)
    video_path: str | None = Field(default=None, max_length=1000)


def read_info(root: Path, version: str = VERSION) -> dict[str, Any]:
    """The content of info.json.

    Args:
        root: The dataset's folder.
        version: Of the format.

    Raises:
        DataError: There is none, it is damaged, or of another version of the format.
    """
    path = root / "meta" / "info.json"
    if not path.is_file():
        unfinished = (root / ".staging").is_dir()
        raise DataError(
            f"no dataset at {root}: {path} is missing",
            remedy="run the interrupted recording again, or the import: it goes on where it stopped"
            if unfinished
            else "check the path, or record a dataset there with 'amplify record metaworld'",
        )
    info = read_json(path)
    found = info.get("codebase_version") if isinstance(info, dict) else None
    if isinstance(found, str) and found != version:
        raise DataError(
            f"dataset of another format version: {root}",
            got=found,
            allowed=version,
            remedy=f"convert it: amplify import lerobot {root} --out FOLDER",
        )
    try:
        _Info.model_validate(info)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise DataError(
            f"damaged file: {path}", got=f"{where}: {first['msg']}"[:300], remedy="copy or record the dataset again"
        ) from error
    return info


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        DataError: It is missing, damaged, or larger than any such file.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"absurd file: {path}", got=f"{path.stat().st_size} bytes", allowed=f"{MAX_BYTES} bytes")
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"damaged file: {path}", got=repr(error), remedy="copy or record the dataset again") from error


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a file with one JSON object a line.

    Raises:
        DataError: It is missing or damaged.
    """
    try:
        with path.open(encoding="utf-8") as file:
            rows = [json.loads(line) for line in file if line.strip()]
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"damaged file: {path}", got=repr(error)[:300], remedy="copy the dataset again") from error
    if not all(isinstance(row, dict) for row in rows):
        raise DataError(f"damaged file: {path}", got="a line that is no object", remedy="copy the dataset again")
    return rows


def spec_of(info: dict[str, Any], root: Path) -> DatasetSpec:
    """The spec that info.json describes.

    Raises:
        DataError: The dataset has no images, or a frame rate that is no whole number.
    """
    features = info["features"]
    cameras = {
        key.removeprefix(IMAGES): image_size(feature)
        for key, feature in features.items()
        if feature["dtype"] in ("video", "image") and not is_depth(feature)
    }
    if not cameras:
        raise DataError(f"no images in the dataset {root}", remedy="record or import one that has a camera")
    if info["fps"] != round(info["fps"]):
        raise DataError(f"frame rate of {root} is no whole number", got=info["fps"], remedy="record it at a whole one")
    return DatasetSpec.of_sizes(
        cameras,
        fps=round(info["fps"]),
        proprio_names=feature_names(features.get(STATE)),
        action_names=feature_names(features.get(ACTION)),
        robot_type=info.get("robot_type") or "unknown",
    )


def image_size(feature: Mapping[str, Any]) -> tuple[int, int]:
    """Width and height of an image or video feature, whichever order its axes have."""
    shape, names = feature["shape"], feature.get("names")
    first = names[0] if isinstance(names, list) and names else None
    if len(shape) == 3 and (str(first).startswith("channel") or (shape[0] in (1, 3, 4) and shape[2] > 4)):
        return shape[2], shape[1]
    if len(shape) < 2:
        raise DataError("an image feature without a height and a width", got=shape, allowed="[height, width, channels]")
    return shape[1], shape[0]


def is_depth(feature: Mapping[str, Any]) -> bool:
    """Whether an image feature shows distances, not colours."""
    info = feature.get("info")
    return isinstance(info, dict) and bool(info.get("video.is_depth_map") or info.get("is_depth_map"))


def video_key(info: dict[str, Any], camera: str) -> str:
    """The image feature of a camera; datasets written elsewhere may leave the prefix out."""
    return IMAGES + camera if IMAGES + camera in info["features"] else camera


def feature_names(feature: Mapping[str, Any] | None) -> tuple[str, ...] | None:
    """A name for each dimension of a vector, its own where it has them."""
    if feature is None:
        return None
    names, size = feature.get("names"), math.prod(feature["shape"])
    if isinstance(names, dict):  # older writers group the names, as in {"motors": [...]}
        names = [name for group in names.values() if isinstance(group, list) for name in group]
    named = names if isinstance(names, list) and len(names) == size else range(size)
    return tuple(str(name) for name in named)


def path_in(root: Path, template: str, fields: Mapping[str, str | int]) -> Path:
    """A file of a dataset.

    Args:
        root: The dataset's folder, which the file must lie in.
        template: As in info.json: a path with ``{name}`` or ``{name:03d}``.
        fields: What the names stand for.

    Raises:
        DataError: The template asks for something else, or the path leaves the folder.
    """

    def filled(part: re.Match[str]) -> str:
        name, digits = part[1], part[2]
        if name not in fields:
            raise DataError("a path with unknown parts in info.json", got=template, allowed=", ".join(fields))
        return str(fields[name]).zfill(int(digits or 0))

    relative = re.sub(r"\{(\w+)(?::0?(\d)d)?\}", filled, template)
    if "{" in relative or "\0" in relative:
        raise DataError("a path in info.json that cannot be read", got=template, allowed="names in braces: {name:03d}")
    return confined(root, root / relative)


def confined(root: Path, path: Path) -> Path:
    """The path, if it lies in the folder when all links are followed.

    In a hub's cache files are links from a snapshot to blobs beside it: there the folder is the repository's.

    Raises:
        DataError: It leads out of the folder.
    """
    base = root.resolve()
    if base.parent.name == "snapshots":
        base = base.parent.parent
    try:
        inside = path.resolve().is_relative_to(base)
    except (OSError, RuntimeError, ValueError) as error:
        raise DataError(f"a path that cannot be followed: {str(path)[:300]}", got=str(error)[:300]) from error
    if not inside:
        raise DataError(
            f"a path that leaves the folder {root}",
            got=str(path)[:300],
            allowed="files within the folder",
            remedy="copy the files into the folder",
        )
    return path
