import numpy as np
import pytest
import torch
from tests.evaluate.scenes import Pan, recording, track, write

from amplify.evaluate.inspection.config import InspectionConfig
from amplify.evaluate.inspection.inspecting import inspect_dataset
from amplify.evaluate.inspection.motion import motion_sums
from amplify.evaluate.inspection.windows import MOST, starts_of
from amplify.tokens.clipping import clipping
from amplify.tokens.config import TokenizerConfig
from amplify.tokens.local_window import LocalWindow
from amplify.tracks.queries import uniform_grid
from amplify.types import TrackWindow

PX = 2 / 128
WINDOWS = (LocalWindow(15), LocalWindow(31))


def walk(steps_px, *, visible=None, error_px=None):
    """Windows of points that take the same steps (t − 1, n, 2) from a grid."""
    steps_px = torch.as_tensor(steps_px, dtype=torch.float32)
    grid = uniform_grid(int(steps_px.shape[1] ** 0.5))
    points = torch.cat([grid[None], grid + (steps_px * PX).cumsum(dim=0)])[None, None]
    seen = torch.ones(points.shape[:-1], dtype=torch.bool) if visible is None else visible
    return TrackWindow(
        points=points, visible=seen, valid=torch.ones(points.shape[:3], dtype=torch.bool), error_px=error_px
    )


def objects(step_px, *, side=6, moving=9, steps=5):
    """A still scene in which some points go right."""
    steps_px = torch.zeros(steps, side**2, 2)
    steps_px[:, :moving, 0] = step_px
    return steps_px


def test_shares_are_counted_where_they_are_known():
    sums = motion_sums(walk(objects(9.0)), WINDOWS)
    assert (sums.points, sums.moving_points) == (36, 9)
    assert (sums.steps, sums.moving_steps) == (36 * 5, 9 * 5)
    assert sums.beyond.tolist() == [45, 0]
    assert sums.largest_px == pytest.approx(9, abs=1e-3)
    assert sums.quantile_px(0.5) == pytest.approx(9, rel=0.1)
    assert not sums.camera_moves


def test_the_window_counts_as_for_training():
    window = walk(torch.randn(7, 36, 2, generator=torch.Generator().manual_seed(0)) * 6)
    ours = motion_sums(window, WINDOWS)
    theirs = clipping(window, TokenizerConfig(views=1, points=36, steps=7))
    assert ours.beyond[0] / ours.moving_steps == pytest.approx(theirs.moving_share)
    assert ours.largest_px == pytest.approx(theirs.largest_px)


def test_hidden_points_and_padding_do_not_count():
    steps_px = objects(3.0)
    visible = torch.ones(1, 1, 6, 36, dtype=torch.bool)
    visible[..., 0, :3] = False  # never started
    visible[..., 3:, 3:6] = False  # hidden from the fourth frame on
    sums = motion_sums(walk(steps_px, visible=visible), WINDOWS)
    assert (sums.points, sums.moving_points) == (33, 6)
    assert (sums.positions, sums.visible) == (33 * 5, 33 * 5 - 9)
    assert (sums.moving_positions, sums.moving_visible) == (30, 21)
    window = walk(steps_px)
    window.valid[..., 4:] = False
    assert motion_sums(window, WINDOWS).steps == 36 * 3


def test_the_trackers_own_error_is_that_at_the_end():
    error_px = torch.zeros(1, 1, 6, 36)
    error_px[..., -1, :3] = 1.5
    sums = motion_sums(walk(objects(3.0), error_px=error_px), WINDOWS)
    assert sums.errors.tolist() == [33, 33, 36]
    assert sums.error_moving.tolist() == [6, 6, 9]
    assert (sums.error_points, sums.error_moving_points) == (36, 9)
    assert motion_sums(walk(objects(3.0)), WINDOWS).error_points == 0


def test_a_camera_that_pans_is_told_from_objects_that_move():
    steps_px = objects(6.0)
    steps_px[..., 1] += 4.0
    sums = motion_sums(walk(steps_px), (LocalWindow(7),))
    assert sums.camera_moves
    assert sums.camera_px.tolist() == pytest.approx([4.0], abs=0.05)
    assert sums.beyond[0] == 36 * 5
    assert sums.still_moving_steps == sums.still_beyond == 9 * 5
    few = walk(steps_px[:, :9])
    assert len(motion_sums(few, WINDOWS).camera_px) == 0


