"""Runs inside the environment of the real lerobot: it reads a dataset, or samples of one for training, or writes one.

Each line of its input is ``read ROOT``, ``samples ROOT`` or ``write ROOT``; each line of its output is the answer as
JSON. torchvision's compiled operators belong to another build of torch than the small one that is installed: they are
not needed, but their names must exist before it is imported. Videos are decoded by torchcodec, which lerobot prefers,
with the FFmpeg of the system.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

library = torch.library.Library("torchvision", "DEF")
for name in ("nms", "qnms"):
    library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

from lerobot.datasets.lerobot_dataset import LeRobotDataset  # noqa: E402

REPO = "local/dataset"


def colours(pictures: torch.Tensor) -> list:
    """Levels in 0..255 in the middle of the four quarters of pictures, channels last."""
    height, width = pictures.shape[-2:]
    middles = pictures[..., height // 4 :: height // 2, width // 4 :: width // 2]
    return (255 * middles).movedim(-3, -1).tolist()


def read(root: Path) -> dict:
    dataset = LeRobotDataset(REPO, root=root, video_backend="torchcodec")
    cameras = list(dataset.meta.camera_keys)
    rows = []
    for index in range(len(dataset)):
        item = dataset[index]
        row = {key: item[key].tolist() for key in ("episode_index", "frame_index", "timestamp")}
        row |= {key: item[key].tolist() for key in ("action", "observation.state") if key in item}
        row |= {"task": item["task"], "levels": {key: colours(item[key]) for key in cameras}}
        rows.append(row)
    stats = {key: {name: value.tolist() for name, value in found.items()} for key, found in dataset.meta.stats.items()}
    return {"fps": dataset.fps, "episodes": dataset.num_episodes, "cameras": cameras, "rows": rows, "stats": stats}


def samples(root: Path) -> list[dict]:
    """What a policy trains on: the picture before and now, three actions from now on, of the episodes 1 and 3 only."""
    fps = LeRobotDataset(REPO, root=root, video_backend="torchcodec").fps
    times_s = {"observation.images.wrist": [-1 / fps, 0], "action": [0, 1 / fps, 2 / fps]}
    dataset = LeRobotDataset(REPO, root=root, episodes=[1, 3], delta_timestamps=times_s, video_backend="torchcodec")
    found = []
    for index in range(len(dataset)):
        item = dataset[index]
        row = {key: item[key].tolist() for key in ("episode_index", "frame_index", "action", "action_is_pad")}
        found.append(row | {"levels": colours(item["observation.images.wrist"])})
    return found


def write(root: Path) -> None:
    features = {
        "observation.images.front": {"dtype": "video", "shape": (64, 96, 3), "names": ["height", "width", "channels"]},
        "observation.state": {"dtype": "float32", "shape": (2,), "names": ["x", "y"]},
        "action": {"dtype": "float32", "shape": (2,), "names": ["dx", "dy"]},
    }
    dataset = LeRobotDataset.create(REPO, fps=10, root=root, features=features, video_backend="torchcodec")
    for episode in range(3):
        for t in range(5 + episode):
            frame = {
                "observation.images.front": np.full((64, 96, 3), 30 + 60 * episode + 5 * t, dtype=np.uint8),
                "observation.state": np.array([episode, t], dtype=np.float32),
                "action": np.array([t, -episode], dtype=np.float32),
                "task": ("open the drawer", "close the window")[episode % 2],
            }
            dataset.add_frame(frame)
        dataset.save_episode()
    dataset.finalize()


if __name__ == "__main__":
    for line in sys.stdin:
        command, root = line.rstrip("\n").split(" ", 1)
        answer = {"read": read, "samples": samples, "write": write}[command](Path(root))
        print(json.dumps(answer), flush=True)
