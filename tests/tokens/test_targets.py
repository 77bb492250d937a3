from dataclasses import replace

import pytest
import torch

from amplify.tokens.config import TokenizerConfig
from amplify.tokens.targets import motion_targets
from amplify.types import TrackWindow


def targets_of(window: TrackWindow, subset=0, seed=0, **changes):
    view_weights = changes.pop("view_weights", torch.ones(1))
    config = TokenizerConfig(subset_points=subset, **changes)
    return motion_targets(window, config, view_weights, torch.Generator().manual_seed(seed))


def test_paths_are_the_sums_of_the_velocities(make_window):
    targets = targets_of(make_window())
    torch.testing.assert_close(targets.path_px, targets.velocities_px.cumsum(dim=2), rtol=0, atol=1e-4)
    assert targets.velocity_weight.sum().item() == pytest.approx(1)
    assert targets.path_weight.sum().item() == pytest.approx(1)


def test_a_gap_breaks_velocities_but_not_the_way_from_the_query(make_window):
    window = make_window(batch=1)
    visible = window.visible.clone()
    visible[0, 0, 5, 0] = False
    targets = targets_of(replace(window, visible=visible))
    velocity, path = targets.velocity_weight[0, 0, :, 0] > 0, targets.path_weight[0, 0, :, 0] > 0
    assert (~velocity).nonzero().flatten().tolist() == [4, 5]
    assert (~path).nonzero().flatten().tolist() == [4]
    visible[0, 0, 0, 0] = False
    hidden = targets_of(replace(window, visible=visible))
    assert not hidden.path_weight[0, 0, :, 0].any()
    assert not hidden.path_px[0, 0, :, 0].any()


def test_all_fields_are_of_the_same_chosen_points(make_window):
    window = make_window(points=32)
    everything, some = targets_of(window), targets_of(window, subset=6)
    assert some.path_px.shape == (4, 1, 15, 6, 2)
    for b in range(4):
        for point in range(6):
            same = (everything.queries[b, 0] == some.queries[b, 0, point]).all(dim=-1).nonzero().item()
            torch.testing.assert_close(some.path_px[b, 0, :, point], everything.path_px[b, 0, :, same])
            torch.testing.assert_close(some.velocities_px[b, 0, :, point], everything.velocities_px[b, 0, :, same])
    assert ((some.path_px.norm(dim=-1).amax(dim=2) > 1).sum(dim=-1) >= 3).all()


def test_views_and_disagreement_weigh(make_window):
    window = make_window(views=2, error=True)
    targets = targets_of(window, view_weights=torch.tensor([1.5, 0.5]), disagreement_weight=1.0)
    share = targets.path_weight.sum(dim=(0, 2, 3))
    torch.testing.assert_close(share, torch.tensor([0.75, 0.25]))
    distrusted = (window.error_px.cummax(dim=2).values >= 1)[:, :, 1:]
    weight = targets_of(window, view_weights=torch.ones(2)).path_weight
    assert weight[distrusted].max() == pytest.approx(0.1 * weight[~distrusted].max().item())


def test_rounded_frames_differ_from_rounded_displacements(make_window):
    # From pixel 64.4 to 65.0 and on to 65.6: two half steps, of which one crosses a rounding edge.
    pixels = torch.tensor([64.4, 65.0, 65.6])
    path = torch.stack(((pixels - 64) / 64, torch.zeros(3)), dim=-1)[None, None, :, None]
    known = torch.ones(1, 1, 3, 1, dtype=torch.bool)
    window = TrackWindow(points=path, visible=known, valid=known[..., 0])
    between = targets_of(window, rounding="frames", views=1).velocities_px[0, 0, :, 0, 0]
    assert between.tolist() == [1.0, 1.0]
    assert targets_of(window, views=1).velocities_px[0, 0, 0, 0, 0].item() == pytest.approx(0.6, abs=1e-4)


def test_rounded_frames_end_at_the_edge_of_the_image():
    path = torch.tensor([[0.9, 0.0], [1.2, 0.0], [1.3, -2.0]])[None, None, :, None]
    known = torch.ones(1, 1, 3, 1, dtype=torch.bool)
    window = TrackWindow(points=path, visible=known, valid=known[..., 0])
    between = targets_of(window, rounding="frames", views=1).velocities_px[0, 0, :, 0]
    assert between.tolist() == [[127.0 - 122.0, 0.0], [0.0, -64.0]]


def test_pixels_are_those_of_the_windows_frame(make_window):
    fine, coarse = (targets_of(make_window(), frame_px=side) for side in (256, 64))
    torch.testing.assert_close(fine.velocities_px, 4 * coarse.velocities_px)
    torch.testing.assert_close(fine.path_px, 4 * coarse.path_px)
