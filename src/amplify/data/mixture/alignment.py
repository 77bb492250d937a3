"""Sources of other cameras and frame rates brought to one form: the same views, and steps of the same time.

A window starts at every frame of its source. Its step j lies j × r frames later, r being the source's frames a step:
its ``stride``, or its frame rate divided by the mixture's. Between frames, positions are those on the straight line
between the two, seen where both are seen, valid where both are, and as far off as the worse of the two.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from amplify.data.dataset import Dataset
from amplify.data.mixture.source import Source
from amplify.data.sidecar import folders, remedy_for, tracks_folder
from amplify.errors import SidecarError, UsageError, pick

_TRACKS = re.compile(r"tracks-(.+)-(\d+)x\2-h(\d+)")


def horizon_of(folder: str) -> int | None:
    """Frames of a window, as a track sidecar's name says it; None where it does not."""
    named = _TRACKS.fullmatch(folder)
    return int(named[3]) if named else None


@dataclass(frozen=True, slots=True)
class Views:
    """The views of a set, and of each source which of its cameras stands for each.

    Args:
        names: In order.
        cameras: For each source and view the number of its camera, None where it has none.
    """

    names: tuple[str, ...]
    cameras: tuple[tuple[int | None, ...], ...]

    @property
    def masked(self) -> bool:
        """Whether some source lacks a view."""
        return any(None in of_source for of_source in self.cameras)


def views_of(sources: Sequence[Source], datasets: Sequence[Dataset], names: tuple[str, ...]) -> Views:
    """The views of several sources.

    Args:
        sources: With their mapping of cameras.
        datasets: Of the sources.
        names: The views that are wanted, in order; where empty, those of all sources if any source maps its cameras,
            else the cameras of the first source, in whose order those of the others are taken where all have the same
            names.

    Raises:
        UnknownNameError: A source has no such camera.
        UsageError: Two cameras of a source are one view, or a source has none of the views.
    """
    seen = [_renamed(source, dataset) for source, dataset in zip(sources, datasets)]
    mapped = bool(names) or any(source.views for source in sources)
    if not mapped and len({frozenset(of_source) for of_source in seen}) > 1:
        return Views(seen[0], tuple(tuple(range(len(of_source))) for of_source in seen))
    every = dict.fromkeys(name for of_source in seen for name in of_source)
    wanted = names or tuple(every)
    cameras = tuple(tuple(_place(name, of_source) for name in wanted) for of_source in seen)
    for source, of_source, found in zip(sources, seen, cameras):
        if all(camera is None for camera in found):
            raise UsageError(
                f"{source.path} has none of the mixture's views",
                got=", ".join(of_source),
                allowed=", ".join(wanted),
                remedy="map its cameras: views=CAMERA:VIEW",
            )
    return Views(wanted, cameras)


def _place(name: str, cameras: tuple[str, ...]) -> int | None:
    return cameras.index(name) if name in cameras else None


def _renamed(source: Source, dataset: Dataset) -> tuple[str, ...]:
    for camera in source.views:
        pick(camera, dict.fromkeys(dataset.spec.cameras), kind=f"camera of {source.path}")
    names = tuple(source.views.get(camera, camera) for camera in dataset.spec.cameras)
    if len(set(names)) < len(names):
        raise UsageError(f"two cameras of {source.path} are one view", got=", ".join(names))
    return names


@dataclass(frozen=True, slots=True)
class Pace:
    """How many frames of a source a step spans, and the track sidecar whose windows are long enough.

    Args:
        frames: A step, above 0.
        folder: The sidecar's.
    """

    frames: float
    folder: str

    @property
    def exact(self) -> bool:
        """Whether a step is a frame, so that windows are taken as they are stored."""
        return self.frames == 1

    def frames_at(self, steps: int) -> int:
        """How many frames after the first one a number of steps ends, rounded up."""
        return math.ceil(steps * self.frames - 1e-6)


def frames_a_step(source: Source, fps: float, rate: float | int | None) -> float:
    """Frames of a source that one step of a window spans.

    Args:
        source: Its stride counts before the mixture's rate.
        fps: The source's frames a second.
        rate: The mixture's steps a second.
    """
    if source.stride is not None:
        return float(source.stride)
    exact = 1.0 if rate is None else fps / rate
    return float(round(exact)) if abs(exact - round(exact)) < 1e-6 and round(exact) else exact


def pace_of(root: Path, folder: str, frames: float, horizon: int) -> Pace:
    """The pace of a source, whose windows are read from the shortest sidecar of the same tracker that will do.

    Args:
        root: Of its dataset.
        folder: Track sidecar of sources that step by frames.
        frames: Of the source a step.
        horizon: Frames of a window, the first one included.

    Raises:
        SidecarError: No sidecar has windows that are long enough; the command that makes one is named.
    """
    pace = Pace(frames, folder)
    needed = pace.frames_at(horizon - 1) + 1
    named = _TRACKS.fullmatch(folder)
    if named is None or needed <= horizon:
        return pace
    producer, grid = named[1], int(named[2])
    found = {horizon_of(name): name for name in folders(root, f"tracks-{producer}-{grid}x{grid}")}
    longer = min((length for length in found if length is not None and length >= needed), default=None)
    if longer is None:
        raise SidecarError(
            f"the windows of {root} are too short for steps of {frames:g} frames",
            got=", ".join(found.values()) or "no tracks",
            allowed=f"windows of {needed} frames or more",
            remedy=remedy_for(root, tracks_folder(producer, grid, needed)),
        )
    return Pace(frames, found[longer])


def resampled(stored: Float[Tensor, "b v t n c"], pace: Pace, horizon: int) -> Float[Tensor, "b v steps n c"]:
    """Positions at the steps of a window, on straight lines between frames.

    Args:
        stored: At every frame.
        pace: Frames a step.
        horizon: Steps, the first frame included.
    """
    low, high, share = _between(pace, horizon)
    return torch.lerp(stored[:, :, low], stored[:, :, high], share[:, None, None])


def seen_at_both(stored: Bool[Tensor, "b v t n"], pace: Pace, horizon: int) -> Bool[Tensor, "b v steps n"]:
    """Whether a point is seen in both frames around each step; see `resampled`."""
    low, high, _ = _between(pace, horizon)
    return stored[:, :, low] & stored[:, :, high]


def worse_of_both(stored: Float[Tensor, "b v t n"], pace: Pace, horizon: int) -> Float[Tensor, "b v steps n"]:
    """The larger error of the two frames around each step; see `resampled`."""
    low, high, _ = _between(pace, horizon)
    return torch.maximum(stored[:, :, low], stored[:, :, high])


def _between(pace: Pace, horizon: int) -> tuple[list[int], list[int], Tensor]:
    at = [step * pace.frames for step in range(horizon)]
    low = [math.floor(time + 1e-6) for time in at]
    high = [pace.frames_at(step) for step in range(horizon)]
    share = torch.tensor([max(0.0, time - frame) for time, frame in zip(at, low)], dtype=torch.float32)
    return low, high, share


def placed(stored: Tensor, cameras: Sequence[int | None]) -> Tensor:
    """Views in the mixture's order, zeros where there is none.

    Args:
        stored: (b, cameras, …).
        cameras: The number of each view's camera.
    """
    if tuple(cameras) == tuple(range(stored.shape[1])):
        return stored
    nothing = torch.zeros_like(stored[:, 0])
    return torch.stack([nothing if camera is None else stored[:, camera] for camera in cameras], dim=1)
