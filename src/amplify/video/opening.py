"""A video file opened for reading, with errors that a user can act on; conversions of frames without loss."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import av.container
from av.video.reformatter import Interpolation

from amplify.errors import DataError
from amplify.video.boxes import check_claims

# The default conversion rounds down, which darkens every frame by a grey level. Releases before the flags do without.
EXACT = Interpolation.BILINEAR | getattr(Interpolation, "ACCURATE_RND", 0) | getattr(Interpolation, "FULL_CHR_H_INT", 0)

MAX_PIXELS = 1 << 26
"""Of one frame; twice what 8K video has. A header may claim more than memory can hold."""

REMEDY = "copy or record the file again, or leave the episode out"

# Texts that name other files, anywhere: a video must be all in its own file.
_LISTS = (b"#EXTM3U", b"ffconcat", b"<?xml", b"<MPD", b"v=0", b"[playlist]")


@contextmanager
def opened(path: Path, *, threads: int = 1) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    """The container and its first video stream, open while the block runs; errors of the decoder become ours.

    Args:
        path: Any container and codec that FFmpeg reads.
        threads: Of the decoder.

    Raises:
        DataError: The file is missing, truncated, broken, no video, or claims frames beyond any size.
    """
    if not path.is_file():
        raise DataError(f"no such video: {path}", remedy=REMEDY)
    with path.open("rb") as file:
        if file.read(16).lstrip(b"\xef\xbb\xbf \r\n").startswith(_LISTS):
            raise DataError(f"no video, but a list that names other files: {path}", remedy="give the files themselves")
    check_claims(path)
    try:
        container = av.open(str(path), metadata_errors="replace")
    except (av.FFmpegError, ValueError) as error:
        raise DataError(f"broken or truncated video: {path}", got=_said(error), remedy=REMEDY) from error
    with container:
        if not container.streams.video:
            raise DataError(f"truncated video, or no video: {path}", remedy=REMEDY)
        stream = container.streams.video[0]
        if stream.codec_context is None:
            raise DataError(f"video in an unknown codec: {path}", remedy="convert it to H.264")
        if stream.width * stream.height > MAX_PIXELS:
            raise DataError(
                f"absurd video: {path}",
                got=f"frames of {stream.width}×{stream.height} pixels",
                allowed=f"{MAX_PIXELS} pixels a frame",
                remedy=REMEDY,
            )
        stream.codec_context.thread_count = threads
        stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
        try:
            yield container, stream
        except (av.FFmpegError, ValueError) as error:
            raise DataError(f"broken video: {path}", got=_said(error), remedy=REMEDY) from error


def decoded(container: av.container.InputContainer, stream: av.VideoStream, path: Path) -> Iterator[av.VideoFrame]:
    """The frames from where the container stands.

    Raises:
        DataError: The decoder had to make up a part of one.
    """
    for frame in container.decode(stream):
        if frame.is_corrupt:
            raise DataError(f"broken video: {path}", got=f"a damaged frame at {frame.time} s", remedy=REMEDY)
        yield frame


def _said(error: Exception) -> str:
    """The decoder's words, without our path."""
    return getattr(error, "strerror", None) or str(error)
