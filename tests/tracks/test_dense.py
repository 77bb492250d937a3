import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from amplify.tracks.dense import MARGIN_PX, FlowConfig, dense_flow

from .scenes import SPRITE_PX, moving_sprite


def sprite_mask(clip, start, velocity):
    mask = np.zeros(clip.frames.shape[:3], bool)
    for t in range(len(mask)):
        x, y = int(start[0] + velocity[0] * t), int(start[1] + velocity[1] * t)
        mask[t, y : y + SPRITE_PX, x : x + SPRITE_PX] = True
    return mask


@pytest.mark.parametrize("upsample", [1, 2])
def test_flow_within_a_box_is_that_of_the_sprite_and_zero_elsewhere(upsample):
    start, velocity = (30, 50), (2, 1)
    clip = moving_sprite(velocity, start=start, frames=3, seed=1)
    mask = sprite_mask(clip, start, velocity)
    for t, flow in enumerate(dense_flow(clip.frames, FlowConfig(upsample=upsample), within=mask)):
        px = flow.forward * 64
        x, y = start[0] + velocity[0] * t, start[1] + velocity[1] * t
        inner = px[:, y + 8 : y + 32, x + 8 : x + 32].mean(dim=(1, 2))
        torch.testing.assert_close(inner, torch.tensor([2.0, 1.0]), atol=0.15, rtol=0)
        assert (px[:, : y - MARGIN_PX - 1] == 0).all()
        assert (px[:, :, x + SPRITE_PX + velocity[0] + MARGIN_PX + 1 :] == 0).all()


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    corner=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    size=st.tuples(st.integers(0, 60), st.integers(0, 60)),
)
def test_any_box_in_any_frame(height, width, corner, size):
    frames = np.random.default_rng(0).integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    mask = np.zeros((2, height, width), bool)
    y, x = int(corner[1] * (height - 1)), int(corner[0] * (width - 1))
    mask[0, y : y + size[1], x : x + size[0]] = True
    (flow,) = dense_flow(frames, FlowConfig(upsample=1), within=mask)
    for field in flow:
        assert field.shape == (2, height, width)
        assert field.isfinite().all()
