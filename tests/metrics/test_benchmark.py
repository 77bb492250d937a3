import pytest
import torch

from amplify.coords import displacements_from_pixels
from amplify.metrics.benchmark import OcclusionSums, average_jaccard, occlusion_accuracy, occlusion_sums
from amplify.types import TrackWindow


def window(x_px, visible, valid=None) -> TrackWindow:
    """One point a column, moving along x; (t, n)."""
    x = torch.tensor(x_px, dtype=torch.float32)
    points = displacements_from_pixels(torch.stack([x, torch.zeros_like(x)], dim=-1), 128)[None]
    ok = torch.ones(1, len(x), dtype=torch.bool) if valid is None else torch.tensor(valid)[None]
    return TrackWindow(points=points, visible=torch.tensor(visible)[None], valid=ok)


YES, NO = True, False


def test_perfect_is_one():
    truth = window([[0, 0], [5, 0]], [[YES, YES], [YES, NO]])
    assert average_jaccard(truth, truth) == occlusion_accuracy(truth, truth) == 1


def test_by_hand():
    truth = window([[0, 0, 0], [5, 0, 0]], [[YES] * 3, [YES, NO, YES]])
    said = window([[0, 0, 0], [8, 0, 0]], [[YES] * 3, [YES, YES, NO]])
    assert occlusion_accuracy(said, truth) == pytest.approx(1 / 3)
    # Truly visible 2. Below 4 px: no true positive, two false ones. From 4 px on: one true, one false.
    assert average_jaccard(said, truth) == pytest.approx((0 + 0 + 3 * 1 / 3) / 5)


def test_moving_points_are_a_row_of_their_own():
    truth = window([[0, 0], [5, 0]], [[YES, YES], [YES, YES]])
    said = window([[0, 0], [5, 0]], [[YES, YES], [NO, YES]])
    rows = occlusion_sums(said, truth).summary()
    assert rows["moving"]["occlusion_accuracy"] == 0
    assert rows["all"]["occlusion_accuracy"] == 0.5


def test_query_frame_and_padding_do_not_count():
    truth = window([[0], [5], [5]], [[YES], [YES], [NO]], valid=[YES, YES, NO])
    said = window([[9], [5], [9]], [[NO], [YES], [YES]])
    assert average_jaccard(said, truth) == occlusion_accuracy(said, truth) == 1


def test_sums_add_up():
    truth = window([[0, 0], [5, 0]], [[YES, YES], [YES, NO]])
    said = window([[0, 0], [8, 0]], [[YES, YES], [YES, YES]])
    twice = occlusion_sums(said, truth) + occlusion_sums(said, truth) + OcclusionSums()
    assert twice.summary() == occlusion_sums(said, truth).summary()
