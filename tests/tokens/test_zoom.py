"""Tracks seen by a nearer or farther camera."""

import pytest
import torch

from amplify.errors import UsageError
from amplify.tokens.zoom import zoomed
from amplify.tracks.queries import uniform_grid
from amplify.types import TrackWindow


def window(motion, side=10, steps=4):
    """Tracks of a grid whose displacement at step k is k times a function of where a point starts."""
    queries = uniform_grid(side)
    points = torch.stack([queries + k * motion(queries) for k in range(steps)])[None, None]
    return TrackWindow(
        points=points,
        visible=torch.ones(points.shape[:-1], dtype=torch.bool),
        valid=torch.ones(points.shape[:3], dtype=torch.bool),
    )


def affine(queries):
    return 0.02 * queries @ torch.tensor([[0.5, 0.2], [-0.3, 1.0]]) + torch.tensor([0.01, -0.02])


@pytest.mark.parametrize("factor", [1.0, 1.3, 2.0])
def test_a_motion_that_is_known_everywhere_is_that_of_the_larger_image(factor):
    """x' = s x, so that what starts at p moves as s m(p / s): exact for an affine motion on a grid."""
    found = zoomed(window(affine), torch.tensor([[factor]]))
    expected = window(lambda queries: factor * affine(queries / factor))
    torch.testing.assert_close(found.points, expected.points, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.points[:, :, 0, :, :], expected.points[:, :, 0, :, :], atol=0, rtol=0)


def test_farther_away_motion_is_smaller_and_nearer_to_the_centre():
    def only(queries):
        there = (queries - torch.tensor([0.5, -0.1])).norm(dim=-1, keepdim=True) < 0.15
        return (0.05 * there).expand(-1, 2)

    found = zoomed(window(only), torch.tensor([[0.5]]))
    moved = found.points[0, 0, 1] - found.points[0, 0, 0]
    moving = moved.norm(dim=-1) > 0.001
    assert moving.any()
    where = found.points[0, 0, 0][moving]
    assert (where - torch.tensor([0.25, -0.05])).norm(dim=-1).max() < 0.2
    assert moved.abs().max() <= 0.025 + 1e-6
    outside = found.points[0, 0, 0].abs().max(dim=-1).values > 0.5
    assert not moving[outside].any()


def test_each_view_by_its_own_factor():
    one = window(affine)
    both = one.map(lambda x: torch.cat([x, x], dim=1))
    found = zoomed(both, torch.tensor([[1.0, 0.7]]))
    torch.testing.assert_close(found.points[:, :1], one.points, atol=1e-6, rtol=0)
    assert (found.points[:, 1] - one.points[:, 0]).abs().max() > 0.001


def test_points_that_are_no_grid():
    with pytest.raises(UsageError, match="square grid"):
        zoomed(window(affine, side=1), torch.ones(1, 1))
