"""What trackers share that look at one pair of frames at a time: frames in grey, reduced or enlarged to one size."""

import cv2
import numpy as np
from jaxtyping import UInt8

from amplify.errors import DataError
from amplify.types import Clip

SMALLEST_PX = 32
"""The least side to which frames may be reduced."""


def grey_frames(clip: Clip, *, side_px: int, enlarge: int = 1) -> UInt8[np.ndarray, "t h w"]:
    """Brightness of every frame; larger frames are reduced, and then all are enlarged.

    Args:
        clip: The video.
        side_px: The shorter side after reduction; smaller frames keep theirs.
        enlarge: By how much the reduced frames are enlarged (cubic).

    Raises:
        DataError: The clip has no frame.
    """
    if len(clip.frames) == 0:
        raise DataError(f"camera {clip.camera!r} has a clip without frames", remedy="record the episode again")
    height, width = clip.frames.shape[1:3]
    share = min(1.0, side_px / min(height, width))
    small = max(1, round(width * share)), max(1, round(height * share))
    pictures = []
    for frame in clip.frames:
        grey = cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY)
        grey = cv2.resize(grey, small, interpolation=cv2.INTER_AREA) if share < 1 else grey
        wide = (small[0] * enlarge, small[1] * enlarge)
        pictures.append(cv2.resize(grey, wide, interpolation=cv2.INTER_CUBIC) if enlarge > 1 else grey)
    return np.stack(pictures)
