"""The folder of a LeRobotDataset v3: where files lie, how a table of features describes them, what a spec is.

Source: the LeRobotDataset v3.0 format, https://huggingface.co/docs/lerobot/lerobot-dataset-v3
"""

import json
from pathlib import Path
from typing import Any

from pydantic import field_validator

from amplify.config import Config
from amplify.errors import DataError

VERSION = "v3.0"
CHUNK = 1000
"""Files a chunk folder."""

IMAGES = "observation.images."
STATE = "observation.state"
ACTION = "action"
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
EPISODES_PATH = "meta/episodes/chunk-000/file-000.parquet"
NOTES_PATH = "meta/amplify/episodes.jsonl"
"""One line an episode: the key and info of its recording, which other readers of the format do not know."""

INDEX_FEATURES = ("timestamp", "frame_index", "episode_index", "index", "task_index")


class DatasetSpec(Config):
    """What every episode of a dataset has.

    Args:
        fps: Frames per second.
        cameras: Names; the video feature of one is ``observation.images.<name>``.
        width: Of the first camera's frames, in pixels.
        height: Of the first camera's frames, in pixels.
        proprio_names: Names of the proprioception's dimensions; None where there is none.
        action_names: Names of the action's dimensions; None for action-free video.
        robot_type: What acts.
    """

    fps: int
    cameras: tuple[str, ...]
    width: int
    height: int
    proprio_names: tuple[str, ...] | None = None
    action_names: tuple[str, ...] | None = None
    robot_type: str = "unknown"

    @field_validator("cameras")
    @classmethod
    def _some_camera(cls, cameras: tuple[str, ...]) -> tuple[str, ...]:
        if not cameras or len(set(cameras)) < len(cameras):
            raise ValueError(f"cameras must be distinct names, at least one; got {cameras}")
        return cameras


def features_of(spec: DatasetSpec) -> dict[str, dict[str, Any]]:
    """The ``features`` table of info.json."""
    table: dict[str, dict[str, Any]] = {}
    for camera in spec.cameras:
        table[IMAGES + camera] = {
            "dtype": "video",
            "shape": [spec.height, spec.width, 3],
            "names": ["height", "width", "channels"],
            "info": {
                "video.height": spec.height,
                "video.width": spec.width,
                "video.codec": "h264",
                "video.pix_fmt": "yuv420p",
                "video.is_depth_map": False,
                "video.fps": spec.fps,
                "video.channels": 3,
                "has_audio": False,
            },
        }
    for key, names in ((STATE, spec.proprio_names), (ACTION, spec.action_names)):
        if names is not None:
            table[key] = {"dtype": "float32", "shape": [len(names)], "names": list(names)}
    for key in INDEX_FEATURES:
        table[key] = {"dtype": "float32" if key == "timestamp" else "int64", "shape": [1], "names": None}
    return table


def info_of(spec: DatasetSpec, *, lengths: list[int], tasks: int) -> dict[str, Any]:
    """The content of info.json.

    Args:
        spec: What every episode has.
        lengths: Frames of each episode.
        tasks: Number of different instructions.
    """
    return {
        "codebase_version": VERSION,
        "robot_type": spec.robot_type,
        "total_episodes": len(lengths),
        "total_frames": sum(lengths),
        "total_tasks": tasks,
        "chunks_size": CHUNK,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "fps": spec.fps,
        "splits": {"train": f"0:{len(lengths)}"},
        "data_path": DATA_PATH,
        "video_path": VIDEO_PATH,
        "features": features_of(spec),
    }


def read_info(root: Path) -> dict[str, Any]:
    """The content of info.json.

    Raises:
        DataError: There is none, it is damaged, or of another version of the format.
    """
    path = root / "meta" / "info.json"
    if not path.is_file():
        unfinished = (root / ".staging").is_dir()
        raise DataError(
            f"no dataset at {root}: {path} is missing",
            remedy="run the interrupted recording again, it goes on where it stopped"
            if unfinished
            else "check the path, or record a dataset there with 'amplify record metaworld'",
        )
    try:
        info = json.loads(path.read_text())
        version, _ = info["codebase_version"], info["features"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"damaged file: {path}", got=repr(error), remedy="copy or record the dataset again") from error
    if version != VERSION:
        raise DataError(
            f"dataset of another format version: {root}",
            got=version,
            allowed=VERSION,
            remedy="convert it with lerobot's script 'convert_dataset_v21_to_v30'",
        )
    return info


def spec_of(info: dict[str, Any], root: Path) -> DatasetSpec:
    """The spec that info.json describes.

    Raises:
        DataError: The dataset has no video.
    """
    features = info["features"]
    cameras = [key for key, feature in features.items() if feature["dtype"] == "video"]
    if not cameras:
        stored = [key for key, feature in features.items() if feature["dtype"] == "image"]
        raise DataError(
            f"no video in the dataset {root}",
            got=f"images stored one by one: {', '.join(stored)}" if stored else None,
            remedy="re-encode the images as videos with lerobot's dataset tools",
        )
    height, width = features[cameras[0]]["shape"][:2]
    return DatasetSpec(
        fps=info["fps"],
        cameras=tuple(key.removeprefix(IMAGES) for key in cameras),
        width=width,
        height=height,
        proprio_names=_names(features.get(STATE)),
        action_names=_names(features.get(ACTION)),
        robot_type=info.get("robot_type") or "unknown",
    )


def video_key(info: dict[str, Any], camera: str) -> str:
    """The video feature of a camera; datasets written elsewhere may leave the prefix out."""
    return IMAGES + camera if IMAGES + camera in info["features"] else camera


def _names(feature: dict[str, Any] | None) -> tuple[str, ...] | None:
    if feature is None:
        return None
    names, size = feature.get("names"), feature["shape"][0]
    if isinstance(names, dict):  # older writers group the names, as in {"motors": [...]}
        names = [name for group in names.values() for name in group]
    return tuple(map(str, names)) if names and len(names) == size else tuple(f"{i}" for i in range(size))
