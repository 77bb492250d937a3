from collections.abc import Callable

import pytest
import torch

from amplify.types import TrackWindow


@pytest.fixture
def make_window() -> Callable[..., TrackWindow]:
    """Windows in which a quarter of the points move together, a few pixels a step."""

    def make(batch=4, views=1, steps=15, points=16, seed=0, error=False):
        generator = torch.Generator().manual_seed(seed)
        start = torch.rand(1, views, 1, points, 2, generator=generator) * 1.6 - 0.8
        # Up to three pixels of 128 a step.
        drift = (torch.rand(batch, views, steps, 1, 2, generator=generator) - 0.5) * 6 / 64
        moving = (torch.arange(points) % 4 == 0)[:, None]
        path = (drift * moving).cumsum(dim=2)
        trajectory = torch.cat((start.expand(batch, -1, -1, -1, -1), start + path), dim=2)
        known = torch.ones(batch, views, steps + 1, points, dtype=torch.bool)
        error_px = torch.rand(batch, views, steps + 1, points, generator=generator) * 3 if error else None
        return TrackWindow(points=trajectory, visible=known, valid=known[..., 0], error_px=error_px)

    return make
