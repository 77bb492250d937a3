"""Point tracks of a clip: every frame pair visited once, beside tracking anew from every start frame."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from amplify import rng
from amplify.tracks.dense import FlowConfig, dense_flow, reduced, sample
from amplify.types import Clip

SIDE_PX = 128
SQUARE_PX = 32


def moving_square(frames: int, *, seed: int) -> Clip:
    """A textured square that crosses a textured background at two pixels a frame.

    Args:
        frames: Length of the clip.
        seed: Of the textures.
    """
    generator = rng.numpy_generator(seed, "bench", "clip")
    coarse = generator.integers(40, 200, size=(2, SIDE_PX // 4, SIDE_PX // 4, 3), dtype=np.uint8)
    background, texture = coarse.repeat(4, axis=1).repeat(4, axis=2)
    video = np.repeat(background[None], frames, axis=0)
    top = (SIDE_PX - SQUARE_PX) // 2
    for t in range(frames):
        left = (2 * t) % (SIDE_PX - SQUARE_PX)
        video[t, top : top + SQUARE_PX, left : left + SQUARE_PX] = texture[:SQUARE_PX, :SQUARE_PX]
    return Clip(frames=video, fps=20.0, camera="front")


def track_each_start(
    clip: Clip, queries: Float[Tensor, "n 2"], *, horizon: int, config: FlowConfig
) -> Float[Tensor, "t horizon n 2"]:
    """The points of every window, each window tracked by itself: the flow of a pair is computed once for every window.

    The same function as `amplify.tracks.flow.FlowTracker` where that does not hold points at rest.

    Args:
        clip: One camera's video.
        queries: Normalised start points.
        horizon: Frames of a window.
        config: Of the flow.
    """
    frames = reduced(clip.frames, config.side_px)
    # The choice of channel looks at the whole video; left to itself, each window could choose another.
    windows = []
    for start in range(len(frames)):
        points = [queries]
        for pair in dense_flow(frames[start : start + horizon], config):
            points.append(points[-1] + sample(pair.forward, points[-1]))
        points += [points[-1]] * (horizon - len(points))
        windows.append(torch.stack(points))
    return torch.stack(windows)
