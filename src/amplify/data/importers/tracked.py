"""LIBERO's demonstrations with the reference implementation's tracks, as a dataset with track sidecars."""

import dataclasses
import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

from amplify.config import Config
from amplify.data.dataset import Dataset
from amplify.data.episode import Footage
from amplify.data.health import reason_of
from amplify.data.importers.demonstration import HDF5Recording
from amplify.data.importers.engine import Plan, Recording
from amplify.data.importers.reference_tracks import StoredTracks, read_tracks
from amplify.data.info import confined
from amplify.data.sidecar import Header, episode_path, read_episode, write_set_aside
from amplify.data.track_store import write_tracks
from amplify.errors import DataError, SidecarError
from amplify.jobs import map_jobs
from amplify.types import TrackWindow


class _Tracked(Config):
    format: Literal["reference-tracks"] = "reference-tracks"
    demonstrations: str
    method: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedDemonstration:
    """A demonstration that has tracks: refused if these are damaged or do not belong to it.

    Args:
        demonstration: Images and actions.
        root: Folder of the tracks.
        tracks: The track file, in that folder.
        views: Of each camera the view's name in the track file.
    """

    demonstration: HDF5Recording
    root: Path
    tracks: str
    views: tuple[str, ...]

    @property
    def name(self) -> str:
        """That of the demonstration."""
        return self.demonstration.name

    def footage(self) -> Footage:
        """The episode, with the place of its tracks among its notes.

        Raises:
            DataError: Demonstration or tracks are damaged, or have different lengths.
        """
        footage = self.demonstration.footage()
        path = self.root / self.tracks
        _check(read_tracks(path, self.views), footage.length + self.demonstration.ahead, path)
        return dataclasses.replace(footage, info={**footage.info, "tracks": self.tracks})


def plan_reference_tracks(demonstrations: Plan, tracks: Path, method: str | None = None) -> Plan:
    """What importing demonstrations with their tracks does.

    Args:
        demonstrations: Of `plan_libero`.
        tracks: Folder with the track files, ``<suite>/<method>/<task>_demo/demo_i.hdf5`` or a part of that.
        method: Folder of the tracks; by default the only one there is.

    Raises:
        DataError: No demonstration has tracks, or the tracks are of several methods.
    """
    files = sorted(tracks.rglob("demo_*.hdf5")) if tracks.is_dir() else []
    methods = sorted({path.parent.parent.name for path in files})
    if method is None and len(methods) > 1:
        raise DataError(f"tracks of several methods in {tracks}", got=", ".join(methods), remedy="choose with --method")
    by_place: dict[tuple[str, str], list[Path]] = {}
    for path in files:
        if method in (None, path.parent.parent.name):
            by_place.setdefault((path.parent.name, path.stem), []).append(path)
    recordings: list[Recording] = []
    set_aside = dict(demonstrations.set_aside)
    for demo in demonstrations.recordings:
        assert isinstance(demo, HDF5Recording)
        found = by_place.get((demo.path.stem, demo.group.rsplit("/", 1)[-1]), [])
        of_suite = [path for path in found if path.parent.parent.parent.name == demo.path.parent.name] or found
        try:
            if len(of_suite) != 1:
                raise DataError(f"{len(of_suite) or 'no'} track files for {demo.name} in {tracks}")
            place = confined(tracks, of_suite[0]).relative_to(tracks).as_posix()
            recordings.append(
                TrackedDemonstration(demonstration=demo, root=tracks, tracks=place, views=tuple(demo.cameras))
            )
        except DataError as error:
            set_aside[demo.name] = reason_of(error)
    if not recordings:
        raise DataError(
            f"no demonstration has tracks in {tracks}", allowed="<suite>/<method>/<task>_demo/demo_<i>.hdf5"
        )
    return Plan(
        spec=demonstrations.spec,
        settings=_Tracked(demonstrations=demonstrations.settings.model_dump_json(), method=method),
        recordings=tuple(recordings),
        set_aside=set_aside,
    )


def add_tracks(out: Path, tracks: Path, *, tracker: str, workers: int | None = None) -> dict[str, Any]:
    """Sidecars of a dataset that was imported with tracks; those that are there are not made again.

    Args:
        out: The dataset.
        tracks: Folder of the tracks.
        tracker: Who made the tracks.
        workers: Processes; all cores by default.

    Raises:
        DataError: No tracks could be written.
    """
    dataset = Dataset.open(out)
    first = read_tracks(_source(dataset, tracks, dataset.episodes[0].index), dataset.spec.cameras)
    horizon, count = first.points_px.shape[2:4]
    side = math.isqrt(count)
    if side * side != count:
        raise DataError("tracks that are no square grid of points", got=f"{count} points")
    recipe = Header(
        kind="tracks",
        producer=tracker,
        version="reference",
        settings={"grid": side, "horizon": horizon},
        cameras=dataset.spec.cameras,
        length=0,
        origin="",
    )
    todo = [episode.index for episode in dataset.episodes]
    set_aside: dict[int, str] = {}
    work = partial(_add_to_episode, dataset, tracks, recipe)
    for done in map_jobs(work, todo, workers=workers, label="tracks", unit="episode"):
        if done.error is not None:
            set_aside[done.item] = reason_of(done.error)
    write_set_aside(out, recipe.folder, set_aside)
    if len(set_aside) == len(todo):
        raise DataError(f"no tracks could be written for {out}", got=next(iter(set_aside.values())))
    return {
        "sidecar": recipe.folder,
        "tracked": len(todo) - len(set_aside),
        "tracks_set_aside": {f"episode {index}": reason for index, reason in sorted(set_aside.items())},
    }


def _add_to_episode(dataset: Dataset, root: Path, recipe: Header, index: int) -> None:
    length = dataset.length(index)
    try:
        if read_episode(dataset, recipe.folder, index).header.recipe == recipe.recipe:
            return
    except SidecarError:
        pass  # there is none, or it is not whole
    path = _source(dataset, root, index)
    stored = read_tracks(path, dataset.spec.cameras)
    shape = stored.points_px.shape
    if shape[2] != recipe.settings["horizon"] or shape[3] != int(recipe.settings["grid"]) ** 2 or shape[1] < length:
        raise DataError(f"tracks of another grid, horizon or length: {path}", got=shape)
    views = [
        StoredTracks(
            points_px=stored.points_px[view : view + 1, :length], visibility=stored.visibility[view : view + 1, :length]
        ).windows(dataset.spec.size(camera))
        for view, camera in enumerate(dataset.spec.cameras)
    ]
    tracks = TrackWindow(
        points=torch.cat([window.points for window in views], dim=1),
        visible=torch.cat([window.visible for window in views], dim=1),
        valid=torch.cat([window.valid for window in views], dim=1),
    )
    header = recipe.model_copy(update={"length": length, "origin": dataset.fingerprint(index)})
    write_tracks(episode_path(dataset.root, recipe.folder, index), header, tracks)


def _source(dataset: Dataset, root: Path, index: int) -> Path:
    info = next(episode.info for episode in dataset.episodes if episode.index == index)
    if "tracks" not in info:
        raise DataError(f"{dataset.root} was not imported with tracks", remedy="import it into another folder")
    return root / str(info["tracks"])


def _check(tracks: StoredTracks, frames: int, path: Path) -> None:
    if tracks.points_px.shape[1] != frames:
        raise DataError(
            f"tracks of another length than the demonstration: {path}", got=tracks.points_px.shape[1], allowed=frames
        )