def test_parts_add_up_to_the_whole():
    generator = torch.Generator().manual_seed(1)
    parts = [walk(torch.randn(5, 36, 2, generator=generator) * scale) for scale in (1.0, 8.0)]
    whole = TrackWindow(
        **{name: torch.cat([getattr(p, name) for p in parts]) for name in ("points", "visible", "valid")}
    )
    one, other = motion_sums(parts[0], WINDOWS) + motion_sums(parts[1], WINDOWS), motion_sums(whole, WINDOWS)
    for name in ("windows", "points", "moving_points", "steps", "moving_steps", "largest_px"):
        assert getattr(one, name) == getattr(other, name)
    np.testing.assert_array_equal(one.beyond, other.beyond)
    np.testing.assert_array_equal(one.histogram, other.histogram)
    assert one.histogram.sum() == one.moving_steps


def test_windows_follow_one_another():
    assert starts_of(24, 8).tolist() == [0, 7, 14, 21]
    assert starts_of(1, 8).tolist() == [0]
    assert len(starts_of(10_000, 8)) == MOST


@pytest.fixture(scope="module")
def fast(tmp_path_factory):
    """Every point goes 9.6 px right in a step."""
    root = write(tmp_path_factory.mktemp("fast") / "d", [recording(number) for number in range(4)])
    track(root, Pan(9.6))
    return root


def inspected(root, **settings):
    return inspect_dataset(root, InspectionConfig(**settings), workers=0)


def test_motion_beyond_the_window_is_a_problem_with_a_remedy(fast):
    said = inspected(fast)
    motion = said["motion"]
    assert motion["source"] == "tracks-pan-5x5-h8"
    assert motion["all"]["beyond_window_share"] == 1
    assert motion["all"]["moving_points_share"] == 1
    assert motion["all"]["step_px"]["max"] == pytest.approx(9.6, abs=0.05)
    assert set(motion["by_task"]) == {"push the block", "lift the cup"}
    assert motion["all"]["camera"]["median_px"] == pytest.approx(9.6, abs=0.1)
    kinds = {one["kind"]: one for one in said["findings"]}
    assert kinds["beyond_window"]["severity"] == "problem"
    assert "--model.window 15 --model.window-spacing log --model.window-reach-px 16" in kinds["beyond_window"]["remedy"]
    assert "--model.camera-motion removed" in kinds["camera_moves"]["remedy"]


@pytest.mark.parametrize("settings", [{"window": 31}, {"window": 15, "window_reach_px": 16.0}])
def test_a_wider_window_is_measured_in_its_place(fast, settings):
    said = inspected(fast, **settings)
    assert said["motion"]["all"]["beyond_window_share"] == 0
    assert "beyond_window" not in {one["kind"] for one in said["findings"]}
    assert said["motion"]["all"]["beyond_share"]["15×15, ±7 px"] == 1


def test_tracks_can_be_chosen(fast):
    slow = track(fast, Pan(1.28), grid=6)
    assert inspected(fast, tracks=slow)["motion"]["all"]["step_px"]["max"] == pytest.approx(1.28, abs=0.05)


def test_where_nothing_moves(tmp_path):
    root = write(tmp_path / "d", [recording(number) for number in range(3)])
    track(root, Pan(0.0))
    kinds = {one["kind"]: one for one in inspected(root)["findings"]}
    assert kinds["still_episode"]["episodes"] == [0, 1, 2]
    assert kinds["little_motion"]["severity"] == "problem"


def test_short_episodes_and_a_tracker_that_doubts_itself(tmp_path):
    recordings = [recording(0), recording(1), recording(2, length=6)]
    root = write(tmp_path / "d", recordings)
    track(root, Pan(error_px=1.7))
    kinds = {one["kind"]: one for one in inspected(root)["findings"]}
    assert kinds["short_episode"]["episodes"] == [2]
    assert "100 %" in kinds["untrusted_tracks"]["message"]


def test_without_tracks_a_few_episodes_are_followed(tmp_path):
    root = write(tmp_path / "d", [recording(number) for number in range(4)])
    said = inspected(root, followed=2)
    assert said["looked_at"]["followed_episodes"] == 2
    assert said["motion"]["source"] == "quick look with optical flow"
    assert 0 < said["motion"]["all"]["moving_points_share"] < 1
    assert said["motion"]["all"]["step_px"]["median"] > 0.5
    none = inspected(root, followed=0)
    assert none["motion"] == {}
    assert "not measured" in next(one["message"] for one in none["findings"] if one["kind"] == "no_tracks")
