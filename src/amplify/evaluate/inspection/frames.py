"""Frames that teach nothing: black, over-exposed, empty, or the same as the one before."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
from jaxtyping import UInt8

LOOKED_AT = 512
"""Frames of a long episode that are decoded, in stretches of `STRETCH`."""
STRETCH = 64

BLACK_LEVEL, WHITE_LEVEL = 10, 250
"""A frame is black, or over-exposed, when nearly all of it is below, or above (of 255 levels)."""
NEARLY_ALL = 0.95
EMPTY_LEVELS = 2.0
"""A frame whose levels have a standard deviation below this shows nothing."""
SAME_LEVELS = 2.5
"""Frames whose small grey copies differ by no more than this anywhere are the same, but for compression."""
SMALL_PX = 64
STILL_FRAMES = 8
"""So many equal frames in a row are a still picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameSums:
    """What is wrong with the frames of one camera of one episode.

    Args:
        looked_at: Frames.
        black: Of these, frames with nothing but black.
        overexposed: Frames with nothing but white.
        empty: Frames of one other colour.
        repeated: Frames equal to the one before, of those that show something.
        longest: Frames of the longest still picture, 0 where none is as long as `STILL_FRAMES`.
        longest_from: Its first frame.
        brightness: Mean level of all frames, of 255.
    """

    looked_at: int = 0
    black: int = 0
    overexposed: int = 0
    empty: int = 0
    repeated: int = 0
    longest: int = 0
    longest_from: int = 0
    brightness: float = 0.0


def stretches(length: int) -> list[tuple[int, int]]:
    """Start and number of the frames that are looked at: all, or stretches spread evenly over a long episode.

    Args:
        length: Frames of the episode.
    """
    if length <= LOOKED_AT:
        return [(start, min(STRETCH, length - start)) for start in range(0, length, STRETCH)]
    starts = np.linspace(0, length - STRETCH, LOOKED_AT // STRETCH).round().astype(int)
    return [(int(start), STRETCH) for start in starts]


@dataclass(slots=True)
class FrameWatch:
    """Looks at the stretches of one video in order; `sums` at the end."""

    _small: np.ndarray | None = None
    _next: int = -1
    _run: int = 1
    _run_from: int = 0
    _counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_COUNTED, 0))
    _levels: float = 0.0

    def look(self, frames: UInt8[np.ndarray, "t h w 3"], start: int) -> None:
        """Adds a stretch.

        Args:
            frames: Consecutive frames.
            start: Number of the first.
        """
        if start != self._next:
            self._small, self._run, self._run_from = None, 1, start
        for number, small in enumerate(_reduced(frames), start):
            shows = self._judge(small)
            same = shows and self._small is not None and float(np.abs(small - self._small).max()) <= SAME_LEVELS
            self._counts["repeated"] += same
            self._run, self._run_from = (self._run + 1, self._run_from) if same else (1, number)
            if self._run >= STILL_FRAMES and self._run > self._counts["longest"]:
                self._counts["longest"], self._counts["longest_from"] = self._run, self._run_from
            self._small = small
        self._next = start + len(frames)

    def sums(self) -> FrameSums:
        """Of all stretches so far."""
        return FrameSums(**self._counts, brightness=self._levels / max(1, self._counts["looked_at"]))

    def _judge(self, small: np.ndarray) -> bool:
        """Counts what is wrong with a frame; whether it shows anything."""
        self._counts["looked_at"] += 1
        self._levels += float(small.mean())
        black, white = (small <= BLACK_LEVEL).mean(), (small >= WHITE_LEVEL).mean()
        fault = "black" if black >= NEARLY_ALL else "overexposed" if white >= NEARLY_ALL else ""
        fault = fault or ("empty" if small.std() < EMPTY_LEVELS else "")
        if fault:
            self._counts[fault] += 1
        return not fault


_COUNTED = ("looked_at", "black", "overexposed", "empty", "repeated", "longest", "longest_from")


def _reduced(frames: np.ndarray) -> Iterator[np.ndarray]:
    factor = min(1.0, SMALL_PX / min(frames.shape[1:3]))
    for frame in frames:
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
        yield grey if factor == 1 else cv2.resize(grey, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
