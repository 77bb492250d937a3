"""Small video datasets in which something moves, with sidecars of a fake encoder and exact tracks."""

from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch

from amplify.data.dataset import Dataset, DatasetSpec, DatasetWriter, Episode
from amplify.data.extract import encode_dataset, track_dataset
from amplify.types import TrackWindow

LENGTH = 10
GRID, HORIZON = 2, 6
TRACKS, FEATURES, TEXT = "tracks-drift-2x2-h6", "features-levels", "text-hash"


class Drift:
    """Every point moves right, faster in brighter videos."""

    name, version = "drift", "1"
    settings = MappingProxyType({"speed": 0.05})

    def track(self, clip, queries, *, horizon):
        t = len(clip.frames)
        step = torch.arange(horizon)[:, None, None] * torch.tensor([0.02 + clip.frames.mean() / 2000, 0.0])
        points = (queries + step).expand(t, 1, horizon, len(queries), 2).contiguous().float()
        ends = torch.arange(t)[:, None] + torch.arange(horizon) < t
        visible = torch.ones(points.shape[:-1], dtype=torch.bool)
        return TrackWindow(points=points, visible=visible, valid=ends[:, None])


class Levels:
    """Grey levels of the image's quarters."""

    name, version, patches, width = "levels", "1", 4, 3
    settings = MappingProxyType({"scale": 255})

    def encode(self, images):
        h, w = images.shape[-3] // 2, images.shape[-2] // 2
        x = images.float() / 255
        quarters = [x[..., i * h : (i + 1) * h, j * w : (j + 1) * w, :].mean((-3, -2)) for i in (0, 1) for j in (0, 1)]
        return torch.stack(quarters, dim=-2)


class Hash:
    """A sentence's length and first letter."""

    name, version, tokens, width = "hash", "1", 1, 2
    settings = MappingProxyType({"seed": 0})

    def encode(self, sentences):
        return torch.tensor([[[len(s) / 10.0, ord(s[0]) / 100.0]] for s in sentences])


def write(root: Path, *, actions: bool, episodes: int = 3, first: int = 0) -> Path:
    spec = DatasetSpec(
        fps=10,
        cameras=("front",),
        width=32,
        height=32,
        proprio_names=("x", "y") if actions else None,
        action_names=("dx",) if actions else None,
        robot_type="arm",
    )
    writer = DatasetWriter(root, spec)
    for number in range(first, first + episodes):
        generator = np.random.default_rng(number)
        level = 60 + 30 * number
        episode = Episode(
            instruction=("open", "shut it")[number % 2],
            frames={"front": np.full((LENGTH, 32, 32, 3), level, dtype=np.uint8)},
            proprio=generator.normal(size=(LENGTH, 2)).astype(np.float32) if actions else None,
            actions=generator.uniform(-1, 1, size=(LENGTH, 1)).astype(np.float32) if actions else None,
            scene=None,
            info={"task": "toy", "seed": number},
        )
        writer.write_episode(f"e{number}", episode)
    writer.finalize([f"e{number}" for number in range(first, first + episodes)])
    dataset = Dataset.open(root)
    track_dataset(dataset, Drift(), grid=GRID, horizon=HORIZON, workers=0)
    encode_dataset(dataset, Levels(), Hash(), workers=0)
    return root
