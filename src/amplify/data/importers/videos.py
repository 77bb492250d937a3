"""Plain videos, of people or of anything: any container and codec, any frame rate, any size, one camera or several."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from pydantic import Field, PositiveFloat

from amplify.config import Config
from amplify.data.episode import Footage
from amplify.data.health import reason_of
from amplify.data.importers.engine import Plan, Recording
from amplify.data.importers.naming import (
    CAMERA,
    CameraRule,
    grouped,
    instruction_in,
    read_instructions,
    sentence_of,
)
from amplify.data.importers.options import shaping_of
from amplify.data.info import confined
from amplify.data.layout import DatasetSpec
from amplify.errors import DataError
from amplify.jobs import map_jobs
from amplify.video import Glance, Shaping, Timeline, frames_at, glance, timeline

SUFFIXES = frozenset(
    f".{ending}"
    for ending in (
        *("mp4", "m4v", "mov", "qt", "mkv", "webm", "avi", "mpg", "mpeg", "m2v", "ts", "mts", "m2ts", "wmv", "asf"),
        *("flv", "ogv", "ogg", "3gp", "3g2", "mxf", "gif"),
    )
)
MOST_FPS = 30
"""Where no frame rate is asked for: more shows no other motion, and costs."""
SHORT_SIDE = 480
"""Where no size is asked for: larger videos get this shorter side; no encoder here sees more."""
MANY = 1000
"""Files that take longer to look at than worker processes to start."""
UNEVEN_S = 0.5
"""By how much the videos of one episode's cameras may differ in length; the longer ones are cut."""


class VideosConfig(Config):
    """How videos become episodes.

    Args:
        fps: Frames per second; None takes the most common rate of the files, at most 30.
        size: (width, height) in pixels; None takes the most common size of each camera, its shorter side at most 480.
        fit: How other sizes become that one: "crop", "pad" or "stretch".
        cameras: Naming rules "camera=pattern"; none for one camera.
        instructions: CSV or JSON file of sentences; None takes them from the names.
        segment_s: Length of the parts that long videos are cut into, in seconds; None leaves them whole.
        robot_type: Who acts in them.
    """

    format: Literal["videos"] = "videos"
    fps: int | None = Field(default=None, ge=1, le=240)
    size: tuple[int, int] | None = None
    fit: str = "crop"
    cameras: tuple[str, ...] = ()
    instructions: Path | None = None
    segment_s: PositiveFloat | None = None
    robot_type: str = "unknown"


class _Settings(VideosConfig):
    """As asked for, and what the file of instructions held."""

    said: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoRecording:
    """One video of each camera, or a part of it.

    Args:
        name: Of the episode.
        files: Of each camera.
        instruction: What is asked for.
        shapings: Of each camera.
        fps: Of the dataset.
        span_s: First and last second of the part; None is all.
    """

    name: str
    files: dict[str, Path]
    instruction: str
    shapings: dict[str, Shaping]
    fps: int
    span_s: tuple[float, float] | None = None

    def footage(self) -> Footage:
        """The episode; videos whose lengths differ a little end together.

        Raises:
            DataError: A video is broken, or lengths differ by more than half a second.
        """
        lines = {camera: timeline(path) for camera, path in self.files.items()}
        counts = {camera: self._count(line) for camera, line in lines.items()}
        length = min(counts.values())
        if max(counts.values()) - length > UNEVEN_S * self.fps:
            raise DataError(f"cameras of unequal length in {self.name}", got=f"frames: {counts}")
        times = (self.span_s[0] if self.span_s else 0.0) + np.arange(length) / self.fps
        return Footage(
            instruction=self.instruction,
            length=length,
            frames={camera: self._frames(camera, times) for camera in self.files},
            info={"source": self.name} | ({"start_s": self.span_s[0]} if self.span_s else {}),
        )

    def _count(self, line: Timeline) -> int:
        if self.span_s is None:
            return line.count(self.fps)
        start, end = self.span_s
        count = round((min(end, line.duration_s) - start) * self.fps)
        if count < 1:
            raise DataError(f"the video of {self.name} ends before its part", got=f"{line.duration_s:.2f} s")
        return count

    def _frames(self, camera: str, times_s: np.ndarray) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        return frames_at(self.files[camera], times_s, self.shapings[camera])


