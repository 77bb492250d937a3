"""Recordings, their tracks and features, and the parts of them that a model learns from."""

from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

from amplify.config import Config
from amplify.data.dataset import Dataset
from amplify.data.extract import encode_dataset, track_dataset
from amplify.data.sidecar import features_folder, text_folder, tracks_folder
from amplify.data.windows import Source
from amplify.encoders import TEXT_ENCODERS, VISION_ENCODERS
from amplify.errors import DataError, pick
from amplify.experiments.defaults import ALL_TRACKERS, TEXT, VISION
from amplify.experiments.engine.cell import Cell, NeedsCells
from amplify.experiments.engine.store import Store
from amplify.sim.libero.record import record as record_libero
from amplify.sim.libero.record_config import RecordConfig as LiberoRecordConfig
from amplify.sim.record import RecordConfig, record
from amplify.train.recipes import TrainingData


class Recording(Cell):
    """A dataset of recorded episodes.

    Args:
        name: Keeps apart what is recorded for different purposes with otherwise equal settings.
        record: What is recorded.
    """

    kind: Literal["recording"] = "recording"
    divides: ClassVar[bool] = True
    name: str
    record: RecordConfig | LiberoRecordConfig

    def dataset(self, store: Store) -> Path:
        """The dataset's folder."""
        return store.folder(self.key) / "dataset"

    def run(self, store: Store) -> Mapping[str, Any]:
        """Records; a task whose expert fails too often is an error, in LIBERO it is left out and named."""
        if isinstance(self.record, LiberoRecordConfig):
            return record_libero(self.record, self.dataset(store))
        return record(self.record, self.dataset(store), strict=True)


class Tracking(Config):
    """How points are followed.

    Args:
        tracker: "flow" learns from pixels alone, as "dis" and "lucas-kanade" do; "ground-truth" from the simulator's
            geometry.
        grid: Points along one side of the uniform grid.
        horizon: Frames of a window.
    """

    tracker: Literal["flow", "dis", "lucas-kanade", "ground-truth"] = "flow"
    grid: int = 10
    horizon: int = 16

    @property
    def sidecar(self) -> str:
        """The name of the track sidecar."""
        return tracks_folder(self.tracker, self.grid, self.horizon)


class Tracked(Cell):
    """A recording's tracks, in its sidecar.

    Args:
        recording: Whose videos.
        tracking: How.
    """

    kind: Literal["tracked"] = "tracked"
    divides: ClassVar[bool] = True
    recording: Recording
    tracking: Tracking

    def run(self, store: Store) -> Mapping[str, Any]:
        """Tracks every episode."""
        dataset = Dataset.open(self.recording.dataset(store), columns=False)
        tracker = pick(self.tracking.tracker, ALL_TRACKERS, kind="tracker")()
        return track_dataset(dataset, tracker, grid=self.tracking.grid, horizon=self.tracking.horizon)


class Encoded(Cell):
    """A recording's frozen image and text features, in their sidecars.

    Args:
        recording: Whose videos.
    """

    kind: Literal["encoded"] = "encoded"
    divides: ClassVar[bool] = True
    recording: Recording

    def run(self, store: Store) -> Mapping[str, Any]:
        """Encodes every frame and instruction."""
        eyes, ears = VISION_ENCODERS["efficientnet-lite0"](), TEXT_ENCODERS[TEXT]()
        return encode_dataset(Dataset.open(self.recording.dataset(store), columns=False), eyes, ears)


class Part(Config):
    """Some episodes of a recording.

    Args:
        recording: Where they come from.
        tasks: Only these tasks; all by default.
        per_task: At most so many of each task, the first ones; all by default.
    """

    recording: Recording
    tasks: tuple[str, ...] | None = None
    per_task: int | None = None

    def source(self, store: Store) -> Source:
        """The episodes' numbers.

        Raises:
            DataError: None is left.
        """
        path = self.recording.dataset(store)
        taken: Counter[str] = Counter()
        chosen = []
        for episode in Dataset.open(path, columns=False).episodes:
            task = str(episode.info["task"])
            if (self.tasks is None or task in self.tasks) and (self.per_task is None or taken[task] < self.per_task):
                taken[task] += 1
                chosen.append(episode.index)
        if not chosen:
            raise DataError(f"no episode of {self.tasks} in {path}", remedy="choose tasks that were recorded")
        return Source(path=path, episodes=tuple(chosen))


class Data(NeedsCells):
    """What a model learns from, or is measured on.

    Args:
        parts: Episodes.
        tracking: Their tracks; None where no tracks are read.
        features: Whether frozen features are read.
    """

    parts: tuple[Part, ...]
    tracking: Tracking | None = Tracking()
    features: bool = True

    @property
    def also_needs(self) -> tuple[Cell, ...]:
        """Tracks and features of every recording."""
        recordings = {part.recording.key: part.recording for part in self.parts}.values()
        cells: list[Cell] = []
        if self.tracking is not None:
            cells += [Tracked(recording=r, tracking=self.tracking) for r in recordings]
        if self.features:
            cells += [Encoded(recording=r) for r in recordings]
        return tuple(cells)

    def training(self, store: Store, *, held_out: "Data | None" = None, action_horizon: int = 16) -> TrainingData:
        """The same, as the training recipes want it."""
        sources = partial(_sources, store)
        return TrainingData(
            sources=sources(self),
            held_out=() if held_out is None else sources(held_out),
            tracks=None if self.tracking is None else self.tracking.sidecar,
            features=features_folder(VISION) if self.features else None,
            text=text_folder(TEXT),
            horizon=16 if self.tracking is None else self.tracking.horizon,
            action_horizon=action_horizon,
        )


def _sources(store: Store, data: Data) -> tuple[Source, ...]:
    return tuple(part.source(store) for part in data.parts)
