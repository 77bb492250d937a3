"""Dense optical flow between consecutive frames: which image it sees, how finely, and where nothing moves."""

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn.functional import grid_sample

from amplify.config import Config
from amplify.coords import EVALUATION_SIZE_PX, displacements_from_pixels

SMALLEST_PX = 48
"""Below this side the coarsest level of the flow pyramid would be smaller than one patch."""
COLOURLESS = 0.4
"""Chroma whose edges, where something moves, are below this share of brightness' edges carries too little motion."""
EDGE_STRIDE = 4
"""Edges are measured in every so many frames."""
CHROMA_OFFSET = 64
"""Added to chroma, which is mostly near zero, where the enlarged image would be clipped."""
UNCHANGED_LEVELS = 4
"""Differences of up to this many of 255 levels are noise of video compression."""
MARGIN_PX = 12
"""Around what moves, flow is computed this far: as far as anything may go in one step, and a patch."""
MOVING_CAMERA = 0.6
"""Above this share of changed pixels nothing may be assumed to rest."""


class FlowConfig(Config):
    """How dense flow is computed and followed.

    Args:
        channel: The image that flow sees. ``chroma`` (max − min of R, G, B) is nearly blind to shadows and shading;
            ``grey`` is brightness; ``auto`` takes chroma unless what moves has hardly any
            colour or the tracker sees that the camera moves.
        side_px: Larger frames are first reduced to this shorter side, so that the cost does not grow with the video.
        upsample: Flow is computed on frames enlarged this much, then averaged back: finer small motions. 1 takes
            about half the time.
        static_mask: Zero flow where nothing changes between the frames; left out where most of the frame changes,
            because then the camera moves.
        hold_resting: Hold points of surfaces at rest, which flow would drag along with what passes over them; left
            out where hardly anything rests, because then the camera moves.
        fb_limit_px: A point is taken to be lost at a step whose forward–backward error is larger, in pixels of a
            128×128 frame.
    """

    channel: Literal["auto", "chroma", "grey"] = "auto"
    side_px: int = EVALUATION_SIZE_PX
    upsample: Literal[1, 2] = 2
    static_mask: bool = False
    hold_resting: bool = True
    fb_limit_px: float = 4.0


class FlowPair(NamedTuple):
    """Normalised displacements of every pixel between two frames.

    Args:
        forward: From the first frame's pixels.
        backward: From the second frame's pixels, back to the first.
    """

    forward: Float[Tensor, "2 h w"]
    backward: Float[Tensor, "2 h w"]


def dense_flow(
    frames: UInt8[np.ndarray, "t h w 3"],
    config: FlowConfig,
    *,
    within: Bool[np.ndarray, "t hh ww"] | None = None,
) -> Iterator[FlowPair]:
    """Flow of each pair of consecutive frames, in order, computed when asked for.

    Args:
        frames: uint8 RGB.
        config: How to compute it.
        within: Where something moves in frames of the size that flow is computed for: flow is computed for the box
            around it in both frames and is zero elsewhere. Everywhere by default.
    """
    small = reduced(frames, config.side_px)
    channel = channel_of(small, config, within=within)
    height, width = small.shape[1:3]
    everywhere = slice(0, height), slice(0, width)
    # OpenCV's stubs refuse None for the flow to start from, its function wants it.
    solver: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    solver.setVariationalRefinementAlpha(10.0)
    solver.setVariationalRefinementGamma(20.0)
    for t in range(len(frames) - 1):
        box = everywhere if within is None else _box(within[t] | within[t + 1])
        before, after = (_enlarged(channel[frame][box], config.upsample) for frame in (t, t + 1))
        mask = changed(small[t], small[t + 1]) if config.static_mask else None
        yield FlowPair(
            forward=_field(solver.calc(before, after, None), (width, height), box, mask),
            backward=_field(solver.calc(after, before, None), (width, height), box, mask),
        )


def sample(field: Float[Tensor, "2 h w"], points: Float[Tensor, "*b 2"]) -> Float[Tensor, "*b 2"]:
    """The field at normalised points, bilinear; outside the frame the value of the nearest edge."""
    at = points.reshape(1, 1, -1, 2)
    values = grid_sample(field[None], at, mode="bilinear", padding_mode="border", align_corners=False)
    return values[0, :, 0].T.reshape(points.shape)


