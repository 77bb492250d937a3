import math
from dataclasses import replace

import pytest
import torch

from amplify.errors import UsageError
from amplify.tokens import camera_motion
from amplify.types import TrackWindow


def px(value: float) -> float:
    return value / 64


def windows(path, visible=None) -> TrackWindow:
    known = torch.ones(path.shape[:-1], dtype=torch.bool)
    return TrackWindow(points=path, visible=known if visible is None else visible, valid=known[..., 0])


def grid(side=10):
    axis = (2 * torch.arange(side) + 1) / side - 1
    return torch.cartesian_prod(axis, axis)


def scene(steps=6, side=10, share=0.3) -> TrackWindow:
    """A still scene in which an object, a corner of the image, moves down a pixel a step."""
    start = grid(side)
    path = start.expand(1, 1, steps + 1, -1, -1).clone()
    own = torch.arange(len(start)) < share * len(start)
    path[..., own, 1] += px(1) * torch.arange(steps + 1)[:, None]
    return windows(path)


def moving_camera(steps=6):
    """A homography a frame: the camera pans by up to ten pixels a step, turns, comes closer and tilts."""
    matrices = [torch.eye(3)]
    for step in range(1, steps + 1):
        turn, zoom = math.radians(2) * step, 1.02**step
        c, s = zoom * math.cos(turn), zoom * math.sin(turn)
        matrices.append(torch.tensor([[c, -s, px(8) * step], [s, c, -px(6) * step], [0.004 * step, -0.003 * step, 1]]))
    return torch.stack(matrices)[None, None]


def error_px(one: TrackWindow, other: TrackWindow) -> float:
    return 64 * (one.points - other.points).norm(dim=-1).max().item()


def test_what_is_left_of_a_panning_camera_is_the_motion_of_the_object():
    still, camera = scene(), moving_camera()
    seen = camera_motion.give_back(still, camera)
    assert error_px(seen, still) > 60
    motion = camera_motion.estimate(seen)
    assert error_px(camera_motion.remove(seen, motion), still) < 0.2
    torch.testing.assert_close(motion, camera, rtol=0, atol=5e-3)


def test_a_still_camera_stays_still_beside_a_large_object():
    still = scene(share=0.4)
    assert error_px(camera_motion.remove(still, camera_motion.estimate(still)), still) < 0.05


def test_what_is_given_back_is_what_was_removed():
    seen, camera = camera_motion.give_back(scene(), moving_camera()), moving_camera()
    there_and_back = camera_motion.give_back(camera_motion.remove(seen, camera), camera)
    assert error_px(there_and_back, seen) < 1e-3
    first = replace(seen, **{k: getattr(seen, k)[:, :, :3] for k in ("points", "visible", "valid")})
    assert torch.allclose(
        camera_motion.give_back(first, camera).points, camera_motion.give_back(seen, camera).points[:, :, :3]
    )


@pytest.mark.parametrize("share", [0.0, 0.4])
def test_noise_of_the_tracker_averages_out_beside_a_large_slow_object(share):
    still, camera = scene(steps=15, share=share, side=20), moving_camera(steps=15)
    seen = camera_motion.give_back(still, camera)
    noise = torch.randn(seen.points.shape, generator=torch.Generator().manual_seed(0)) * px(0.3)
    motion = camera_motion.estimate(replace(seen, points=seen.points + noise))
    assert error_px(camera_motion.remove(seen, motion), still) < 1.0


def test_hidden_points_and_frames_past_the_end_have_no_say():
    still, camera = scene(share=0.0), moving_camera()
    seen = camera_motion.give_back(still, camera)
    visible = seen.visible.clone()
    visible[..., 2:, :60] = False
    wild = torch.where(visible[..., None], seen.points, 7.0)
    assert error_px(camera_motion.remove(seen, camera_motion.estimate(windows(wild, visible))), still) < 0.1
    ended = replace(seen, valid=torch.arange(7)[None, None] < 4)
    motion = camera_motion.estimate(ended)
    assert torch.equal(motion[:, :, 4:], motion[:, :, 3:4].expand(-1, -1, 3, -1, -1))


@pytest.mark.parametrize("known", [0, 1, camera_motion.FEWEST_POINTS - 1])
def test_too_few_points_tell_nothing(known):
    seen = camera_motion.give_back(scene(share=0.0), moving_camera())
    visible = torch.zeros_like(seen.visible)
    visible[..., :known] = True
    assert torch.equal(camera_motion.estimate(replace(seen, visible=visible)), torch.eye(3).expand(1, 1, 7, 3, 3))


def test_points_on_a_line_leave_open_what_is_across_but_give_finite_motion():
    line = torch.stack((torch.linspace(-1, 1, 24), torch.zeros(24)), dim=-1).expand(1, 1, 4, -1, -1)
    path = line + px(3) * torch.arange(4)[:, None, None]
    motion = camera_motion.estimate(windows(path))
    assert error_px(camera_motion.remove(windows(path), motion), windows(line.contiguous())) < 0.05


def test_leading_axes_and_views_are_independent():
    camera = torch.cat((moving_camera(), torch.eye(3).expand(1, 1, 7, 3, 3)), dim=1)
    still = scene().map(lambda x: x.repeat_interleave(2, dim=1))
    seen = camera_motion.give_back(still, camera)
    motion = camera_motion.estimate(seen)
    torch.testing.assert_close(motion[:, :1], camera_motion.estimate(seen.map(lambda x: x[:, :1])))
    assert camera_motion.estimate(seen.map(lambda x: x.expand(2, 3, *x.shape[1:]))).shape == (2, 3, 2, 7, 3, 3)


def test_more_frames_than_homographies_are_refused():
    with pytest.raises(UsageError, match="too few frames"):
        camera_motion.remove(scene(), moving_camera()[:, :, :4])


def test_points_in_a_corner_do_not_tear_the_rest_apart():
    """Few points close together, moving apart, fit a homography that would take other points beyond all bounds."""
    start = torch.cat((grid(4) * 0.04 + 0.9, grid(4)))
    path = start.expand(1, 1, 4, -1, -1).clone()
    path[:, :, 1:, :16] += 0.4 * (start[:16] - 0.9) * (1 + 20 * (start[:16, :1] - 0.9))
    visible = torch.ones(path.shape[:-1], dtype=torch.bool)
    visible[:, :, 1:, 16:] = False
    window = windows(path, visible)
    motion = camera_motion.estimate(window)
    assert camera_motion.remove(window, motion).points.abs().max() < 4
    assert camera_motion.give_back(window, motion).points.abs().max() < 4
