import logging

import pytest
import torch

from amplify.tokens import MotionTokenizer, TokenizerConfig
from amplify.tokens.clipping import clipping
from amplify.types import TrackWindow


def panning(px_per_step: float, moving: int = 20) -> TrackWindow:
    """Twenty points, of which some move to the right."""
    start = torch.rand(1, 1, 1, 20, 2, generator=torch.Generator().manual_seed(0)) - 0.5
    way = torch.arange(6)[:, None] * (torch.arange(20) < moving) * px_per_step / 64
    path = start + torch.stack((way, torch.zeros_like(way)), dim=-1)
    known = torch.ones(path.shape[:-1], dtype=torch.bool)
    return TrackWindow(points=path, visible=known, valid=known[..., 0])


def config(**changes) -> TokenizerConfig:
    return TokenizerConfig.tiny(**{"views": 1, "points": 20, "steps": 5, **changes})


def test_shares_and_the_largest_displacement():
    report = clipping(panning(25.0, moving=5), config())
    assert report.share == pytest.approx(0.25)
    assert report.moving_share == pytest.approx(1.0)
    assert report.largest_px == pytest.approx(25.0, abs=1e-3)
    assert clipping(panning(7.0), config()).share == 0
    assert clipping(panning(0.0), config()).moving_share == 0


def test_what_a_wider_window_a_coarser_frame_and_a_removed_camera_change():
    window = panning(25.0)
    assert clipping(window, config(window_spacing="log")).share == 0
    assert clipping(window, config(window_spacing="log", window_reach_px=20.0)).share == 1
    assert clipping(window, config(frame_px=32)).largest_px == pytest.approx(6.25, abs=1e-3)
    assert clipping(window, config(camera_motion="removed")).largest_px < 0.1


def test_motion_beyond_the_window_is_warned_of_before_training(caplog):
    with caplog.at_level(logging.WARNING, logger="amplify"):
        MotionTokenizer(config()).fit_statistics(panning(5.0))
        MotionTokenizer(config(window_spacing="log")).fit_statistics(panning(25.0))
        assert not caplog.records
        MotionTokenizer(config()).fit_statistics(panning(25.0, moving=2))
    assert "100.0 % of the steps that move lie beyond the local window (up to 25 px" in caplog.text
