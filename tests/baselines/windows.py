"""Windows in which the instruction says which way the points of the left half go."""

import torch

from amplify.coords import EVALUATION_SIZE_PX, displacements_from_pixels
from amplify.types import Features, TrackWindow

SIZES = {"vision_width": 6, "patches": 4, "views": 1, "text_width": 5, "steps": 5}


def make_windows(count: int = 4, seed: int = 0) -> tuple[Features, TrackWindow]:
    """Straight paths of 1 … 4 px a step, right or left; the right half rests."""
    generator = torch.Generator().manual_seed(seed)
    features = Features(
        vision=torch.randn(count, 1, 4, 6, generator=generator), text=torch.randn(count, 1, 5, generator=generator)
    )
    x, y = torch.meshgrid(torch.linspace(-0.9, 0.9, 6), torch.linspace(-0.9, 0.9, 6), indexing="xy")
    start = torch.stack((x, y), dim=-1).flatten(0, 1)  # (n, 2)
    speed_px = torch.linspace(-4, 4, count)[:, None, None, None, None] * torch.tensor([1.0, 0.5])
    moves = (start[:, 0] < 0).float()[:, None]
    steps = torch.arange(6.0)[:, None, None]
    points = start + displacements_from_pixels(speed_px * moves * steps, EVALUATION_SIZE_PX)
    visible = torch.ones(points.shape[:-1], dtype=torch.bool)
    return features, TrackWindow(points=points, visible=visible, valid=visible[..., 0])


def train(model, features, tracks, *, steps: int, rate: float = 3e-3) -> None:
    """Fits a track model to the windows and leaves it in evaluation mode."""
    model.fit_statistics(tracks)
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate)
    for step in range(steps):
        loss, _ = model.loss(features, tracks, torch.Generator().manual_seed(step))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.eval()
