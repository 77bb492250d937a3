import numpy as np
import torch

from amplify.coords import pixels_to_points
from amplify.tracks.resting import resting_points

from .scenes import moving_camera, moving_sprite

BACKGROUND, AHEAD, ON_SPRITE = 0, 1, 2
PIXELS = torch.tensor([[110.0, 110.0], [80.0, 60.0], [30.0, 60.0]])


def scene(frames: int = 31):
    """The sprite covers x 10 … 50 at first, the point ahead of it from frame 8 to 17, and never comes back."""
    clip = moving_sprite((4.0, 0.0), start=(10.0, 40.0), frames=frames, seed=1, noise=1.0)
    return resting_points(clip.frames, pixels_to_points(PIXELS, 128), horizon=16)


def test_background_rests_and_the_sprite_does_not():
    resting = scene().resting
    assert resting[:, BACKGROUND].all()
    assert resting[:7, AHEAD].all()
    assert resting[20:, AHEAD].all()
    assert not resting[9:17, AHEAD].any()
    assert not resting[:2, ON_SPRITE].any()


def test_covered_while_the_sprite_passes():
    known = scene()
    assert known.covered_at(12, torch.tensor([0, 3, 5]))[:, AHEAD].all()
    assert not known.covered_at(4, torch.tensor([0, 3]))[:, AHEAD].any()
    assert not known.covered[:, :, BACKGROUND].any()


def test_what_goes_for_good_after_a_long_rest_may_have_left():
    rest = moving_sprite((0.0, 0.0), start=(10.0, 40.0), frames=20, seed=1).frames
    away = moving_sprite((8.0, 0.0), start=(18.0, 40.0), frames=12, seed=1).frames
    known = resting_points(np.concatenate([rest, away]), pixels_to_points(PIXELS, 128), horizon=16)
    assert known.leaving[19, ON_SPRITE]
    assert not known.leaving[5, ON_SPRITE]
    assert not known.leaving[:, BACKGROUND].any()


def test_a_moving_camera_leaves_nothing_at_rest():
    clip = moving_camera((2.5, -2.0), frames=12)
    assert resting_points(clip.frames, pixels_to_points(PIXELS, 128), horizon=8) is None


def test_points_outside_the_frame_take_the_nearest_pixel():
    clip = moving_sprite(frames=6)
    outside = torch.tensor([[-2.0, 5.0]])
    assert resting_points(clip.frames, outside, horizon=4).resting.all()


def test_a_slow_plain_surface_passes_and_is_not_at_rest():
    background = np.random.default_rng(0).integers(60, 200, (128, 128, 3)).astype(np.uint8)
    frames = np.stack([background] * 70)
    for t, frame in enumerate(frames):
        frame[40:80, max(0, 2 * t - 40) : max(0, 2 * t)] = 230  # 20 frames a pixel: a third of ±30
    known = resting_points(frames, pixels_to_points(torch.tensor([[60.0, 60.0], [60.0, 100.0]]), 128), horizon=16)
    assert not known.resting[32:48, 0].any()
    assert known.resting[:30, 0].all()
    assert known.resting[51:, 0].all()
    assert known.resting[:, 1].all()
