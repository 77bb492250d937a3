import pickle

import numpy as np
import pytest
import torch

from amplify.coords import points_to_pixels
from amplify.errors import DataError
from amplify.protocols import Tracker
from amplify.tracks import TRACKERS
from amplify.tracks.dense import FlowConfig, channel_of
from amplify.tracks.flow import FlowTracker
from amplify.tracks.queries import uniform_grid
from amplify.types import Clip

from .scenes import SPRITE_PX, moving_camera, moving_sprite


def positions_px(clip: Clip, config: FlowConfig | None = None, horizon: int = 16, side: int = 10):
    """Pixels of this clip's frames, (t, horizon, n, 2), and the window."""
    window = FlowTracker(config).track(clip, uniform_grid(side), horizon=horizon)
    return points_to_pixels(window.points[:, 0], clip.frames.shape[2:0:-1]), window


def within(points_px, x: float, y: float, margin: float):
    """Whether points lie in the square that starts at (x, y), ``margin`` px off its edge (outside if negative)."""
    at = points_px - torch.tensor([x, y])
    return ((at >= margin) & (at <= SPRITE_PX - 1 - margin)).all(dim=-1)


@pytest.mark.parametrize("velocity", [(2.0, 1.0), (-0.6, 0.8), (0.0, 4.5)])
@pytest.mark.parametrize("channel", ["chroma", "grey"])
@pytest.mark.parametrize(("upsample", "limit_px"), [(1, 3.0), (2, 1.0)])
def test_a_moving_sprite_is_followed_and_the_background_rests(velocity, channel, upsample, limit_px):
    start = (48.0, 20.0)
    clip = moving_sprite(velocity, start=start, seed=1)
    px, window = positions_px(clip, FlowConfig(channel=channel, upsample=upsample))
    inside = within(px[0, 0], *start, 6)
    assert inside.sum() >= 4
    steps = torch.arange(16)[:, None, None]
    error = (px[0] - px[0, :1] - torch.tensor(velocity) * steps).norm(dim=-1)[:, inside]
    assert error.max() < limit_px
    assert window.error_px[0, 0][:, inside].max() < 1.0
    assert window.visible[0, 0][:, inside].all()
    first, last = start, tuple(s + 15 * v for s, v in zip(start, velocity))
    low = torch.tensor([min(a, b) for a, b in zip(first, last)]) - 6
    high = torch.tensor([max(a, b) for a, b in zip(first, last)]) + SPRITE_PX + 6
    rests = ((px[0, 0] < low) | (px[0, 0] > high)).any(dim=-1)
    assert rests.sum() > 20
    assert torch.equal(px[0][:, rests], px[0, :1, rests].expand_as(px[0][:, rests]))


def test_later_windows_start_anew():
    clip = moving_sprite((2.0, 1.0), seed=1)
    px, _ = positions_px(clip, FlowConfig(upsample=2), horizon=6)
    assert torch.equal(px[:, 0], px[:1, 0].expand_as(px[:, 0]))
    inside = within(px[8, 0], 36.0, 28.0, 6)
    moved = (px[8, 5] - px[8, 0])[inside]
    torch.testing.assert_close(moved, torch.tensor([10.0, 5.0]).expand_as(moved), atol=0.5, rtol=0)


def test_a_moving_camera_moves_every_point():
    clip = moving_camera((1.5, -1.0))
    px, _ = positions_px(clip, FlowConfig(upsample=2), horizon=10)
    middle = ((px[0, 0] > 32) & (px[0, 0] < 96)).all(dim=-1)
    moved = (px[0, 9] - px[0, 0])[middle]
    error = (moved - torch.tensor([13.5, -9.0])).norm(dim=-1)
    assert error.mean() < 0.3
    assert error.max() < 1.5


def test_a_moving_camera_is_followed_in_brightness_unless_asked_otherwise():
    clip = moving_camera((1.5, -1.0))
    auto, _ = positions_px(clip, horizon=5)
    grey, _ = positions_px(clip, FlowConfig(channel="grey"), horizon=5)
    chroma, _ = positions_px(clip, FlowConfig(channel="chroma"), horizon=5)
    assert torch.equal(auto, grey)
    assert not torch.equal(auto, chroma)


