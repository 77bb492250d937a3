"""Videos in time: frames at given seconds, whatever the frame rate, upright and of one size."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import av
import av.container
import numpy as np
from av.video.reformatter import VideoReformatter
from jaxtyping import Float64, UInt8

from amplify.errors import DataError
from amplify.video.opening import EXACT, REMEDY, decoded, opened
from amplify.video.shaping import Shaping

MAX_GAP_S = 60.0
"""Longest time that one frame may stand for; more is a damaged time stamp, and would be filled with copies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """What a video's header and first frame tell.

    Args:
        width: Of a frame as it is shown: turned upright, with square pixels.
        height: The same.
        rate: Frames per second, as far as the header knows.
    """

    width: int
    height: int
    rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """When the frames of a video are shown.

    Args:
        times_s: Of each frame, from the first.
        duration_s: Until the last frame's end.
    """

    times_s: Float64[np.ndarray, " t"]
    duration_s: float

    def count(self, fps: int | float) -> int:
        """Frames of the same duration at another rate."""
        return max(1, round(self.duration_s * fps))


def glance(path: Path) -> Glance:
    """What the video looks like, at the cost of one frame.

    Raises:
        DataError: It cannot be decoded.
    """
    with opened(path) as (container, stream):
        frame = next(decoded(container, stream, path), None)
        if frame is None:
            raise DataError(f"video without frames: {path}", remedy=REMEDY)
        width, height = _shown(frame, stream)
        rate = stream.average_rate or stream.guessed_rate
        return Glance(width=width, height=height, rate=float(rate) if rate else 0.0)


def timeline(path: Path) -> Timeline:
    """When each frame is shown, from the container's packets, without decoding.

    Raises:
        DataError: The file is damaged, or has no or absurd time stamps.
    """
    with opened(path) as (container, stream):
        base = stream.time_base
        stamps = [packet.pts for packet in container.demux(stream) if packet.size and not packet.is_discard]
        if not stamps:
            raise DataError(f"video without frames: {path}", remedy=REMEDY)
        if base is None or None in stamps:
            rate = stream.average_rate or stream.guessed_rate
            if not rate:
                raise DataError(f"video without time stamps or a frame rate: {path}", remedy="convert it to mp4")
            times = np.arange(len(stamps)) / float(rate)
        else:
            times = np.sort(np.array(stamps, dtype=np.float64)) * float(base)
    times -= times[0]
    gaps = np.diff(times)
    if len(gaps) and gaps.max() > MAX_GAP_S:
        raise DataError(
            f"absurd time stamps in {path}",
            got=f"{gaps.max():.4g} s between two frames",
            allowed=f"up to {MAX_GAP_S:.0f} s",
            remedy=REMEDY,
        )
    usual = float(np.median(gaps[gaps > 0])) if (gaps > 0).any() else 0.0
    return Timeline(times_s=times, duration_s=float(times[-1]) + usual)


def frames_at(
    path: Path, times_s: Float64[np.ndarray, " n"], shaping: Shaping | None = None, *, threads: int = 1
) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """For each time the frame that is nearest to it, RGB, turned upright; one frame is in memory at a time.

    Args:
        path: Any container and codec that FFmpeg reads.
        times_s: Increasing seconds from the video's first frame.
        shaping: The size of every frame; by default, as shown.
        threads: Of the decoder.

    Raises:
        DataError: The file is damaged, its time stamps run backwards, or it ends before the last time.
    """
    with opened(path, threads=threads) as (container, stream):
        shots = _Shots(path, container, stream, float(times_s[0]))
        before, now = next(shots, None), next(shots, None)
        if before is None:
            raise DataError(f"truncated video: {path}", got=f"no frame at {times_s[0]:.2f} s", remedy=REMEDY)
        shown: tuple[float, np.ndarray] | None = None
        for time_s in times_s:
            while now is not None and abs(now[0] - time_s) < abs(before[0] - time_s):
                before, now = now, next(shots, None)
            if now is None and time_s - before[0] > max(0.5, 2 * shots.step_s):
                raise DataError(
                    f"truncated video: {path}", got=f"last frame at {before[0]:.2f} s", allowed=f"{time_s:.2f} s"
                )
            if shown is None or shown[0] != before[0]:
                shown = before[0], shots.image(before[1], shaping)
            yield shown[1]


class _Shots:
    """Decoded frames with their seconds from the video's first frame, from a moment on."""

    def __init__(
        self, path: Path, container: av.container.InputContainer, stream: av.VideoStream, start_s: float
    ) -> None:
        self.path, self.stream = path, stream
        self.convert = VideoReformatter()
        self.base = float(stream.time_base) if stream.time_base else 0.0
        self.rate = float(stream.average_rate or stream.guessed_rate or 0)
        self.step_s = 1 / self.rate if self.rate else 0.0
        self.last_s: float | None = None
        self.frames = decoded(container, stream, path)
        first = next(self.frames, None)
        if first is None:
            raise DataError(f"video without frames: {path}", remedy=REMEDY)
        self.origin = first.pts
        self.number = 0
        if start_s > 1 and self.origin is not None and self.base:
            container.seek(self.origin + int((start_s - 0.5) / self.base), stream=stream, backward=True)
            self.frames = decoded(container, stream, path)
        else:
            self.frames = chain([first], self.frames)

    def __iter__(self) -> "_Shots":
        return self

    def __next__(self) -> tuple[float, av.VideoFrame]:
        frame = next(self.frames)
        if frame.pts is None or self.origin is None:
            time_s = self.number * self.step_s
        else:
            time_s = (frame.pts - self.origin) * self.base
        self.number += 1
        if self.last_s is not None and time_s < self.last_s:
            raise DataError(
                f"time stamps that run backwards in {self.path}", got=f"{time_s:.3f} s after {self.last_s:.3f} s"
            )
        self.last_s = time_s
        return time_s, frame

    def image(self, frame: av.VideoFrame, shaping: Shaping | None) -> np.ndarray:
        width, height = _shown(frame, self.stream)
        size = (width, height) if shaping is None else shaping.scaled(width, height)
        turns = _turns(frame)
        across, down = size[::-1] if turns % 2 else size
        image = self.convert.reformat(
            frame, width=across, height=down, format="rgb24", interpolation=EXACT
        ).to_ndarray()
        if turns:
            image = np.rot90(image, turns)
        return np.ascontiguousarray(image) if shaping is None else shaping.cut(image)


def _turns(frame: av.VideoFrame) -> int:
    """Quarter turns, counter-clockwise, that show the frame upright."""
    return round(frame.rotation / 90) % 4


def _shown(frame: av.VideoFrame, stream: av.VideoStream) -> tuple[int, int]:
    aspect = stream.sample_aspect_ratio
    width = max(1, round(frame.width * float(aspect))) if aspect and 0.1 < float(aspect) < 10 else frame.width
    return (frame.height, width) if _turns(frame) % 2 else (width, frame.height)
