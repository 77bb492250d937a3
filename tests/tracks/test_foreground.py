import numpy as np
import pytest

from amplify.tracks.foreground import camera_moves, foreground

from .scenes import SPRITE_PX, moving_camera, moving_sprite


@pytest.mark.parametrize("noise", [0.0, 3.0])
def test_what_crosses_the_frame_is_foreground(noise):
    clip = moving_sprite((4.0, 0.0), start=(10.0, 40.0), frames=24, noise=noise, seed=1)
    seen = foreground(clip.frames)
    truth = np.zeros_like(seen)
    for t in range(24):
        truth[t, 40 : 40 + SPRITE_PX, 10 + 4 * t : min(128, 10 + 4 * t + SPRITE_PX)] = True
    assert seen[truth].mean() > 0.9
    assert seen[~truth].mean() < 0.1


def test_a_still_video_has_no_foreground():
    frames = np.repeat(moving_sprite(frames=1).frames, 6, axis=0)
    assert not foreground(frames).any()


@pytest.mark.parametrize("noise", [0.0, 3.0])
def test_a_sprite_is_not_taken_for_a_moving_camera(noise):
    assert not camera_moves(moving_sprite((4.0, 1.0), frames=20, noise=noise).frames)


@pytest.mark.parametrize("velocity", [(1.5, -1.0), (0.0, 3.0)])
@pytest.mark.parametrize("size", [(128, 128), (300, 200)])
def test_a_moving_camera_is_noticed(velocity, size):
    assert camera_moves(moving_camera(velocity, frames=10, size=size).frames)


@pytest.mark.parametrize("shape", [(1, 128, 128), (2, 1, 1), (3, 4, 300), (5, 64, 64)])
def test_black_videos_of_any_size_rest(shape):
    frames = np.zeros((*shape, 3), np.uint8)
    assert not camera_moves(frames)
    assert not foreground(frames).any()