def test_a_weakly_textured_scene_of_a_moving_camera_is_not_held():
    clip = moving_camera((2.0, 1.0), frames=20)
    faint = Clip(frames=(118 + clip.frames // 12).astype(np.uint8), fps=20.0, camera="wrist")
    px, _ = positions_px(faint, horizon=6)
    middle = ((px[0, 0] > 32) & (px[0, 0] < 96)).all(dim=-1)
    moved = (px[0, 5] - px[0, 0])[middle]
    assert (moved - torch.tensor([10.0, 5.0])).norm(dim=-1).median() < 1.0


def test_points_of_a_still_video_stay_exactly():
    frames = np.repeat(moving_sprite(frames=1).frames, 5, axis=0)
    window = FlowTracker().track(Clip(frames=frames, fps=20.0, camera="a"), uniform_grid(5), horizon=4)
    torch.testing.assert_close(window.points, window.points[..., :1, :, :].expand_as(window.points))
    assert window.visible[window.valid].all()
    assert window.error_px.max() < 1e-5


def test_what_the_sprite_covers_is_held_and_hidden():
    clip = moving_sprite((4.0, 0.0), start=(10.0, 40.0), frames=31)
    px, window = positions_px(clip, horizon=31)
    passed = within(px[0, 0], 10.0 + 4 * 14, 40.0, 6)  # free, covered, free again
    assert passed.sum() >= 4
    assert (px[0] - px[0, :1])[:, passed].abs().max() < 2
    assert not window.visible[0, 0, 14, passed].any()
    assert window.visible[0, 0, 29, passed].all()


def test_without_holding_what_the_sprite_covers_has_a_large_error():
    clip = moving_sprite((4.0, 0.0), start=(10.0, 40.0))
    px, window = positions_px(clip, FlowConfig(hold_resting=False))
    covered = within(px[0, 0], 10.0 + 4 * 15, 40.0, 6) & ~within(px[0, 0], 10.0, 40.0, -4)
    followed = within(px[0, 0], 10.0, 40.0, 6)
    assert covered.sum() >= 4
    assert window.error_px[0, 0, -1, covered].median() > 5 * window.error_px[0, 0, -1, followed].median()


def test_a_point_that_leaves_the_frame_is_not_visible():
    clip = moving_sprite((5.0, 0.0), start=(60.0, 40.0))
    px, window = positions_px(clip, FlowConfig(static_mask=False))
    leaving = within(px[0, 0], 60.0, 40.0, 6)
    assert window.visible[0, 0, -1, leaving].float().mean() < 0.5
    assert window.visible[0, 0, 1, leaving].all()


def test_error_is_in_pixels_of_128_whatever_the_size_of_the_video():
    small = moving_sprite((4.0, 0.0), start=(10.0, 40.0))
    large = Clip(frames=small.frames.repeat(2, axis=1).repeat(2, axis=2), fps=20.0, camera="a")
    _, a = positions_px(small)
    _, b = positions_px(large)
    torch.testing.assert_close(a.points, b.points, atol=0.02, rtol=0)
    torch.testing.assert_close(a.error_px.median(), b.error_px.median(), atol=0.05, rtol=0)


def test_every_option_changes_the_result():
    clip = moving_sprite((2.3, 1.1), noise=1.0, frames=6)
    default, _ = positions_px(clip, horizon=6)
    for option in (
        {"channel": "grey"},
        {"upsample": 1},
        {"side_px": 64},
        {"static_mask": True},
        {"hold_resting": False},
    ):
        other, _ = positions_px(clip, FlowConfig(**option), horizon=6)
        assert not torch.equal(other, default), option
    _, strict = positions_px(clip, FlowConfig(fb_limit_px=0.01), horizon=6)
    _, easy = positions_px(clip, FlowConfig(fb_limit_px=50.0), horizon=6)
    assert strict.visible.sum() < easy.visible.sum()


def test_auto_takes_grey_for_a_video_without_colour():
    clip = moving_sprite(grey=True, frames=4)
    auto, _ = positions_px(clip, horizon=4)
    grey, _ = positions_px(clip, FlowConfig(channel="grey"), horizon=4)
    chroma, _ = positions_px(clip, FlowConfig(channel="chroma"), horizon=4)
    assert torch.equal(auto, grey)
    assert not torch.equal(auto, chroma)


def test_auto_takes_grey_where_what_moves_has_no_colour():
    start, velocity = (30.0, 50.0), (2.0, 1.0)
    clip = moving_sprite(velocity, start=start, frames=18)
    moves = np.zeros(clip.frames.shape[:3], bool)
    for t in range(18):
        x, y = (int(begin + speed * t) for begin, speed in zip(start, velocity))
        moves[t, y : y + SPRITE_PX, x : x + SPRITE_PX] = True
    colourless = clip.frames.copy()
    colourless[moves] = colourless[moves].mean(axis=-1, keepdims=True).astype(np.uint8)
    for frames, channel in ((clip.frames, "chroma"), (colourless, "grey")):
        seen = channel_of(frames, FlowConfig(), within=moves)
        assert np.array_equal(seen, channel_of(frames, FlowConfig(channel=channel)))


@pytest.mark.parametrize("shape", [(1, 128, 128), (2, 1, 1), (2, 4, 6), (3, 9, 60), (3, 200, 90)])
def test_any_size_of_clip(shape):
    frames = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    window = FlowTracker().track(Clip(frames=frames, fps=20.0, camera="a"), uniform_grid(3), horizon=4)
    assert window.points.shape == (shape[0], 1, 4, 9, 2)
    assert window.points.isfinite().all()
    assert window.error_px.isfinite().all()


def test_a_clip_without_frames_is_refused():
    with pytest.raises(DataError, match="wrist"):
        FlowTracker().track(
            Clip(frames=np.zeros((0, 8, 8, 3), np.uint8), fps=20.0, camera="wrist"), uniform_grid(2), horizon=4
        )


def test_frames_are_left_alone():
    clip = moving_sprite(frames=3)
    before = clip.frames.copy()
    FlowTracker().track(clip, uniform_grid(3), horizon=3)
    assert np.array_equal(clip.frames, before)


def test_registry_makes_picklable_trackers():
    tracker = TRACKERS["flow"]()
    assert isinstance(tracker, Tracker)
    copy = pickle.loads(pickle.dumps(tracker))
    assert (copy.name, copy.version, copy.settings) == (tracker.name, tracker.version, tracker.settings)
    clip = moving_sprite(frames=3)
    a, b = (t.track(clip, uniform_grid(4), horizon=3) for t in (tracker, copy))
    assert torch.equal(a.points, b.points)


def test_settings_name_every_option():
    config = FlowConfig(upsample=2)
    assert FlowTracker(config).settings == config.model_dump()
