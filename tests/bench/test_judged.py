import pytest
import torch

from amplify.bench.judged import judged


def tracks(steps_px) -> torch.Tensor:
    """One view of two points on a 128-pixel frame; the second one stands still."""
    steps = torch.tensor([[step, [0.0, 0.0]] for step in steps_px]) * 2 / 128
    points = torch.cat((torch.zeros(1, 2, 2), steps.cumsum(dim=0)))
    return points[None, None]


def test_tracks_that_are_right():
    truth = tracks([[1.0, 0.0], [2.0, 0.0]])
    figures = judged(truth, truth)
    assert figures["mean_squared_error"] == figures["mean_absolute_error"] == figures["distance_to_path"] == 0
    assert figures["pixel_accuracy"] == figures["delta_auc"] == figures["moved_accuracy"] == figures["moved_f1"] == 1
    assert figures["moved"] == figures["really_moved"] == 0.25


def test_tracks_that_are_wrong():
    truth, foreseen = tracks([[3.0, 0.0], [0.0, 0.0]]), tracks([[0.0, 0.0], [3.0, 0.0]])
    figures = judged(foreseen, truth)  # 3 pixels off in one coordinate of 12, and on the path at another time
    assert figures["distance_to_path"] == 0
    assert figures["mean_absolute_error"] == pytest.approx(3 * 2 / 128 / 12)
    assert figures["mean_squared_error"] == pytest.approx((3 * 2 / 128) ** 2 / 12)
    assert figures["pixel_accuracy"] == pytest.approx(11 / 12)
    assert figures["delta_auc"] == pytest.approx((3 * 11 / 12 + 7) / 10)
    assert figures["moved_accuracy"] == pytest.approx(6 / 8)
    assert figures["moved_f1"] == 0
