import inspect

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from amplify.errors import UnknownNameError, UsageError
from amplify.tracks.windows import Step, chain, resample
from amplify.types import TrackWindow

QUERIES = torch.tensor([[0.0, 0.0], [0.5, -0.5]])


def drift(by: float, hidden_at: int | None = None, errors: dict[int, float] | None = None):
    """Frame t → t + 1 moves every point by ``by·(t + 1)`` along x."""

    def advance(t, starts, points):
        moved = points + torch.tensor([by * (t + 1), 0.0])
        visible = torch.full(points.shape[:2], t + 1 != hidden_at)
        return Step(moved, visible, torch.full(points.shape[:2], (errors or {}).get(t, 0.0)))

    return advance


def window(x: list[float], valid: list[bool] | None = None) -> TrackWindow:
    points = torch.stack([torch.tensor(x), torch.zeros(len(x))], dim=-1).reshape(1, len(x), 1, 2)
    ok = torch.tensor(valid or [True] * len(x))
    return TrackWindow(points=points, visible=ok.reshape(1, -1, 1), valid=ok[None], error_px=points[..., 0].abs())


def test_windows_start_anew_at_every_frame_and_follow_the_steps():
    w = chain(drift(0.01), QUERIES, frames=5, horizon=3)
    assert w.points.shape == (5, 1, 3, 2, 2)
    assert torch.equal(w.points[:, 0, 0], QUERIES.expand(5, 2, 2))
    torch.testing.assert_close(w.points[0, 0, :, 0, 0], torch.tensor([0.0, 0.01, 0.03]))
    torch.testing.assert_close(w.points[2, 0, :, 1, 0], torch.tensor([0.5, 0.53, 0.57]))


def test_past_the_end_the_last_position_is_repeated_and_not_valid():
    w = chain(drift(0.01), QUERIES, frames=4, horizon=4)
    assert w.valid[:, 0].tolist() == [
        [True, True, True, True],
        [True, True, True, False],
        [True, True, False, False],
        [True, False, False, False],
    ]
    torch.testing.assert_close(w.points[2, 0, :, 0, 0], torch.tensor([0.0, 0.03, 0.03, 0.03]))
    assert not w.visible[~w.valid].any()
    assert torch.equal(w.points[3, 0], QUERIES.expand(4, 2, 2))


@given(frames=st.integers(1, 12), horizon=st.integers(1, 8))
def test_each_pair_is_visited_once_and_in_order(frames, horizon):
    visited = []

    def advance(t, starts, points):
        visited.append(t)
        assert len(starts) == len(points)
        return drift(0.0)(t, starts, points)

    w = chain(advance, QUERIES, frames=frames, horizon=horizon)
    assert visited == (list(range(frames - 1)) if horizon > 1 else [])
    assert w.points.shape == (frames, 1, horizon, 2, 2)
    assert w.valid.sum() == sum(min(horizon, frames - s) for s in range(frames))


def test_visibility_comes_from_each_step_and_the_query_frame():
    seen = torch.tensor([[True, False]]).expand(5, 2)
    w = chain(drift(0.0, hidden_at=2), QUERIES, frames=5, horizon=4, visible=seen)
    assert w.visible[0, 0, :, 0].tolist() == [True, True, False, True]
    assert w.visible[1, 0, :, 1].tolist() == [False, False, True, True]


def test_error_is_the_largest_so_far():
    w = chain(drift(0.0, errors={0: 0.5, 1: 3.0, 2: 0.1}), QUERIES, frames=5, horizon=4)
    torch.testing.assert_close(w.error_px[0, 0, :, 0], torch.tensor([0.0, 0.5, 3.0, 3.0]))
    torch.testing.assert_close(w.error_px[2, 0, :, 0], torch.tensor([0.0, 0.1, 0.1, 0.1]))


def test_empty_windows_are_refused():
    with pytest.raises(UsageError):
        chain(drift(0.0), QUERIES, frames=4, horizon=0)


@pytest.mark.parametrize("method", ["linear", "cubic"])
@given(start=st.floats(-1, 1), speed=st.floats(-0.2, 0.2), steps=st.integers(1, 30))
def test_constant_velocity_survives_resampling(method, start, speed, steps):
    w = resample(window([start + speed * t for t in range(8)]), steps, method=method)
    expected = start + speed * torch.linspace(0, 7, steps)
    torch.testing.assert_close(w.points[0, :, 0, 0], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("method", ["linear", "cubic"])
def test_frames_that_exist_are_kept(method):
    w = window([0.0, 0.3, 0.1, 0.4])
    torch.testing.assert_close(resample(w, 10, method=method).points[:, ::3], w.points)
    torch.testing.assert_close(resample(w, 4, method=method).points, w.points)


def test_cubic_follows_a_parabola_inside_where_linear_cannot():
    w = window([0.01 * t * t for t in range(6)])
    truth = 0.01 * torch.linspace(0, 5, 21) ** 2
    inside = slice(4, -4)
    cubic = resample(w, 21, method="cubic").points[0, :, 0, 0]
    torch.testing.assert_close(cubic[inside], truth[inside], atol=1e-6, rtol=0)
    assert (resample(w, 21).points[0, :, 0, 0] - truth)[inside].abs().max() > 1e-3


def test_masks_and_errors_are_resampled_cautiously():
    w = resample(window([0.0, 0.1, 0.1], valid=[True, True, False]), 5)
    assert w.valid[0].tolist() == [True, True, True, False, False]
    assert w.visible[0, :, 0].tolist() == [True, True, True, False, False]
    torch.testing.assert_close(w.error_px[0, :, 0], torch.tensor([0.0, 0.1, 0.1, 0.1, 0.1]))


def test_padding_does_not_bend_the_valid_part():
    padded = window([0.0, 0.1, 0.2, 0.2, 0.2], valid=[True, True, True, False, False])
    torch.testing.assert_close(
        resample(padded, 9, method="cubic").points[0, :5, 0, 0], torch.tensor([0.0, 0.05, 0.1, 0.15, 0.2])
    )


def test_resampling_refuses_nonsense():
    with pytest.raises(UsageError):
        resample(window([0.0, 1.0]), 0)
    with pytest.raises(UnknownNameError, match="cubic"):
        inspect.unwrap(resample)(window([0.0, 1.0]), 3, method="qubic")  # past the test-time type check
