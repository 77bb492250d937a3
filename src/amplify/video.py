"""Video files in and out, still images in: uint8 RGB, H.264 that browsers play and that seeks cheaply."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import av.container
import cv2
import numpy as np
from av.video.reformatter import Interpolation
from jaxtyping import UInt8

from amplify.errors import DataError

CRF = 17
"""Constant rate factor for people: looks lossless."""

RECORDING_CRF = 7
"""For learning: a policy trained on decoded frames meets raw ones. Patch features of a 128 px simulator frame move by
18 % (relative norm) through a file at 7 and by 29 % at 17, for 4.2 instead of 2.1 kB a frame; 13 % is the
half-resolution colour, which no rate mends."""

GOP = 2
"""Frames a key frame: a random frame costs at most two decodes."""

# The default conversion rounds down, which darkens every frame by a grey level. Releases before the flags do without.
_EXACT = (
    Interpolation.BILINEAR | getattr(Interpolation, "ACCURATE_RND", 0) | getattr(Interpolation, "FULL_CHR_H_INT", 0)
)

_REMEDY = "copy or record the file again, or leave the episode out"


def write_video(
    path: Path, frames: UInt8[np.ndarray, "t h w 3"], fps: int | float, *, crf: int = CRF, gop: int = GOP
) -> None:
    """Writes an H.264 (yuv420p) mp4, aside first and renamed when complete.

    An odd height or width is padded by repeating the last row or column, since the format stores colour at half
    resolution; a reader that knows the true size crops it.

    Args:
        path: Ends in ``.mp4``; the folder is made.
        frames: RGB.
        fps: Frames per second.
        crf: 0 (lossless) to 51.
        gop: Frames a key frame; larger is smaller on disk and slower to seek.

    Raises:
        DataError: There are no frames.
    """
    if len(frames) == 0:
        raise DataError(f"no frames to write to {path}", remedy="record at least one frame")
    height, width = frames.shape[1:3]
    frames = np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.stem}.{os.getpid()}.mp4")
    try:
        with av.open(str(aside), "w", options={"movflags": "+faststart"}) as container:
            stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
            stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
            stream.codec_context.thread_count = 1
            stream.options = {"crf": str(crf), "g": str(gop), "bf": "0", "preset": "veryfast"}
            for image in frames:
                picture = av.VideoFrame.from_ndarray(image, format="rgb24")
                container.mux(stream.encode(picture.reformat(format="yuv420p", interpolation=_EXACT)))
            container.mux(stream.encode())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def read_video(path: Path, start_frame: int = 0, frames: int | None = None) -> UInt8[np.ndarray, "t h w 3"]:
    """The frames of a video, RGB.

    Args:
        path: Any container and codec that FFmpeg reads.
        start_frame: First frame wanted, counted from 0; found through the nearest key frame before it.
        frames: How many; None reads to the end.

    Raises:
        DataError: The file is missing, truncated or broken, or ends before the last frame that was asked for.
    """
    with _open(path) as (container, stream):
        wanted: list[np.ndarray] = []
        rate, base, origin = stream.average_rate, stream.time_base, stream.start_time or 0
        if rate is None or base is None:
            raise DataError(f"video without a frame rate: {path}", remedy=_REMEDY)
        if start_frame > 0:
            container.seek(origin + int(start_frame / rate / base), stream=stream, backward=True)
        try:
            for frame in container.decode(stream):
                if frame.pts is not None and round((frame.pts - origin) * base * rate) < start_frame:
                    continue
                wanted.append(frame.reformat(format="rgb24", interpolation=_EXACT).to_ndarray())
                if len(wanted) == frames:
                    break
        except av.FFmpegError as error:
            raise DataError(f"broken video: {path}", got=str(error), remedy=_REMEDY) from error
    if not wanted or (frames is not None and len(wanted) < frames):
        asked = f"{frames} frames from {start_frame}" if frames is not None else f"frames from {start_frame}"
        raise DataError(f"video too short: {path}", got=f"{len(wanted)} frames", allowed=asked, remedy=_REMEDY)
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
    content = np.frombuffer(path.read_bytes(), np.uint8)
    image = cv2.imdecode(content, cv2.IMREAD_COLOR) if len(content) else None
    if image is None:
        raise DataError(f"not an image: {path}", allowed="png, jpg and the like; a video with the number of a frame")
    return np.ascontiguousarray(image[..., ::-1])


def count_frames(path: Path) -> int:
    """Frames that the file's index promises and its bytes can hold, without decoding.

    Raises:
        DataError: The file is missing, broken, or shorter than its index says.
    """
    with _open(path) as (_, stream):
        entries = stream.index_entries
        size = path.stat().st_size
        end = max((entry.pos + entry.size for entry in entries), default=0)
        if end > size:
            raise DataError(f"truncated video: {path}", got=f"{size} bytes", allowed=f"{end} bytes", remedy=_REMEDY)
        return stream.frames or len(entries)


@contextmanager
def _open(path: Path) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    if not path.is_file():
        raise DataError(f"no such video: {path}", remedy=_REMEDY)
    try:
        container = av.open(str(path))
    except av.FFmpegError as error:
        raise DataError(f"broken or truncated video: {path}", got=str(error), remedy=_REMEDY) from error
    with container:
        if not container.streams.video:
            raise DataError(f"truncated video, or no video: {path}", remedy=_REMEDY)
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        yield container, stream