def plan_videos(source: Path, config: VideosConfig, *, workers: int | None = None) -> Plan:
    """What importing a folder of videos, or one video, does.

    Args:
        source: The folder, with all folders in it; or one file.
        config: How.
        workers: Processes that look at the files; all cores by default.

    Raises:
        DataError: There is no video, or none that can be read.
        UsageError: A naming rule cannot be read.
    """
    rules = tuple(CameraRule.parse(text) for text in config.cameras)
    said = read_instructions(config.instructions) if config.instructions else None
    root = source if source.is_dir() else source.parent
    files = video_files(source)
    episodes, set_aside = grouped(files, rules)
    glances: dict[str, Glance] = {}
    wanted = sorted({file for views in episodes.values() for file in views.values()})
    processes = workers if len(wanted) >= MANY else 0
    for done in map_jobs(partial(_look, root), wanted, workers=processes, label="look", unit="video"):
        if done.result is not None:
            glances[done.item] = done.result
        elif done.error is not None:
            set_aside[done.item] = reason_of(done.error)
    sentences: dict[str, str] = {}
    for name, views in episodes.items():
        sentence = sentence_of(name) if said is None else instruction_in(said, list(views.values()), name)
        if sentence is None:
            set_aside[name] = f"no instruction for it in {config.instructions}"
        elif all(file in glances for file in views.values()):
            sentences[name] = sentence
    if not sentences:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in sorted(set_aside.items())[:3])
        raise DataError(f"no video in {source} can be imported", got=reasons, remedy="see --help, or mend the files")
    spec = _spec(config, rules, [episodes[name] for name in sentences], glances)
    recordings: list[Recording] = []
    for name, sentence in sorted(sentences.items()):
        whole = VideoRecording(
            name=name,
            files={camera: root / episodes[name][camera] for camera in spec.cameras},
            instruction=sentence,
            shapings={camera: shaping_of(spec.size(camera), config.fit) for camera in spec.cameras},
            fps=spec.fps,
        )
        recordings += [whole] if config.segment_s is None else _segments(whole, config.segment_s, set_aside)
    settings = _Settings(**config.model_dump(), said="" if said is None else _digest(said))
    return Plan(spec=spec, settings=settings, recordings=tuple(recordings), set_aside=set_aside)


def video_files(source: Path) -> list[str]:
    """Paths of the videos in a folder, relative to it and in order; of one file, its name.

    Raises:
        DataError: There is none.
    """
    if source.is_file():
        return [source.name]
    if not source.is_dir():
        raise DataError(f"no such file or folder: {source}", remedy="check the path")
    found = [
        path.relative_to(source).as_posix()
        for path in sorted(source.rglob("*"))
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and (path.is_file() or path.is_symlink())
    ]
    if not found:
        raise DataError(
            f"no videos in {source}", allowed=f"files that end in {' '.join(sorted(SUFFIXES))}", remedy="check the path"
        )
    return found


def _look(root: Path, file: str) -> Glance:
    return glance(confined(root, root / file))


def _spec(
    config: VideosConfig,
    rules: Sequence[CameraRule],
    episodes: Sequence[dict[str, str]],
    glances: dict[str, Glance],
) -> DatasetSpec:
    cameras = [rule.camera for rule in rules] or [CAMERA]
    seen = {camera: [glances[views[camera]] for views in episodes] for camera in cameras}
    rates = Counter(min(MOST_FPS, max(1, round(look.rate))) for looks in seen.values() for look in looks)
    sizes = {camera: config.size or _usual_size(looks) for camera, looks in seen.items()}
    return DatasetSpec.of_sizes(sizes, fps=config.fps or _most_common(rates), robot_type=config.robot_type)


def _usual_size(looks: Sequence[Glance]) -> tuple[int, int]:
    width, height = _most_common(Counter((look.width, look.height) for look in looks))
    scale = min(1.0, SHORT_SIDE / min(width, height))
    return (width, height) if scale == 1 else (2 * round(width * scale / 2), 2 * round(height * scale / 2))


def _most_common(counts: Counter):
    """Of those that are equally common the largest, whatever the order."""
    return max(counts, key=lambda value: (counts[value], value))


def _segments(whole: VideoRecording, segment_s: float, set_aside: dict[str, str]) -> list[VideoRecording]:
    """Parts of equal length; a rest shorter than half of one belongs to the last."""
    try:
        end_s = min(timeline(path).duration_s for path in whole.files.values())
    except DataError as error:
        set_aside[whole.name] = reason_of(error)
        return []
    count = max(1, math.floor(end_s / segment_s + 0.5))
    bounds = [(part * segment_s, (part + 1) * segment_s if part + 1 < count else end_s) for part in range(count)]
    return [
        VideoRecording(
            name=f"{whole.name}#{part:04d}",
            files=whole.files,
            instruction=whole.instruction,
            shapings=whole.shapings,
            fps=whole.fps,
            span_s=span,
        )
        for part, span in enumerate(bounds)
    ]


def _digest(said: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(sorted(said.items())).encode()).hexdigest()[:12]
