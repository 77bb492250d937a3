import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from amplify.coords import displacements_from_pixels
from amplify.metrics.tracks import (
    TrackSums,
    constant_velocity,
    no_motion,
    observed_velocity,
    path_px,
    track_metrics,
    track_sums,
)
from amplify.types import TrackWindow


def window(points_px, visible=None, valid=None) -> TrackWindow:
    """From pixels of a 128×128 frame, (t, n, 2), as one view."""
    points = displacements_from_pixels(torch.as_tensor(points_px, dtype=torch.float32), 128)[None]
    t, n = points.shape[1:3]
    return TrackWindow(
        points=points,
        visible=torch.ones(1, t, n, dtype=torch.bool) if visible is None else torch.tensor(visible)[None],
        valid=torch.ones(1, t, dtype=torch.bool) if valid is None else torch.tensor(valid)[None],
    )


# One point that rests and one that goes 3 px right in each of two steps.
TRUTH = [[[0, 0], [10, 10]], [[0, 0], [13, 10]], [[0, 0], [16, 10]]]


def test_perfect_tracks():
    scores = track_metrics(window(TRUTH), window(TRUTH))
    for part, count in ((scores.all, 6), (scores.moving, 2)):
        assert (part.mse, part.error_px, part.pixel_accuracy, part.delta_auc, part.delta_avg) == (0, 0, 1, 1, 1)
        assert part.count == count


def test_no_motion_by_hand():
    truth = window(TRUTH)
    scores = track_metrics(no_motion(truth), truth)
    moving, everything = scores.moving, scores.all  # errors (3, 0) and (6, 0) px on the moving point, else none
    assert moving.error_px == pytest.approx(4.5)
    assert moving.pck == {1: 0, 2: 0, 4: 0.5, 8: 1, 16: 1}
    assert moving.delta_avg == pytest.approx(0.5)
    assert moving.pixel_accuracy == pytest.approx(0.5)  # y is right, x is not
    # x within tolerances 1 … 10: 3 < 4 … 10 is seven, 6 < 7 … 10 is four; y always.
    assert moving.delta_auc == pytest.approx((0.7 + 1 + 0.4 + 1) / 4)
    assert moving.mse == pytest.approx(((3 / 64) ** 2 + (6 / 64) ** 2) / 4)
    assert everything.error_px == pytest.approx(9 / 6)
    assert everything.pck[1] == pytest.approx(4 / 6)
    assert everything.pixel_accuracy == pytest.approx(10 / 12)
    assert everything.count == 6


def test_thresholds_are_exclusive():
    predicted = [[[0, 0], [10, 10]], [[0, 0], [14, 10]], [[0, 0], [16, 10]]]
    assert track_metrics(window(predicted), window(TRUTH)).moving.pck[1] == 0.5


def test_invisible_points_do_not_count_as_moving():
    wrong = [[[0, 0], [10, 10]], [[0, 0], [13, 10]], [[0, 0], [99, 10]]]
    visible = [[True, True], [True, True], [True, False]]
    moving = track_metrics(window(wrong), window(TRUTH, visible)).moving
    assert (moving.count, moving.error_px) == (1, 0)


def test_frames_past_the_end_count_nowhere():
    wrong = [[[0, 0], [10, 10]], [[0, 0], [13, 10]], [[50, 0], [99, 10]]]
    scores = track_metrics(window(wrong), window(TRUTH, valid=[True, True, False]))
    assert (scores.moving.count, scores.moving.error_px) == (1, 0)
    assert (scores.all.count, scores.all.error_px) == (4, 0)


def test_a_point_that_moves_only_in_padding_rests():
    truth = window(TRUTH, valid=[True, False, False])
    assert path_px(truth).tolist() == [[0.0, 0.0]]
    assert track_metrics(truth, truth).moving.count == 0


def test_the_query_frame_is_scored_in_all_only():
    wrong = [[[9, 0], [19, 10]], [[0, 0], [13, 10]], [[0, 0], [16, 10]]]
    scores = track_metrics(window(wrong), window(TRUTH))
    assert scores.moving.error_px == 0
    assert scores.all.error_px == pytest.approx(3)


def test_one_pixel_of_path_is_not_yet_moving():
    def there_and_back(reach_px):
        return window([[[0, 0]], [[reach_px, 0]], [[0, 0]]])

    assert track_metrics(there_and_back(0.5), there_and_back(0.5)).moving.count == 0
    assert track_metrics(there_and_back(0.6), there_and_back(0.6)).moving.count == 2


def test_nothing_to_score_is_nan():
    truth = window([[[0, 0]], [[0, 0]]])
    moving = track_metrics(truth, truth).moving
    assert moving.count == 0
    assert math.isnan(moving.error_px)
    assert math.isnan(moving.delta_avg)


@given(st.lists(st.integers(1, 3), min_size=1, max_size=4), st.integers(0, 10**6))
def test_sums_of_batches_equal_one_batch(sizes, seed):
    generator = torch.Generator().manual_seed(seed)
    total = sum(sizes)
    truth = TrackWindow(
        points=torch.rand(total, 1, 4, 3, 2, generator=generator) * 0.1,
        visible=torch.rand(total, 1, 4, 3, generator=generator) > 0.3,
        valid=torch.rand(total, 1, 4, generator=generator) > 0.2,
    )
    predicted = no_motion(truth)
    sums = TrackSums()
    at = 0
    for size in sizes:
        part = slice(at, at + size)
        sums += track_sums(predicted.map(lambda x, p=part: x[p]), truth.map(lambda x, p=part: x[p]))
        at += size
    streamed, at_once = sums.scores(), track_metrics(predicted, truth)
    for a, b in ((streamed.moving, at_once.moving), (streamed.all, at_once.all)):
        assert a.count == b.count
        assert a.summary()["pck"] == pytest.approx(b.summary()["pck"], nan_ok=True)
        assert a.error_px == pytest.approx(b.error_px, nan_ok=True)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="predicted"):
        track_metrics(window(TRUTH[:2]), window(TRUTH))


def test_no_motion_stays_and_leaves_its_input_alone():
    truth = window(TRUTH)
    still = no_motion(truth)
    assert torch.equal(still.points, truth.points[:, :1].expand_as(truth.points))
    still.points.zero_()
    assert truth.points[0, 1, 1, 0] != 0


def test_constant_velocity_goes_on_as_observed():
    truth = window(TRUTH)
    previous = displacements_from_pixels(torch.tensor([[[0.0, 0.0], [3.0, 0.0]]]), 128)
    assert track_metrics(constant_velocity(truth, previous), truth).all.error_px == pytest.approx(0, abs=1e-5)
    doubled = track_metrics(constant_velocity(truth, 2 * previous), truth)
    assert doubled.moving.error_px == pytest.approx(4.5, abs=1e-4)


def test_constant_velocity_does_not_look_into_the_future():
    truth = window(TRUTH)
    other = window([[[0, 0], [10, 10]], [[7, 7], [1, 1]], [[5, 5], [2, 2]]])
    previous = torch.ones(1, 2, 2)
    assert torch.equal(constant_velocity(truth, previous).points, constant_velocity(other, previous).points)


def test_observed_velocity_reads_the_first_step_of_the_window_before():
    before = window(TRUTH)
    torch.testing.assert_close(
        observed_velocity(before), displacements_from_pixels(torch.tensor([[[0.0, 0.0], [3.0, 0.0]]]), 128)
    )
    assert observed_velocity(window(TRUTH, valid=[True, False, False])).eq(0).all()
