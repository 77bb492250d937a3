"""Training windows: at every frame of every episode, what is seen there and what follows.

Tracks and features are memory-mapped, so a set larger than memory works and a small one stays in the page cache.
Actions are read only by sets that ask for them: learning from video cannot depend on actions, whatever the files hold.
"""

import copy
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, Int64, UInt8
from torch import Tensor

from amplify.config import Config
from amplify.data.dataset import Dataset, EpisodeInfo
from amplify.data.frames import FrameStore
from amplify.data.sidecar import Header, read_episode, read_text, read_text_header, remedy_for, set_aside_episodes
from amplify.errors import DataError, SidecarError
from amplify.types import ActionChunk, Features, Pictures, Sample, TrackWindow

logger = logging.getLogger(__name__)

TEXT = "text-minilm"


class Source(Config):
    """A dataset, or some of its episodes.

    Args:
        path: The dataset's folder.
        episodes: Their numbers; None takes all that are usable.
    """

    path: Path
    episodes: tuple[int, ...] | None = None


@dataclass(slots=True, kw_only=True)
class _Episode:
    """An episode in the set, with its open sidecars and its arrays."""

    source: int
    info: EpisodeInfo
    tracks: dict[str, Tensor] = field(default_factory=dict)
    vision: Tensor | None = None
    proprio: Tensor | None = None
    actions: Tensor | None = None


