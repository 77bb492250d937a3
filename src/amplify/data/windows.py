"""Training windows: at every frame of every episode, what is seen there and what follows.

Nothing is kept of a window: its episode and frame follow from its number, and tracks, features and actions are read
from memory-mapped files, so that a set of any size takes the memory of its list of episodes.
Actions are read only by sets that ask for them: learning from video cannot depend on actions, whatever the files hold.
"""

import copy
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int64, UInt8
from torch import Tensor

from amplify.data.dataset import Dataset, EpisodeInfo
from amplify.data.fitting import SameRecipe, Shapes, same_robot, same_shapes
from amplify.data.frames import FrameStore
from amplify.data.mixture.alignment import Pace, frames_a_step, pace_of, views_of
from amplify.data.mixture.choosing import chosen_episodes
from amplify.data.mixture.source import Source
from amplify.data.reading import WindowReader
from amplify.data.rows import Rows
from amplify.data.sidecar import read_text, read_text_header
from amplify.errors import SidecarError
from amplify.types import ActionChunk, Features, Pictures, Sample, TrackWindow

__all__ = ["TEXT", "Source", "WindowSet"]

logger = logging.getLogger(__name__)

TEXT = "text-minilm"


@dataclass(frozen=True, slots=True)
class _Episode:
    """An episode in the set."""

    source: int
    info: EpisodeInfo


