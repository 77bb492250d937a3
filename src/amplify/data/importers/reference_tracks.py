"""Tracks as the reference implementation stores them: ``<method>/<task>_demo/demo_i.hdf5``, ``root/<view>/tracks``.

Its windows start anew at every frame. Points are (x, y) pixel indices of the recorded frames, their grid is counted
column by column, and NaN or infinity stand where the tracker failed. Before tracking, the last frame was repeated
until the last window was full.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32

from amplify.coords import pixels_to_points
from amplify.data.importers.hdf5 import array, opened
from amplify.errors import DataError
from amplify.tracks.queries import column_order
from amplify.types import TrackWindow


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTracks:
    """The tracks of one demonstration as they are stored.

    Args:
        points_px: (x, y) of each view, start frame, frame of the window and point; not finite where unknown.
        visibility: 0 hidden, 1 seen.
    """

    points_px: Float32[np.ndarray, "v t h n 2"]
    visibility: Float32[np.ndarray, "v t h n"]

    def windows(self, size_px: tuple[int, int]) -> TrackWindow:
        """Windows of shape (t, v, h, n, 2), one from every frame, points in the order of `uniform_grid`.

        Where the tracker failed, the point stays where it was last known (at the frame's centre, if never) and is not
        visible. ``valid`` is False past the episode's end.

        Args:
            size_px: (width, height) of the recorded frames.
        """
        points = pixels_to_points(torch.from_numpy(self.points_px), size_px).movedim(0, 1)  # (t, v, h, n, 2)
        known = points.isfinite().all(dim=-1)
        points = torch.where(known[..., None], points, 0.0)
        for age in range(1, points.shape[2]):
            points[:, :, age] = torch.where(known[:, :, age, :, None], points[:, :, age], points[:, :, age - 1])
        visible = (torch.from_numpy(self.visibility).movedim(0, 1) > 0.5) & known
        starts, views, horizon, count = visible.shape
        if math.isqrt(count) ** 2 == count:
            order = column_order(math.isqrt(count))
            points, visible = points[..., order, :], visible[..., order]
        valid = torch.arange(starts)[:, None] + torch.arange(horizon) < starts
        valid = valid[:, None].expand(starts, views, horizon)
        return TrackWindow(points=points, visible=visible & valid[..., None], valid=valid)


def track_views(path: Path) -> tuple[str, ...]:
    """Names of the views that a track file holds."""
    with opened(path) as file:
        return tuple(sorted(file.get("root", {})))


def read_tracks(path: Path, views: Sequence[str] = ()) -> StoredTracks:
    """The tracks of one demonstration.

    Args:
        path: The track file.
        views: Which views, in order; all by default.

    Raises:
        DataError: The file is damaged, lacks a view, or its arrays do not fit together.
    """
    views = tuple(views) or track_views(path)
    with opened(path) as file:
        if not views or "root" not in file:
            raise DataError(f"{path} holds no tracks", allowed="groups root/<view> with tracks and vis")
        points = [array(file["root"], f"{view}/tracks", path) for view in views]
        visibility = [array(file["root"], f"{view}/vis", path) for view in views]
    shapes = {rows.shape for rows in points} | {(*rows.shape, 2) for rows in visibility}
    if len(shapes) != 1 or len(points[0].shape) != 4:
        raise DataError(
            f"arrays of {path} do not fit together", got=sorted(shapes), allowed="(frames, horizon, points, 2) and vis"
        )
    return StoredTracks(
        points_px=np.stack(points).astype(np.float32), visibility=np.stack(visibility).astype(np.float32)
    )
