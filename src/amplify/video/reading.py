"""Frames of video files by number, and still images: uint8 RGB."""

from pathlib import Path

import cv2
import numpy as np
from av.video.reformatter import VideoReformatter
from jaxtyping import UInt8

from amplify.errors import DataError
from amplify.video.opening import EXACT, MAX_PIXELS, REMEDY, decoded, opened


def read_video(path: Path, start_frame: int = 0, frames: int | None = None) -> UInt8[np.ndarray, "t h w 3"]:
    """The frames of a video, RGB.

    Args:
        path: Any container and codec that FFmpeg reads.
        start_frame: First frame wanted, counted from 0; found through the nearest key frame before it.
        frames: How many; None reads to the end.

    Raises:
        DataError: The file is missing, truncated or broken, or ends before the last frame that was asked for.
    """
    with opened(path) as (container, stream):
        wanted: list[np.ndarray] = []
        rate, base, origin = stream.average_rate, stream.time_base, stream.start_time or 0
        if rate is None or base is None:
            raise DataError(f"video without a frame rate: {path}", remedy=REMEDY)
        if start_frame > 0:
            container.seek(origin + int(start_frame / rate / base), stream=stream, backward=True)
        convert = VideoReformatter()
        for frame in decoded(container, stream, path):
            if frame.pts is not None and round((frame.pts - origin) * base * rate) < start_frame:
                continue
            wanted.append(convert.reformat(frame, format="rgb24", interpolation=EXACT).to_ndarray())
            if len(wanted) == frames:
                break
        if len({image.shape for image in wanted}) > 1:
            raise DataError(f"video whose frames change their size: {path}", remedy=REMEDY)
    if not wanted or (frames is not None and len(wanted) < frames):
        asked = f"{frames} frames from {start_frame}" if frames is not None else f"frames from {start_frame}"
        raise DataError(f"video too short: {path}", got=f"{len(wanted)} frames", allowed=asked, remedy=REMEDY)
    return np.stack(wanted)


def read_image(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """A still image, RGB, turned upright where its metadata says so, without its transparency.

    Args:
        path: PNG, JPEG, WebP, TIFF, BMP.

    Raises:
        DataError: There is no such file, or it is no image.
    """
    if not path.is_file():
        raise DataError(f"no such image: {path}")
    return decode_image(path.read_bytes(), where=str(path))


def decode_image(content: bytes, *, where: str) -> UInt8[np.ndarray, "h w 3"]:
    """A still image from the bytes of its file, as `read_image` does.

    Args:
        content: Of a PNG, JPEG, WebP, TIFF or BMP file.
        where: It came from, for the message.

    Raises:
        DataError: It is no image, or one beyond any size.
    """
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if len(content) else None
    except cv2.error as error:
        raise DataError(f"not an image: {where}", got=error.err, allowed=f"up to {MAX_PIXELS} pixels") from error
    if image is None:
        raise DataError(f"not an image: {where}", allowed="png, jpg and the like; a video with the number of a frame")
    return np.ascontiguousarray(image[..., ::-1])


def count_frames(path: Path) -> int:
    """Frames that the file's index promises and its bytes can hold, without decoding.

    Raises:
        DataError: The file is missing, broken, or shorter than its index says.
    """
    with opened(path) as (_, stream):
        entries = stream.index_entries
        size = path.stat().st_size
        end = max((entry.pos + entry.size for entry in entries), default=0)
        if end > size:
            raise DataError(f"truncated video: {path}", got=f"{size} bytes", allowed=f"{end} bytes", remedy=REMEDY)
        return stream.frames or len(entries)