class WindowSet:
    """The windows of one or several datasets, numbered; a batch is any list of numbers.

    A window past its episode's end repeats the last position and has zero actions, with ``valid`` False there. In a
    view that its source lacks, features and pictures are zero with ``present`` False, points rest and are not valid.

    Args:
        sources: Where the episodes come from.
        tracks: Sidecar folder of the tracks that follow ("tracks-flow-10x10-h16"); None leaves them out. Sources whose
            steps span several frames are read from one of the same tracker with longer windows.
        features: Sidecar folder of the image features at the first frame; None leaves image and text features out.
        images: Room for decoded video in 10⁹ bytes: batches have pictures and no features, see also `seen_by`. None
            leaves pictures out.
        goal: Whether features, or pictures, hold those of the episode's last frame as well: the goal that was reached.
        actions: Whether to read proprioception at the first frame and the actions that follow.
        horizon: Steps a track window, the first frame included; must be the sidecar's.
        action_horizon: Actions a chunk.
        text: Sidecar folder of the instructions' embeddings, read along with features or images.
        views: Names of the views, see `Mixture`.
        rate: Steps a second, see `Mixture`.
        sampling: How `draw` draws, see `Mixture`.

    Raises:
        DataError: A dataset is unusable, lacks actions that are asked for, or does not fit the other sources.
        SidecarError: A sidecar is missing, broken, or was made with other settings than its siblings.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        tracks: str | None,
        features: str | None,
        actions: bool,
        images: float | None = None,
        goal: bool = False,
        horizon: int = 16,
        action_horizon: int = 16,
        text: str = TEXT,
        views: tuple[str, ...] = (),
        rate: float | int | None = None,
        sampling: str = "by-window",
    ):
        self.sources, self.horizon, self.action_horizon = tuple(sources), horizon, action_horizon
        self.datasets = tuple(Dataset.open(source.path, columns=actions) for source in sources)
        self._views = views_of(self.sources, self.datasets, views)
        self._with_tracks, self._with_goal = tracks is not None, goal
        paces = () if tracks is None else self._paces(tracks, rate)
        self._read = WindowReader(self.datasets, self._views, paces, horizon, features)
        self._frames = None if images is None else FrameStore(self.datasets, memory_gb=images, views=self._views)
        self._encode: Callable[[UInt8[Tensor, "*b h w 3"]], Float[Tensor, "*b p d"]] | None = None
        if actions:
            same_robot(self.sources, self.datasets, cameras=not (views or self._views.masked))
        episodes: list[_Episode] = []
        for number, (source, dataset) in enumerate(zip(self.sources, self.datasets)):
            folders = [*([paces[number].folder] if paces else []), *([] if features is None else [features])]
            episodes += [_Episode(number, info) for info in chosen_episodes(source, dataset, folders)]
        self._episodes, self._recipes = tuple(episodes), SameRecipe()
        self._actions = Rows() if actions else None
        self._proprio = Rows() if actions and self.datasets[0].spec.proprio_names is not None else None
        same_shapes(self.sources, ((episode.source, self._examined(episode)) for episode in episodes))
        self._lengths = np.array([episode.info.length for episode in episodes])
        self._ends = np.cumsum(self._lengths)
        self._offsets = self._ends - self._lengths
        self._source = np.array([episode.source for episode in episodes])
        self._index = np.array([episode.info.index for episode in episodes])
        self.instructions = tuple(dict.fromkeys(episode.info.instruction for episode in episodes))
        number_of = {instruction: number for number, instruction in enumerate(self.instructions)}
        self._said = np.array([number_of[episode.info.instruction] for episode in episodes])
        self._text = self._read_text(text) if features is not None or images is not None else None
        self._windows = np.array([self._lengths[self._source == n].sum() for n in range(len(self.sources))])
        weights = np.array([source.weight for source in self.sources])
        drawn = weights * (self._windows if sampling == "by-window" else 1)
        self._uniform = len(weights) == 1 or (sampling == "by-window" and len(set(weights)) == 1)
        self._shares = drawn / drawn.sum()

    def __len__(self) -> int:
        return int(self._ends[-1])

    @property
    def views(self) -> tuple[str, ...]:
        """Names of the views, in order."""
        return self._views.names

    @property
    def index(self) -> Int64[np.ndarray, "n 3"]:
        """Of each window, what `locate` says."""
        return self.locate(np.arange(len(self)))

    @property
    def instruction_numbers(self) -> Int64[np.ndarray, " n"]:
        """Of each window, the number of its instruction in ``instructions``."""
        return np.repeat(self._said, self._lengths)

    @property
    def episodes(self) -> tuple[tuple[int, EpisodeInfo], ...]:
        """Number of the source and description of each episode in the set."""
        return tuple((episode.source, episode.info) for episode in self._episodes)

    @property
    def shares(self) -> Float[np.ndarray, " s"]:
        """How often `draw` draws each source."""
        return self._shares.copy()

    def locate(self, indices: Int[np.ndarray, " b"]) -> Int64[np.ndarray, "b 3"]:
        """Of these windows: number of the source, episode index in its dataset, start frame."""
        rows, starts = self._places(indices)
        return np.stack([self._source[rows], self._index[rows], starts], axis=1).astype(np.int64)

    def draw(self, generator: np.random.Generator, size: int) -> Int64[np.ndarray, " b"]:
        """Numbers of random windows: a source by its share, then any window of it with equal chances.

        Args:
            generator: Decides alone, so that a batch depends on seed and step only.
            size: How many.
        """
        if self._uniform:
            return generator.integers(len(self), size=size)
        which, where = generator.random((2, size))
        source = np.searchsorted(np.cumsum(self._shares)[:-1], which, side="right")
        windows = self._windows[source]
        within = np.minimum((where * windows).astype(np.int64), windows - 1)
        return (np.cumsum(self._windows) - self._windows)[source] + within

    def batch(self, indices: Int[np.ndarray, " b"]) -> Sample:
        """The windows of these numbers, stacked, float32."""
        rows, starts = self._places(indices)
        last = self._lengths[rows] - 1
        tracks = features = pictures = actions = proprio = None
        if self._with_tracks:
            tracks = self._of_sources(self._read.tracks, rows, starts, last)
        if self._text is not None:
            text, present = self._text[torch.from_numpy(self._said[rows])], self._present(rows)
            if self._frames is None:
                goal = self._vision(rows, last) if self._with_goal else None
                features = Features(vision=self._vision(rows, starts), text=text, goal=goal, present=present)
            else:
                goal = self._images(rows, last) if self._with_goal else None
                pictures = Pictures(images=self._images(rows, starts), text=text, goal=goal, present=present)
        if pictures is not None and self._encode is not None:
            features, pictures = _seen(pictures, self._encode), None
        if self._actions is not None:
            frames = starts[:, None] + np.arange(self.action_horizon)
            valid = torch.from_numpy(frames <= last[:, None])
            at = torch.from_numpy(np.minimum(frames, last[:, None]) + self._offsets[rows][:, None])
            actions = ActionChunk(actions=self._actions[at].masked_fill(~valid[..., None], 0.0), valid=valid)
        if self._proprio is not None:
            proprio = self._proprio[torch.from_numpy(self._offsets[rows] + starts)]
        return Sample(features=features, pictures=pictures, tracks=tracks, proprio=proprio, actions=actions)

    def seen_by(self, encode: Callable[[UInt8[Tensor, "*b h w 3"]], Float[Tensor, "*b p d"]]) -> "WindowSet":
        """The same windows, whose pictures become features as an encoder makes them now, without gradients.

        Args:
            encode: Images → patch tokens.
        """
        seen = copy.copy(self)
        seen._encode = encode
        return seen

    def batches(self, size: int) -> Iterator[Sample]:
        """All windows once, in order."""
        for start in range(0, len(self), size):
            yield self.batch(np.arange(start, min(start + size, len(self))))

    def _places(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of each window its episode's place in the set, and its start frame."""
        if len(indices) and not 0 <= indices.min() <= indices.max() < len(self):
            raise IndexError(f"windows are numbered 0 … {len(self) - 1}")
        rows = np.searchsorted(self._ends, indices, side="right")
        return rows, indices - self._offsets[rows]

    def _of_sources(self, read: Callable[..., Any], rows: np.ndarray, *given: np.ndarray) -> Any:
        """What is read of each source, in the order of the batch.

        Args:
            read: Number of a source, episode indices, and rows of what is given → tensors of those windows.
            rows: Places of the episodes in the set.
            given: What else it needs to know of each window.
        """
        of_window, columns = self._source[rows], (self._index[rows], *given)
        where = [(int(source), np.flatnonzero(of_window == source)) for source in np.unique(of_window)]
        parts = [read(source, *(column[at] for column in columns)) for source, at in where]
        if len(parts) == 1:
            return parts[0]
        order = torch.from_numpy(np.argsort(np.concatenate([at for _, at in where])))
        if isinstance(parts[0], Tensor):
            return torch.cat(parts)[order]
        return _one_window(parts).map(lambda tensor: tensor[order])

    def _vision(self, rows: np.ndarray, frames: np.ndarray) -> Float[Tensor, "b v p d"]:
        return self._of_sources(self._read.vision, rows, frames)

    def _images(self, rows: np.ndarray, frames: np.ndarray) -> UInt8[Tensor, "b v h w 3"]:
        assert self._frames is not None
        places = zip(self._source[rows].tolist(), self._index[rows].tolist(), frames.tolist())
        return torch.stack([self._frames.frame(source, episode, frame) for source, episode, frame in places])

    def _present(self, rows: np.ndarray) -> Bool[Tensor, "b v"] | None:
        if not self._views.masked:
            return None
        there = np.array([[camera is not None for camera in of_source] for of_source in self._views.cameras])
        return torch.from_numpy(there[self._source[rows]])

    def _paces(self, tracks: str, rate: float | int | None) -> tuple[Pace, ...]:
        """How time passes in each source."""
        rates = [float(dataset.spec.fps) for dataset in self.datasets]
        if rate is None and len(set(rates)) > 1 and all(source.stride is None for source in self.sources):
            logger.warning(
                "sources of %s frames/s are mixed frame by frame, so that a step means another time in each: --rate "
                "aligns them",
                " and ".join(f"{fps:g}" for fps in sorted(set(rates))),
            )
        return tuple(
            pace_of(dataset.root, tracks, frames_a_step(source, fps, rate), self.horizon)
            for source, dataset, fps in zip(self.sources, self.datasets, rates)
        )

    def _examined(self, episode: _Episode) -> Shapes:
        """The shapes of what is read of an episode, which is checked, and whose actions are taken in."""
        dataset, index = self.datasets[episode.source], episode.info.index
        for kind, (folder, header) in self._read.headers(episode.source, index).items():
            self._recipes.require(kind, dataset.root, folder, header, f"episode {index} of ")
            if kind == "tracks" and self._read.exact(episode.source) and header.settings["horizon"] != self.horizon:
                raise SidecarError(
                    f"{folder} of {dataset.root} has another horizon than asked for",
                    got=header.settings["horizon"],
                    allowed=self.horizon,
                    remedy=f"run 'amplify track {dataset.root} --horizon {self.horizon}', or ask for the sidecar's "
                    "horizon",
                )
        shapes: dict[str, tuple[int, ...]] = dict(self._read.shapes(episode.source, index))
        for rows, column in ((self._actions, dataset.actions), (self._proprio, dataset.proprio)):
            values = None if rows is None else column(index)
            if rows is not None and values is not None:
                rows.append(values)
        return shapes

    def _read_text(self, folder: str) -> Float[Tensor, "i l e"]:
        roots = {episode.info.instruction: self.datasets[episode.source].root for episode in reversed(self._episodes)}
        for root in dict.fromkeys(roots.values()):
            self._recipes.require("text", root, folder, read_text_header(root, folder))
        return torch.cat([read_text(roots[sentence], folder, [sentence]) for sentence in self.instructions])


def _seen(pictures: Pictures, encode: Callable[[Tensor], Tensor]) -> Features:
    with torch.no_grad():
        goal = None if pictures.goal is None else encode(pictures.goal)
        return Features(vision=encode(pictures.images), text=pictures.text, goal=goal, present=pictures.present)


def _one_window(parts: list[TrackWindow]) -> TrackWindow:
    errors = [part.error_px for part in parts if part.error_px is not None]
    return TrackWindow(
        points=torch.cat([part.points for part in parts]),
        visible=torch.cat([part.visible for part in parts]),
        valid=torch.cat([part.valid for part in parts]),
        error_px=torch.cat(errors) if len(errors) == len(parts) else None,
    )