class WindowSet:
    """The windows of one or several datasets, numbered; a batch is any list of numbers.

    A window past its episode's end repeats the last position and has zero actions, with ``valid`` False there.

    Args:
        sources: Where the episodes come from.
        tracks: Sidecar folder of the tracks that follow ("tracks-flow-10x10-h16"); None leaves them out.
        features: Sidecar folder of the image features at the first frame; None leaves image and text features out.
        images: Room for decoded video in 10⁹ bytes: batches have pictures and no features, see also `seen_by`. None
            leaves pictures out.
        goal: Whether features, or pictures, hold those of the episode's last frame as well: the goal that was reached.
        actions: Whether to read proprioception at the first frame and the actions that follow.
        horizon: Frames a track window, the first one included; must be the sidecar's.
        action_horizon: Actions a chunk.
        text: Sidecar folder of the instructions' embeddings, read along with features or images.

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
    ):
        self.sources, self.horizon, self.action_horizon = tuple(sources), horizon, action_horizon
        self.datasets = tuple(Dataset.open(source.path, columns=actions) for source in sources)
        self._with_tracks, self._with_features, self._with_goal = tracks is not None, features is not None, goal
        self._frames = None if images is None else FrameStore(self.datasets, memory_gb=images)
        self._encode: Callable[[UInt8[Tensor, "*b h w 3"]], Float[Tensor, "*b p d"]] | None = None
        folders = [folder for folder in (tracks, features) if folder is not None]
        self._episodes: list[_Episode] = []
        self._headers: dict[str, tuple[Path, Header]] = {}
        for number, (source, dataset) in enumerate(zip(self.sources, self.datasets)):
            for info in _chosen(source, dataset, folders):
                episode = _Episode(source=number, info=info)
                if tracks is not None:
                    episode.tracks = self._read(dataset, tracks, info.index)
                if features is not None:
                    episode.vision = self._read(dataset, features, info.index)["vision"]
                if actions:
                    _read_columns(dataset, episode)
                self._episodes.append(episode)
        if actions:
            _same_robot(self.datasets)
        self._same_shapes()
        if tracks is not None and self._headers[tracks][1].settings["horizon"] != horizon:
            root, header = self._headers[tracks]
            raise SidecarError(
                f"{tracks} of {root} has another horizon than asked for",
                got=header.settings["horizon"],
                allowed=horizon,
                remedy=f"run 'amplify track {root} --horizon {horizon}', or ask for the sidecar's horizon",
            )
        lengths = np.array([episode.info.length for episode in self._episodes])
        self._lengths, self._offsets = lengths, np.cumsum(lengths) - lengths
        self._row = np.repeat(np.arange(len(lengths)), lengths)
        self._start = np.arange(int(lengths.sum())) - self._offsets[self._row]
        self.instructions = tuple(dict.fromkeys(episode.info.instruction for episode in self._episodes))
        number_of = {instruction: number for number, instruction in enumerate(self.instructions)}
        self._instruction = np.array([number_of[episode.info.instruction] for episode in self._episodes])[self._row]
        self._text = self._read_text(text) if features is not None or images is not None else None
        self._actions = _joined([episode.actions for episode in self._episodes])
        self._proprio = _joined([episode.proprio for episode in self._episodes])

    def __len__(self) -> int:
        return len(self._row)

    @property
    def index(self) -> Int64[np.ndarray, "n 3"]:
        """Of each window: number of the source, episode index in its dataset, start frame."""
        origin = np.array([(episode.source, episode.info.index) for episode in self._episodes], dtype=np.int64)
        return np.concatenate([origin[self._row], self._start[:, None]], axis=1)

    @property
    def instruction_numbers(self) -> Int64[np.ndarray, " n"]:
        """Of each window, the number of its instruction in ``instructions``."""
        return self._instruction

    @property
    def episodes(self) -> tuple[tuple[int, EpisodeInfo], ...]:
        """Number of the source and description of each episode in the set."""
        return tuple((episode.source, episode.info) for episode in self._episodes)

    def batch(self, indices: Int[np.ndarray, " b"]) -> Sample:
        """The windows of these numbers, stacked, float32."""
        rows, starts = self._row[indices], self._start[indices]
        pairs = [(self._episodes[row], int(start)) for row, start in zip(rows, starts)]
        tracks = features = pictures = actions = None
        if self._with_tracks:
            tracks = self._track_windows(pairs, rows, starts)
        last = [(episode, episode.info.length - 1) for episode, _ in pairs] if self._with_goal else None
        if self._text is not None:
            text = self._text[torch.from_numpy(self._instruction[indices])]
            if self._frames is None:
                features = Features(vision=_features(pairs), text=text, goal=None if last is None else _features(last))
            else:
                goal = None if last is None else self._images(last)
                pictures = Pictures(images=self._images(pairs), text=text, goal=goal)
        if pictures is not None and self._encode is not None:
            with torch.no_grad():
                goal = None if pictures.goal is None else self._encode(pictures.goal)
                features = Features(vision=self._encode(pictures.images), text=pictures.text, goal=goal)
            pictures = None
        if self._actions is not None:
            at, valid = self._steps(rows, starts, self.action_horizon)
            chunk = self._actions[at + torch.from_numpy(self._offsets[rows])[:, None]]
            actions = ActionChunk(actions=chunk.masked_fill(~valid[..., None], 0.0), valid=valid)
        proprio = None
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

    def _images(self, pairs: list[tuple[_Episode, int]]) -> UInt8[Tensor, "b v h w 3"]:
        assert self._frames is not None
        frames = self._frames
        return torch.stack([frames.frame(episode.source, episode.info.index, frame) for episode, frame in pairs])

    def _track_windows(self, pairs: list[tuple[_Episode, int]], rows: np.ndarray, starts: np.ndarray) -> TrackWindow:
        def gather(name: str) -> Tensor:
            return torch.stack([episode.tracks[name][start] for episode, start in pairs])

        points, visible = gather("points").float(), gather("visible")
        _, inside = self._steps(rows, starts, self.horizon)
        valid = inside[:, None].expand(-1, points.shape[1], -1).contiguous()
        with_error = "error_px" in self._episodes[0].tracks
        error_px = gather("error_px").float() if with_error else None
        return TrackWindow(points=points, visible=visible, valid=valid, error_px=error_px)

    def _steps(self, rows: np.ndarray, starts: np.ndarray, steps: int) -> tuple[Tensor, Tensor]:
        """Frames of each window, held at the episode's last one, and whether they are before its end."""
        frames = starts[:, None] + np.arange(steps)
        last = self._lengths[rows][:, None] - 1
        return torch.from_numpy(np.minimum(frames, last)), torch.from_numpy(frames <= last)

    def _read(self, dataset: Dataset, folder: str, episode_index: int) -> dict[str, Tensor]:
        sidecar = read_episode(dataset, folder, episode_index)
        self._same_recipe(dataset.root, folder, sidecar.header, f"episode {episode_index} of ")
        return sidecar.tensors

    def _read_text(self, folder: str) -> Float[Tensor, "i l e"]:
        roots = {episode.info.instruction: self.datasets[episode.source].root for episode in reversed(self._episodes)}
        for root in dict.fromkeys(roots.values()):
            self._same_recipe(root, folder, read_text_header(root, folder))
        return torch.cat([read_text(roots[sentence], folder, [sentence]) for sentence in self.instructions])

    def _same_recipe(self, root: Path, folder: str, header: Header, part: str = "") -> None:
        there, first = self._headers.setdefault(folder, (root, header))
        if header.recipe != first.recipe:
            raise SidecarError(
                f"{folder} was made in two ways",
                got=f"{header.recipe[2:]} for {part}{root}",
                allowed=f"{first.recipe[2:]}, as in {there}",
                remedy=remedy_for(root, folder),
            )

    def _same_shapes(self) -> None:
        shapes: dict[str, tuple[int, tuple[int, ...]]] = {}
        for episode in self._episodes:
            arrays = {**episode.tracks, "features": episode.vision}
            arrays |= {"actions": episode.actions, "proprioception": episode.proprio}
            for name, array in arrays.items():
                shape = () if array is None else tuple(array.shape[1:])
                source, first = shapes.setdefault(name, (episode.source, shape))
                if shape != first:
                    here, there = (self.sources[number].path for number in (episode.source, source))
                    raise DataError(
                        f"sources that do not fit together: {name} of {here}",
                        got=shape or "none",
                        allowed=f"{first or 'none'}, as in {there}",
                        remedy="train on datasets with the same cameras, grid and robot",
                    )


