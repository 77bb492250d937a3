"""The folder of a LeRobotDataset v3: where files lie, how a table of features describes them, what a spec is.

Source: the LeRobotDataset v3.0 format, https://huggingface.co/docs/lerobot/lerobot-dataset-v3
"""

from typing import Any

from pydantic import field_validator, model_validator

from amplify.config import Config

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
REPORT_PATH = "meta/amplify/report.json"
"""How an imported dataset came about: settings, and what was set aside."""

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
        sizes: (width, height) of each camera's frames, where they differ.
    """

    fps: int
    cameras: tuple[str, ...]
    width: int
    height: int
    proprio_names: tuple[str, ...] | None = None
    action_names: tuple[str, ...] | None = None
    robot_type: str = "unknown"
    sizes: tuple[tuple[int, int], ...] | None = None

    @field_validator("cameras")
    @classmethod
    def _some_camera(cls, cameras: tuple[str, ...]) -> tuple[str, ...]:
        if not cameras or len(set(cameras)) < len(cameras):
            raise ValueError(f"cameras must be distinct names, at least one; got {cameras}")
        return cameras

    @model_validator(mode="after")
    def _a_size_a_camera(self) -> "DatasetSpec":
        first = (self.width, self.height)
        if self.sizes is not None and (
            len(self.sizes) != len(self.cameras) or self.sizes[0] != first or len(set(self.sizes)) < 2
        ):
            raise ValueError(f"sizes are one a camera, the first {first}, or None if all are equal")
        return self

    @classmethod
    def of_sizes(cls, sizes: dict[str, tuple[int, int]], **settings: Any) -> "DatasetSpec":
        """A spec of cameras with their (width, height), whether these are equal or not."""
        (width, height), *others = sizes.values()
        listed = tuple(sizes.values()) if any(size != (width, height) for size in others) else None
        return cls(cameras=tuple(sizes), width=width, height=height, sizes=listed, **settings)

    def size(self, camera: str) -> tuple[int, int]:
        """Width and height of a camera's frames, in pixels."""
        return (self.width, self.height) if self.sizes is None else self.sizes[self.cameras.index(camera)]


def features_of(spec: DatasetSpec) -> dict[str, dict[str, Any]]:
    """The ``features`` table of info.json."""
    table: dict[str, dict[str, Any]] = {}
    for camera in spec.cameras:
        width, height = spec.size(camera)
        table[IMAGES + camera] = {
            "dtype": "video",
            "shape": [height, width, 3],
            "names": ["height", "width", "channels"],
            "info": {
                "video.height": height,
                "video.width": width,
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
