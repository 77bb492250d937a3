import math

import numpy as np
import pytest
import torch

from amplify.coords import displacements_from_pixels
from amplify.metrics.benchmark import BenchmarkSums, benchmark_sums, paired_difference, with_intervals
from amplify.types import TrackWindow


def window(x_px, visible, valid=None) -> TrackWindow:
    """One point a column, moving along x; (t, n)."""
    x = torch.tensor(x_px, dtype=torch.float32)
    points = displacements_from_pixels(torch.stack([x, torch.zeros_like(x)], dim=-1), 128)[None]
    ok = torch.ones(1, len(x), dtype=torch.bool) if valid is None else torch.tensor(valid)[None]
    return TrackWindow(points=points, visible=torch.tensor(visible)[None], valid=ok)


YES, NO = True, False
TRUTH = window([[0, 0, 0], [5, 0, 0]], [[YES] * 3, [YES, NO, YES]])
SAID = window([[0, 0, 0], [8, 0, 0]], [[YES] * 3, [YES, YES, NO]])


def test_perfect_is_one():
    truth = window([[0, 0], [5, 0]], [[YES, YES], [YES, NO]])
    row = benchmark_sums(truth, truth).summary()["all"]
    assert row["average_jaccard"] == row["occlusion_accuracy"] == row["delta_avg"] == 1
    assert row["error_px"] == 0


def test_by_hand():
    rows = benchmark_sums(SAID, TRUTH).summary()
    everything = rows["all"]
    assert everything["occlusion_accuracy"] == pytest.approx(1 / 3)
    assert everything["visible"] == everything["base_rate"] == pytest.approx(2 / 3)
    # Truly visible 2. Below 4 px: no true positive, two false ones. From 4 px on: one true, one false.
    assert everything["average_jaccard"] == pytest.approx((0 + 0 + 3 * 1 / 3) / 5)
    assert [everything[f"pck_{t}"] for t in (1, 2, 4, 8, 16)] == [0.5, 0.5, 1, 1, 1]
    assert everything["delta_avg"] == pytest.approx(0.8)
    assert everything["error_px"] == pytest.approx(1.5)
    assert rows["moving"]["error_px"] == pytest.approx(3)
    assert rows["moving"]["delta_avg"] == pytest.approx(0.6)


def test_points_on_objects_are_a_row_of_their_own():
    truth = window([[0, 0, 0], [5, 6, 0]], [[YES] * 3, [YES] * 3])
    said = window([[0, 0, 0], [5, 0, 0]], [[YES] * 3, [YES] * 3])
    rows = benchmark_sums(said, truth, objects=torch.tensor([[NO, YES, YES]])).summary()
    assert (rows["moving"]["error_px"], rows["objects"]["error_px"], rows["all"]["error_px"]) == (3, 6, 2)
    assert math.isnan(benchmark_sums(said, truth).summary()["objects"]["delta_avg"])


def test_pixels_of_a_larger_frame_are_smaller():
    small, large = (benchmark_sums(SAID, TRUTH, size_px=size).summary()["all"] for size in (128, 256))
    assert large["error_px"] == pytest.approx(2 * small["error_px"])
    assert large["pck_4"] < small["pck_4"]


def test_query_frame_padding_and_hidden_queries_do_not_count():
    truth = window([[0, 0], [5, 5], [5, 5]], [[YES, NO], [YES, YES], [NO, NO]], valid=[YES, YES, NO])
    said = window([[9, 0], [5, 0], [9, 9]], [[NO, YES], [YES, NO], [YES, YES]])
    row = benchmark_sums(said, truth).summary()["all"]
    assert row["average_jaccard"] == row["occlusion_accuracy"] == row["delta_avg"] == 1


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="predicted points"):
        benchmark_sums(window([[0], [1]], [[YES], [YES]]), TRUTH)


def test_sums_add_up():
    once = benchmark_sums(SAID, TRUTH)
    twice = once + once + BenchmarkSums()
    for kind in ("moving", "all"):
        assert twice.summary()[kind] == once.summary()[kind]


def test_intervals_are_over_episodes_and_pool_their_points():
    good = benchmark_sums(TRUTH, TRUTH)
    bad = benchmark_sums(SAID, TRUTH)
    rows = with_intervals([good, bad, bad, good], generator=np.random.default_rng(0))
    error = rows["all"]["error_px"]
    assert error.mean == pytest.approx(0.75)
    assert 0 <= error.low < error.mean < error.high <= 1.5
    assert rows["objects"] == {}
    same = with_intervals([bad, bad], generator=np.random.default_rng(0))["all"]["delta_avg"]
    assert same.low == same.mean == same.high
    gap = paired_difference([good, good], [bad, bad], "delta_avg", "all", generator=np.random.default_rng(0))
    assert gap.mean == gap.low == gap.high == pytest.approx(0.2)