def _chosen(source: Source, dataset: Dataset, folders: list[str]) -> list[EpisodeInfo]:
    usable = {info.index: info for info in dataset.episodes}
    broken = {problem.episode_index: problem.reason for problem in dataset.problems}
    for folder in folders:
        broken |= set_aside_episodes(dataset.root, folder)
    wanted = sorted({*usable, *broken}) if source.episodes is None else source.episodes
    unknown = [index for index in wanted if index not in usable and index not in broken]
    if unknown:
        raise DataError(f"no such episode in {source.path}", got=unknown[0], allowed=f"{min(usable)} … {max(usable)}")
    for index in wanted:
        if index in broken:
            logger.warning("%s: episode %d set aside: %s", source.path, index, broken[index])
    chosen = [usable[index] for index in wanted if index not in broken]
    if not chosen:
        raise DataError(f"no usable episode chosen from {source.path}", remedy="choose others, or record again")
    return chosen


def _read_columns(dataset: Dataset, episode: _Episode) -> None:
    actions, proprio = dataset.actions(episode.info.index), dataset.proprio(episode.info.index)
    if actions is None:
        raise DataError(
            f"{dataset.root} is action-free video", remedy="use it for the tokenizer and the forward model only"
        )
    episode.actions = torch.from_numpy(actions)
    episode.proprio = None if proprio is None else torch.from_numpy(proprio)


def _same_robot(datasets: Sequence[Dataset]) -> None:
    """Numbers of another meaning cannot be learned as one action space, whatever their count."""
    first = datasets[0]
    for dataset in datasets[1:]:
        for field_name, what in (
            ("action_names", "actions"),
            ("proprio_names", "proprioception"),
            ("cameras", "cameras"),
        ):
            ours, theirs = getattr(first.spec, field_name), getattr(dataset.spec, field_name)
            if ours != theirs:
                raise DataError(
                    f"sources that do not fit together: {what} of {dataset.root}",
                    got=", ".join(theirs or ("none",)),
                    allowed=f"{', '.join(ours or ('none',))}, as in {first.root}",
                    remedy="train one inverse model for each action space and set of cameras; tokenizer and forward "
                    "dynamics can be shared, as they see no actions",
                )


def _joined(parts: list[Tensor | None]) -> Tensor | None:
    there = [part for part in parts if part is not None]
    return torch.cat(there) if there else None


def _features(pairs: list[tuple[_Episode, int]]) -> Float[Tensor, "b v p d"]:
    return torch.stack([_part(episode.vision, frame) for episode, frame in pairs]).float()


def _part(array: Tensor | None, row: int) -> Tensor:
    assert array is not None
    return array[row]
