from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError

from amplify.baselines.points import PointsConfig, choose_paths, groups_of, paths_px, spread_px, tracks_from_paths
from baselines.windows import make_windows

CONFIG = PointsConfig(width=16, heads=2, layers=1, points=12)


def test_paths_and_tracks_are_inverse():
    _, tracks = make_windows()
    again = tracks_from_paths(tracks.points[:, :, 0], paths_px(tracks.points))
    assert torch.allclose(again.points, tracks.points, atol=1e-6)


def test_path_is_the_displacement_from_the_query_frame_in_pixels():
    _, tracks = make_windows()
    path = paths_px(tracks.points)
    assert path.shape == (4, 1, 36, 5, 2)
    assert torch.allclose(path[3, 0, 0], torch.tensor([4.0, 2.0]) * torch.arange(1.0, 6)[:, None], atol=1e-4)


@pytest.mark.parametrize("count", [1, 5, 32, 36, 100])
def test_groups_hold_every_point_once(count):
    config = PointsConfig(points=32)
    groups = groups_of(count, config)
    assert torch.cat(groups).sort().values.tolist() == list(range(count))
    assert max(map(len, groups)) - min(map(len, groups)) <= 1
    assert all(torch.equal(a, b) for a, b in zip(groups, groups_of(count, config)))
    assert len(groups) == max(1, round(count / 32))
    assert len(groups_of(count, PointsConfig(points=32, points_attend=False))) == 1


def test_half_of_the_points_move():
    _, tracks = make_windows()
    tracks = replace(tracks, points=torch.where(torch.arange(36)[:, None] < 8, tracks.points, tracks.points[:, :, :1]))
    still = choose_paths(tracks, CONFIG, torch.Generator().manual_seed(0))
    moving = (still.path_px[..., -1, :].norm(dim=-1) > 0).sum(dim=-1)
    assert (moving >= 4).all()  # 4 of the first 8 points are in the left half
    assert still.queries.shape == (4, 1, 12, 2)


def test_unknown_steps_have_no_weight_and_the_tracker_is_trusted_where_it_agrees():
    _, tracks = make_windows()
    visible = tracks.visible.clone()
    visible[0, :, 2] = False
    valid = tracks.valid.clone()
    valid[1, :, 3:] = False
    error_px = torch.zeros(tracks.visible.shape)
    error_px[2, :, 4:] = 5.0
    hidden = replace(tracks, visible=visible, valid=valid, error_px=error_px)
    weight = choose_paths(hidden, CONFIG, torch.Generator().manual_seed(0)).weight
    full = weight[3, 0, 0, 0]
    assert torch.allclose(weight[0, 0, 0], full * torch.tensor([1.0, 0, 0, 1, 1]))
    assert torch.allclose(weight[1, 0, 0], full * torch.tensor([1.0, 1, 0, 0, 0]))
    assert torch.allclose(weight[2, 0, 0], full * torch.tensor([1.0, 1, 1, 0.1, 0.1]))
    assert weight.sum() == pytest.approx(1)


def test_the_unit_is_how_far_moving_points_go():
    _, tracks = make_windows()
    spread = spread_px(tracks, CONFIG)
    assert torch.allclose(spread / spread[0], torch.arange(1.0, 6), atol=1e-3)


def test_heads_must_divide_the_width():
    with pytest.raises(ValidationError, match="not divisible"):
        PointsConfig(width=10, heads=4)
