"""Small datasets with known content."""

from pathlib import Path

import numpy as np
import torch

from amplify.data.dataset import Dataset, DatasetSpec, DatasetWriter, Episode
from amplify.types import CameraPose, SceneStates

LENGTHS = (6, 9, 5, 7)
VIDEO_SPEC = DatasetSpec(fps=10, cameras=("front", "wrist"), width=48, height=32, robot_type="arm")
SPEC = VIDEO_SPEC.model_copy(update={"proprio_names": ("x", "y", "z"), "action_names": ("dx", "grip")})


def frames(number: int, camera: int, length: int, height: int = 32, width: int = 48) -> np.ndarray:
    """Flat pictures whose grey level tells episode, camera and frame."""
    levels = 20 + 40 * number + 20 * camera + 2 * np.arange(length)
    return np.broadcast_to(levels[:, None, None, None], (length, height, width, 3)).astype(np.uint8)


def scene_states(length: int) -> SceneStates:
    turned = torch.eye(3).expand(length, 3, 3).contiguous()
    pose = CameraPose(
        position=torch.rand(length, 3), rotation=turned, fovy_deg=torch.full((length,), 50.0), turned=True
    )
    return SceneStates(
        simulator="toy",
        scene="table",
        body_position=torch.rand(length, 4, 3),
        body_quaternion=torch.rand(length, 4, 4),
        cameras={"front": pose},
    )


def episode(number: int, spec: DatasetSpec = SPEC, *, scene: bool = False) -> Episode:
    length = LENGTHS[number % len(LENGTHS)]
    rng = np.random.default_rng(number)

    def columns(names):
        return None if names is None else rng.normal(size=(length, len(names))).astype(np.float32)

    return Episode(
        instruction=("open the drawer", "close the window")[number % 2],
        frames={c: frames(number, i, length, spec.height, spec.width) for i, c in enumerate(spec.cameras)},
        proprio=columns(spec.proprio_names),
        actions=columns(spec.action_names),
        scene=scene_states(length) if scene else None,
        info={"task": "drawer-open", "seed": number, "noise": 0.2},
    )


def write(root: Path, spec: DatasetSpec = SPEC, count: int = 4, *, scene: bool = False) -> Path:
    writer = DatasetWriter(root, spec)
    for number in range(count):
        writer.write_episode(f"ep-{number}", episode(number, spec, scene=scene))
    writer.finalize([f"ep-{number}" for number in range(count)])
    return root


def dataset(root: Path, spec: DatasetSpec = SPEC, count: int = 4) -> Dataset:
    return Dataset.open(write(root, spec, count))
