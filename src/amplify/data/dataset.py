"""Reads a LeRobotDataset v3, written here or elsewhere; broken episodes are named and set aside."""

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8

from amplify.data.health import (
    Place,
    columns_of,
    episode_rows,
    examine,
    instruction_of,
    locate,
    read_column,
    read_columns,
    read_images,
)
from amplify.data.info import read_info, read_lines, spec_of
from amplify.data.layout import ACTION, NOTES_PATH, STATE, DatasetSpec
from amplify.data.remote import located, present, refreshed, size_of
from amplify.data.scene import read_scene
from amplify.data.writer import SCENE_PATH, DatasetWriter, Episode
from amplify.errors import DataError
from amplify.types import Clip, SceneStates
from amplify.video import frames_at, read_video

__all__ = ["Dataset", "DatasetSpec", "DatasetWriter", "Episode", "EpisodeInfo", "Problem"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeInfo:
    """A usable episode.

    Args:
        index: Its number in the dataset.
        length: Frames.
        instruction: What was asked for.
        info: Notes of the recording (task, seed, noise); empty for datasets recorded elsewhere.
    """

    index: int
    length: int
    instruction: str
    info: dict[str, str | int | float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """An episode that was set aside, and why."""

    episode_index: int
    reason: str


class Dataset:
    """Episodes on disk; small to pickle, opens files only when they are read."""

    def __init__(
        self,
        root: Path,
        spec: DatasetSpec,
        episodes: tuple[EpisodeInfo, ...],
        problems: tuple[Problem, ...],
        places: dict[int, Place],
    ):
        self.root, self.spec, self.episodes, self.problems = root, spec, episodes, problems
        self._places = places

    @classmethod
    def open(
        cls,
        root: Path,
        *,
        strict: bool = False,
        columns: bool = True,
        only: Collection[int] | None = None,
        allow_empty: bool = False,
    ) -> "Dataset":
        """A dataset whose episodes have been checked: files present and whole, frame and row counts, finite numbers.

        Args:
            root: The dataset's folder.
            strict: Whether one broken episode makes the dataset unusable.
            columns: Whether to check proprioception and actions too. Without, their files are not even opened:
                learning from video must not depend on them in any way.
            only: Numbers of the episodes to look at; the others are left out unseen. All by default.
            allow_empty: Whether a dataset without a usable episode is returned, for its problems.

        Raises:
            DataError: There is no dataset of this format, no usable episode (unless allowed), or (if strict) any
                broken one.
        """
        root = refreshed(located(root))
        info = read_info(root)
        spec = spec_of(info, root)
        notes = _notes(root)
        rows = [row for row in episode_rows(root) if only is None or row["episode_index"] in only]
        places, reasons = locate(root, info, spec, rows)
        reasons |= examine(places, spec if columns else None)
        episodes = tuple(
            EpisodeInfo(
                index=row["episode_index"],
                length=row["length"],
                instruction=instruction_of(row),
                info=notes.get(row["episode_index"], {}),
            )
            for row in rows
            if row["episode_index"] not in reasons
        )
        problems = tuple(Problem(episode_index=index, reason=reason) for index, reason in sorted(reasons.items()))
        if problems and (strict or not (episodes or allow_empty)):
            shown = [f"episode {p.episode_index}: {p.reason}" for p in problems]
            listed = "\n           ".join([*shown[:10], *([f"and {len(shown) - 10} more"] if len(shown) > 10 else [])])
            raise DataError(
                f"{len(problems)} of {len(problems) + len(episodes)} episodes of {root} cannot be used",
                got=listed,
                remedy="record or copy the episodes again" + (", or go on without --strict" if episodes else ""),
            )
        if not (episodes or allow_empty):
            raise DataError(f"no episodes in {root}", remedy="record the dataset again")
        usable = {episode.index: places[episode.index] for episode in episodes}
        return cls(root, spec, episodes, problems, usable)

    def frames(
        self, episode_index: int, camera: str, start: int = 0, count: int | None = None
    ) -> UInt8[np.ndarray, "t h w 3"]:
        """The video of one camera, or a part of it.

        Args:
            episode_index: Of the episode.
            camera: Its name.
            start: First frame of the part.
            count: Frames of the part; all to the episode's end by default.

        Raises:
            DataError: No such episode or camera, or the file cannot be decoded.
        """
        place = self._at(episode_index)
        if camera not in self.spec.cameras:
            raise DataError(f"no camera {camera!r} in {self.root}", allowed=", ".join(self.spec.cameras))
        height, width = self.frame_size(camera)
        wanted = place.length - start if count is None else count
        if camera in place.images:
            name = place.images[camera]
            frames = _stacked(read_images(place, episode_index, name, start, wanted), f"{name} in {place.data}")
        else:
            path, first = place.videos[camera]
            frames = read_video(present(path), first + start, wanted)
        if frames.shape[1] < height or frames.shape[2] < width:
            raise DataError(
                f"images of camera {camera} in episode {episode_index} of {self.root} are smaller than info.json says",
                got=f"{frames.shape[2]}×{frames.shape[1]}",
                allowed=f"{width}×{height}",
            )
        return frames[:, :height, :width]

    def stream(self, episode_index: int, camera: str) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        """The images of one camera from first to last, one in memory at a time.

        Args:
            episode_index: Of the episode.
            camera: Its name.

        Raises:
            DataError: No such episode or camera, or the file cannot be decoded.
        """
        place = self._at(episode_index)
        width, height = self.spec.size(camera)
        if camera in place.images:
            images = read_images(place, episode_index, place.images[camera], 0, place.length)
        else:
            path, first = place.videos[camera]
            images = frames_at(present(path), (first + np.arange(place.length)) / self.spec.fps)
        for image in images:
            yield np.ascontiguousarray(image[:height, :width])

    def column(self, episode_index: int, name: str) -> Float32[np.ndarray, "t d"]:
        """Any numeric feature at each frame of an episode.

        Raises:
            DataError: The rows have no such column, or it is damaged.
        """
        return read_column(self._at(episode_index), episode_index, name)

    def only(self, episode_index: int) -> "Dataset":
        """A dataset of one of the episodes, small enough to send anywhere."""
        place = self._at(episode_index)
        kept = tuple(episode for episode in self.episodes if episode.index == episode_index)
        return Dataset(self.root, self.spec, kept, (), {episode_index: place})

    def frame_size(self, camera: str) -> tuple[int, int]:
        """Height and width of a camera's images, in pixels."""
        width, height = self.spec.size(camera)
        return height, width

    def proprio(self, episode_index: int) -> Float32[np.ndarray, "t p"] | None:
        """Proprioception at each frame, environment units; None if the dataset has none."""
        place = self._at(episode_index)
        return None if self.spec.proprio_names is None else read_column(place, episode_index, STATE)

    def actions(self, episode_index: int) -> Float32[np.ndarray, "t a"] | None:
        """The action at each frame, environment units; None for action-free video."""
        place = self._at(episode_index)
        return None if self.spec.action_names is None else read_column(place, episode_index, ACTION)

    def columns(
        self,
    ) -> Iterator[tuple[int, Float32[np.ndarray, "t p"] | None, Float32[np.ndarray, "t a"] | None]]:
        """Number, proprioception and actions of every episode; a file that episodes share is read once."""
        for episode_index, found in read_columns(self._places, columns_of(self.spec)):
            yield episode_index, found.get(STATE), found.get(ACTION)

    def scene(self, episode_index: int) -> SceneStates | None:
        """Poses of everything in each frame; None unless recorded in simulation."""
        self._at(episode_index)
        path = self.root / SCENE_PATH.format(index=episode_index)
        return read_scene(path) if present(path).is_file() else None

    def clip(self, episode_index: int, camera: str) -> Clip:
        """What a tracker sees: one camera's video, with the simulator's truth where there is one."""
        frames = self.frames(episode_index, camera)
        return Clip(frames=frames, fps=float(self.spec.fps), camera=camera, scene=self.scene(episode_index))

    def length(self, episode_index: int) -> int:
        """Frames of an episode."""
        return self._at(episode_index).length

    def fingerprint(self, episode_index: int) -> str:
        """Twelve hexadecimal digits that change when the episode is recorded anew (its length or video sizes)."""
        place = self._at(episode_index)
        parts = [(camera, size_of(path), start) for camera, (path, start) in sorted(place.videos.items())]
        parts += [(camera, place.data.stat().st_size, episode_index) for camera in sorted(place.images)]
        return hashlib.sha256(repr((place.length, parts)).encode()).hexdigest()[:12]

    def _at(self, episode_index: int) -> Place:
        if episode_index in self._places:
            return self._places[episode_index]
        reason = next((p.reason for p in self.problems if p.episode_index == episode_index), None)
        raise DataError(
            f"no usable episode {episode_index} in {self.root}",
            got=reason,
            remedy="choose an index of `Dataset.episodes`",
        )


def _stacked(images: Iterator[np.ndarray], where: str) -> np.ndarray:
    frames = list(images)
    if not frames or len({image.shape for image in frames}) > 1:
        raise DataError(f"no images, or of several sizes: {where}", got=sorted({image.shape for image in frames}))
    return np.stack(frames)


def _notes(root: Path) -> dict[int, dict[str, str | int | float]]:
    path = root / NOTES_PATH
    if not path.is_file():
        return {}
    return {line.get("episode_index", -1): line.get("info", {}) for line in read_lines(path)}