def channel_of(
    frames: UInt8[np.ndarray, "t h w 3"],
    config: FlowConfig,
    *,
    within: Bool[np.ndarray, "t h w"] | None = None,
) -> UInt8[np.ndarray, "t h w"]:
    """The one-channel video that flow is computed on.

    Args:
        frames: uint8 RGB.
        config: Which channel.
        within: Where something moves; everywhere by default.
    """
    grey = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames])
    if config.channel == "grey":
        return grey
    spread = frames.max(axis=-1) - frames.min(axis=-1)
    if config.channel == "auto" and _edges(spread, within) < COLOURLESS * _edges(grey, within):
        return grey
    return np.minimum(spread, 255 - CHROMA_OFFSET) + np.uint8(CHROMA_OFFSET)


def _edges(video: UInt8[np.ndarray, "t h w"], within: Bool[np.ndarray, "t h w"] | None) -> float:
    """The mean gradient, in levels a pixel, of what is not at the rim of what moves."""
    total, pixels = 0.0, 0
    for t in range(0, len(video), EDGE_STRIDE):
        slopes = [cv2.Sobel(video[t], cv2.CV_32F, *axis, scale=1 / 8) for axis in ((1, 0), (0, 1))]
        size = cv2.magnitude(slopes[0], slopes[1])
        if within is not None:
            size = size[cv2.erode(within[t].view(np.uint8), np.ones((3, 3), np.uint8)) > 0]
        total, pixels = total + float(size.sum()), pixels + size.size
    return total / max(pixels, 1)


def changed(before: UInt8[np.ndarray, "h w 3"], after: UInt8[np.ndarray, "h w 3"]) -> Bool[np.ndarray, "h w"]:
    """Where the frames differ by more than noise, and one pixel around; everywhere if the camera seems to move."""
    mask = cv2.dilate((cv2.absdiff(before, after).max(axis=-1) > UNCHANGED_LEVELS).astype(np.uint8), np.ones((3, 3)))
    if mask.mean() > MOVING_CAMERA:
        mask[:] = 1
    return mask.astype(bool)


def reduced(frames: UInt8[np.ndarray, "t h w 3"], side_px: int) -> UInt8[np.ndarray, "t hh ww 3"]:
    """The frames with a shorter side of at most ``side_px``, averaged by area."""
    height, width = frames.shape[1:3]
    scale = side_px / min(height, width)
    if scale >= 1:
        return frames
    size = (round(width * scale), round(height * scale))
    return np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames])


def _box(mask: Bool[np.ndarray, "h w"]) -> tuple[slice, slice]:
    """Rows and columns of the mask with a margin, at least `SMALLEST_PX` of each where the frame has them."""
    return _span(np.asarray(mask.any(axis=1))), _span(np.asarray(mask.any(axis=0)))


def _span(used: Bool[np.ndarray, " n"]) -> slice:
    places = np.flatnonzero(used)
    first, last = (places[0], places[-1] + 1) if len(places) else (0, 0)
    margin = max(MARGIN_PX, -(-(SMALLEST_PX - (last - first)) // 2))
    # What the margin lacks on one side of the frame is added on the other.
    first, last = first - margin - max(0, last + margin - len(used)), last + margin + max(0, margin - first)
    return slice(max(0, first), min(len(used), last))


def _enlarged(picture: UInt8[np.ndarray, "h w"], by: int) -> UInt8[np.ndarray, "hh ww"]:
    height, width = picture.shape
    scale = max(by, SMALLEST_PX / min(height, width))
    return cv2.resize(picture, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_CUBIC)


def _field(
    flow_px: Float[np.ndarray, "hh ww 2"],
    size: tuple[int, int],
    box: tuple[slice, slice],
    mask: Bool[np.ndarray, "h w"] | None,
) -> Float[Tensor, "2 h w"]:
    """Normalised flow of the whole frame from that of the enlarged box."""
    rows, columns = box
    shape = rows.stop - rows.start, columns.stop - columns.start
    enlarged = flow_px.shape[1], flow_px.shape[0]
    flow = cv2.resize(flow_px, shape[::-1], interpolation=cv2.INTER_AREA)
    flow *= np.array([shape[1] / enlarged[0], shape[0] / enlarged[1]], np.float32)
    whole = np.zeros((size[1], size[0], 2), np.float32)
    whole[box] = flow
    if mask is not None:
        whole *= mask[..., None]
    return displacements_from_pixels(torch.from_numpy(whole), size).permute(2, 0, 1)
