"""Where something moves, and whether the camera does."""

from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

from amplify.coords import EVALUATION_SIZE_PX
from amplify.tracks.resting import RECURRING_SHARE, SAME_LEVELS, SPAN_FRAMES

CAMERA_SIDE_PX = 64
CAMERA_STEP_PX = 0.5
"""Half of the frame moves by more than this, in pixels of a 128 px frame, when the camera moves."""
CAMERA_SHARE = 0.3
"""The camera is taken to move when it does so in this share of the frames."""
CAMERA_PAIRS = 12
"""Pairs of frames that are looked at, spread over the clip."""


def foreground(frames: UInt8[np.ndarray, "t h w 3"]) -> Bool[np.ndarray, "t h w"]:
    """Pixels whose look (the mean of 3×3) is seen there only for a short time; small holes are closed.

    Args:
        frames: uint8 RGB of a camera at rest.
    """
    count, height, width = frames.shape[:3]
    looks = [np.ascontiguousarray(cv2.blur(frame, (3, 3)).transpose(2, 0, 1)).reshape(-1, width) for frame in frames]
    seen = np.zeros((count, height, width), np.uint8)
    for apart in range(1, min(count, SPAN_FRAMES + 1)):
        for t in range(count - apart):
            planes = cv2.absdiff(looks[t], looks[t + apart]).reshape(3, height, width)
            same = (cv2.max(cv2.max(planes[0], planes[1]), planes[2]) < SAME_LEVELS).view(np.uint8)
            seen[t] += same
            seen[t + apart] += same
    t = np.arange(count)
    nearby = np.minimum(count - 1 - t, SPAN_FRAMES) + np.minimum(t, SPAN_FRAMES)
    rare = (seen < RECURRING_SHARE * nearby[:, None, None]).astype(np.uint8)
    kernel = np.ones((5, 5), np.uint8)
    return np.stack([cv2.morphologyEx(mask, cv2.MORPH_CLOSE, kernel) for mask in rare]).astype(bool)


def camera_moves(frames: UInt8[np.ndarray, "t h w 3"]) -> bool:
    """Whether most of the frame moves in many frames: by the median flow of small grey frames."""
    if len(frames) < 2:
        return False
    height, width = frames.shape[1:3]
    scale = CAMERA_SIDE_PX / min(height, width)
    size = (max(CAMERA_SIDE_PX, round(width * scale)), max(CAMERA_SIDE_PX, round(height * scale)))
    solver: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    first = np.unique(np.linspace(0, len(frames) - 2, CAMERA_PAIRS).round().astype(int))
    steps_px = []
    for t in first:
        before, after = (
            cv2.resize(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA)
            for frame in frames[t : t + 2]
        )
        speed = np.linalg.norm(solver.calc(before, after, None), axis=-1)
        steps_px.append(np.median(speed) * EVALUATION_SIZE_PX / CAMERA_SIDE_PX)
    return bool(np.mean(np.array(steps_px) > CAMERA_STEP_PX) > CAMERA_SHARE)
