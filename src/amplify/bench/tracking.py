"""Point tracks of a clip: every frame pair visited once, beside tracking anew from every start frame."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from amplify import rng
from amplify.bench.settings import BenchSettings
from amplify.bench.timing import Part, measure
from amplify.tracks.dense import FlowConfig, dense_flow, reduced, sample
from amplify.tracks.flow import FlowTracker
from amplify.tracks.queries import uniform_grid
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

    The same function as `amplify.tracks.flow.FlowTracker` with a named channel and without holding points at rest:
    those two look at the whole video.

    Args:
        clip: One camera's video.
        queries: Normalised start points.
        horizon: Frames of a window.
        config: Of the flow.
    """
    frames = reduced(clip.frames, config.side_px)
    windows = []
    for start in range(len(frames)):
        points = [queries]
        for pair in dense_flow(frames[start : start + horizon], config):
            points.append(points[-1] + sample(pair.forward, points[-1]))
        points += [points[-1]] * (horizon - len(points))
        windows.append(torch.stack(points))
    return torch.stack(windows)


def bench_track(settings: BenchSettings, *, frames: int, grid: int, horizon: int) -> dict[str, Any]:
    """Times of tracking a clip: ``track_flow`` (chained flow) and ``track_flow_resting`` (the default tracker).

    Against ``reference-style`` every window is tracked by itself, which is what a tracker costs that is called anew
    for every start frame.

    Args:
        settings: What is timed; the preset plays no part, and the device is the CPU.
        frames: Length of the clip, as many windows.
        grid: Points along one side.
        horizon: Frames of a window.
    """
    device = settings.prepare()
    clip, queries = moving_square(frames, seed=settings.seed), uniform_grid(grid)
    config = FlowConfig(channel="grey", hold_resting=False)
    chained, resting = FlowTracker(config), FlowTracker()
    parts: list[Part] = []
    if settings.against:
        plain = Part(
            "track_flow_reference_style", lambda: track_each_start(clip, queries, horizon=horizon, config=config)
        )
        parts.append(plain)
    against = parts[0].name if parts else None
    parts += [
        Part("track_flow", lambda: chained.track(clip, queries, horizon=horizon), against),
        Part("track_flow_resting", lambda: resting.track(clip, queries, horizon=horizon), against),
    ]
    timed = measure(parts, rounds=settings.rounds, device=device, label="track")
    seconds = {part.name: (timed[part.name]["median_ms"] or 0.0) / 1e3 for part in parts}
    return {
        **timed,
        "windows_per_s": {name: frames / taken for name, taken in seconds.items()},
        "frames": frames,
        "points": grid**2,
        "horizon": horizon,
        "machine": settings.machine(device),
    }
