"""Datasets for inspections: a square that moves over a pattern, and everything that can be wrong with that."""

from pathlib import Path

import numpy as np
import torch

from amplify.data.dataset import Dataset, DatasetSpec, DatasetWriter, Episode
from amplify.data.extract import track_dataset
from amplify.errors import DataError
from amplify.types import TrackWindow

SPEC = DatasetSpec(
    fps=10, cameras=("front",), width=96, height=64, proprio_names=("x", "y", "grip"), action_names=("dx", "dy")
)
LENGTH = 24
TASKS = ("push the block", "lift the cup")


def recording(number: int, spec: DatasetSpec = SPEC, length: int = LENGTH) -> dict:
    rng = np.random.default_rng(number)
    t = np.arange(length)
    x = 4 + 2 * t + number
    frames = {}
    for camera in spec.cameras:
        width, height = spec.size(camera)
        pattern = rng.integers(40, 200, (height // 8, width // 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)
        frames[camera] = np.broadcast_to(pattern, (length, *pattern.shape)).copy()
        for frame, left in zip(frames[camera], x):
            frame[20:36, left % (width - 16) : left % (width - 16) + 16] = (230, 30, 30)
    proprio = np.stack([x / 50, np.sin(t / 5 + number), t > length // 2], axis=1).astype(np.float32)
    actions = rng.normal(size=(length, 2)).astype(np.float32)
    return {"instruction": TASKS[number % 2], "frames": frames, "proprio": proprio, "actions": actions}


def write(root: Path, recordings: list[dict], spec: DatasetSpec = SPEC) -> Path:
    writer = DatasetWriter(root, spec)
    keys = [f"ep-{number:03d}" for number in range(len(recordings))]
    for key, one in zip(keys, recordings):
        writer.write_episode(key, Episode(**one))
    writer.finalize(keys)
    return root


def track(root: Path, tracker, *, grid: int = 5, horizon: int = 8) -> str:
    return track_dataset(Dataset.open(root), tracker, grid=grid, horizon=horizon, workers=0)["sidecar"]


class Pan:
    """Says that every point goes right by so much a frame, as if the camera turned."""

    name = "pan"
    version = "1"

    def __init__(self, step_px=1.0, *, error_px=0.0, refuse_length=None):
        self.step_px, self.error_px, self.refuse_length = step_px, error_px, refuse_length

    @property
    def settings(self):
        return {"step_px": self.step_px}

    def track(self, clip, queries, *, horizon):
        frames = len(clip.frames)
        if frames == self.refuse_length:
            raise DataError(f"cannot follow {frames} frames")
        ages = torch.minimum(torch.arange(horizon), frames - 1 - torch.arange(frames)[:, None])
        points = queries.expand(frames, 1, horizon, -1, 2).clone()
        points[..., 0] += self.step_px * 2 / 128 * ages[:, None, :, None]
        valid = torch.arange(frames)[:, None] + torch.arange(horizon) < frames
        return TrackWindow(
            points=points,
            visible=valid[:, None, :, None].expand(points.shape[:-1]).clone(),
            valid=valid[:, None],
            error_px=torch.full(points.shape[:-1], float(self.error_px)),
        )
