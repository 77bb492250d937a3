import pytest
import torch

from amplify.reference.metrics import normalised_perplexity, track_metrics

PIXEL = 2 / 128


def paths(*steps):
    """One view, one point, these x positions in pixels."""
    x = torch.tensor(steps) * PIXEL
    return torch.stack((x, torch.zeros_like(x)), dim=-1)[None, None, :, None]


def test_a_perfect_prediction():
    figures = track_metrics(paths(0.0, 1.0, 2.0), paths(0.0, 1.0, 2.0), 128)
    assert figures["mse"] == figures["l1"] == figures["cross_track_l2"] == 0
    assert figures["delta_auc"] == figures["normalized_accuracy"] == figures["nonzero_pred_f1"] == 1


def test_errors_of_known_size():
    figures = track_metrics(paths(0.0, 0.0, 0.0), paths(0.0, 3.0, 3.0), 128)
    assert figures["l1"] == pytest.approx(2 * 3 * PIXEL / 6)
    assert figures["mse"] == pytest.approx(2 * (3 * PIXEL) ** 2 / 6)
    assert figures["cross_track_l2"] == 0  # the true path starts where the prediction stays
    assert figures["normalized_accuracy"] == figures["pixel_accuracy_2"] == pytest.approx(4 / 6)
    assert figures["pixel_accuracy_3"] == pytest.approx(4 / 6)  # three pixels are not less than three
    assert figures["pixel_accuracy_4"] == 1
    assert figures["delta_auc"] == pytest.approx((3 * 4 / 6 + 7) / 10)
    assert (figures["nonzero_pred_percent"], figures["nonzero_gt_percent"]) == (0, 0.25)
    assert figures["nonzero_pred_accuracy"] == 0.75
    assert figures["nonzero_pred_f1"] == 0


def test_perplexity():
    assert normalised_perplexity(torch.tensor([3, 3, 3, 3]), 2048) == pytest.approx(1 / 4)
    assert normalised_perplexity(torch.tensor([[0, 1], [2, 3]]), 2048) == pytest.approx(1)
    assert normalised_perplexity(torch.tensor([0, 0, 1, 1]), 2) == pytest.approx(1)
