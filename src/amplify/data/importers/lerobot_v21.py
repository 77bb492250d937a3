"""LeRobotDataset v2.0 and v2.1, the layout before v3: one parquet file and one mp4 a camera an episode.

Source: the LeRobotDataset v2.1 layout, https://github.com/huggingface/lerobot
"""

from pathlib import Path
from typing import Any

from amplify.data.dataset import Dataset, EpisodeInfo, Problem
from amplify.data.health import Place, examine, reason_of
from amplify.data.info import path_in, read_info, read_lines, spec_of, video_key
from amplify.data.layout import DatasetSpec
from amplify.errors import DataError

VERSIONS = ("v2.0", "v2.1")
CHUNK = 1000
DATA_PATH = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
VIDEO_PATH = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"


def open_v21(root: Path, version: str, *, columns: bool = True) -> Dataset:
    """The dataset, its episodes checked as those of v3 are.

    Args:
        root: Its folder.
        version: One of `VERSIONS`.
        columns: Whether to check proprioception and actions too.

    Raises:
        DataError: It is damaged, or has no usable episode.
    """
    info = read_info(root, version)
    spec = spec_of(info, root)
    sentences = _sentences(root)
    places: dict[int, Place] = {}
    reasons: dict[int, str] = {}
    told: dict[int, str] = {}
    for row in read_lines(root / "meta" / "episodes.jsonl"):
        index = row.get("episode_index")
        if not isinstance(index, int) or index < 0:
            raise DataError(f"an episode without a number in {root / 'meta' / 'episodes.jsonl'}", got=str(row)[:200])
        try:
            if index in places or index in reasons:
                raise DataError(f"several episodes have the number {index}")
            places[index], told[index] = _place(root, info, spec, index, row), _sentence(row, sentences)
        except DataError as error:
            places.pop(index, None)
            reasons[index] = reason_of(error)
    reasons |= examine(places, spec if columns else None)
    usable = sorted(set(places) - set(reasons))
    problems = tuple(Problem(episode_index=index, reason=reason) for index, reason in sorted(reasons.items()))
    if not usable:
        got = "; ".join(f"episode {problem.episode_index}: {problem.reason}" for problem in problems[:5])
        raise DataError(f"no episode of {root} can be used", got=got or "no episodes", remedy="copy the dataset again")
    episodes = tuple(EpisodeInfo(index=i, length=places[i].length, instruction=told[i]) for i in usable)
    return Dataset(root, spec, episodes, problems, {index: places[index] for index in usable})


def _place(root: Path, info: dict[str, Any], spec: DatasetSpec, index: int, row: dict[str, Any]) -> Place:
    length = row.get("length")
    if not isinstance(length, int) or length < 1:
        raise DataError(f"episode {index} has no frames", got=length)
    chunk = info.get("chunks_size")
    at = {"episode_chunk": index // (chunk if isinstance(chunk, int) and chunk > 0 else CHUNK), "episode_index": index}
    videos: dict[str, tuple[Path, int]] = {}
    images: dict[str, str] = {}
    for camera in spec.cameras:
        key = video_key(info, camera)
        if info["features"][key]["dtype"] == "image":
            images[camera] = key
        else:
            videos[camera] = path_in(root, info.get("video_path") or VIDEO_PATH, {"video_key": key, **at}), 0
    return Place(
        length=length, data=path_in(root, info.get("data_path") or DATA_PATH, at), videos=videos, images=images
    )


def _sentences(root: Path) -> dict[int, str]:
    path = root / "meta" / "tasks.jsonl"
    rows = read_lines(path) if path.is_file() else []
    return {row["task_index"]: str(row.get("task", "")) for row in rows if isinstance(row.get("task_index"), int)}


def _sentence(row: dict[str, Any], sentences: dict[int, str]) -> str:
    """The first task that the episode names; older writers name it by its number."""
    tasks = row.get("tasks")
    first = tasks[0] if isinstance(tasks, list) and tasks else None
    if isinstance(first, int):
        if first not in sentences:
            raise DataError(f"the task with the number {first} is not in meta/tasks.jsonl")
        return sentences[first]
    return first if isinstance(first, str) else ""
