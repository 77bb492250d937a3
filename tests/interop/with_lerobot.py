"""Runs inside the environment of the real lerobot: ``read ROOT`` prints what it sees, ``write ROOT`` writes a dataset.

torchvision's compiled operators belong to another build of torch than the small one that is installed: they are not
needed, but their names must exist before it is imported.
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


def read(root: Path) -> None:
    dataset = LeRobotDataset(REPO, root=root, video_backend="torchcodec")
    cameras = list(dataset.meta.camera_keys)
    rows = []
    for index in range(len(dataset)):
        item = dataset[index]
        row = {key: item[key].tolist() for key in ("episode_index", "frame_index", "timestamp")}
        row |= {key: item[key].tolist() for key in ("action", "observation.state") if key in item}
        row |= {"task": item["task"], "levels": {key: 255 * item[key].mean(dim=(1, 2)).double() for key in cameras}}
        row["levels"] = {key: value.tolist() for key, value in row["levels"].items()}
        rows.append(row)
    print(json.dumps({"fps": dataset.fps, "episodes": dataset.num_episodes, "rows": rows}))


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
    {"read": read, "write": write}[sys.argv[1]](Path(sys.argv[2]))
