"""Foreseen motion on still images: one panel a future, as a picture or as points that travel."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from amplify.draw.framing import Framing
from amplify.draw.layout import Image, enlarged, label, panels, sheet, title
from amplify.draw.tracks import draw_tracks
from amplify.errors import UsageError

PANEL_PX = 480
"""Images whose shorter side is below this are enlarged to it, so that tracks and labels can be read."""
WIDEST_PX = 4096
"""Of a picture of all panels; beyond, they shrink."""
WIDEST_FILM_PX = 1280
DIM = 0.3
"""Share of brightness taken from the image under the tracks."""
FILM_FPS = 15
SUBSTEPS, HELD, LOOPS = 2, 14, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One future.

    Args:
        tracks: For each view the points' positions in order of time, normalised in the view's square frame.
        caption: One line.
    """

    tracks: Sequence[Float[Tensor, "t _ 2"]]
    caption: str


def draw_futures(
    views: Sequence[Image], framings: Sequence[Framing], futures: Sequence[Panel], *, heading: str
) -> Image:
    """One picture: a panel a future under a common heading, every view of a future side by side.

    Args:
        views: The images, any size.
        framings: Where each view's square frame lies.
        futures: In the order of the panels.
        heading: What was asked for.

    Raises:
        UsageError: There is no future.
    """
    stage = _Stage(views, framings, futures, heading, WIDEST_PX)
    return stage.draw([future.tracks for future in futures])


def draw_futures_video(
    views: Sequence[Image], framings: Sequence[Framing], futures: Sequence[Panel], *, heading: str
) -> UInt8[np.ndarray, "t h w 3"]:
    """Frames at `FILM_FPS`: points travel over the still images, slower than life, and rest at the end; twice over.

    Args:
        views: The images, any size.
        framings: Where each view's square frame lies.
        futures: In the order of the panels.
        heading: What was asked for.

    Raises:
        UsageError: There is no future.
    """
    stage = _Stage(views, framings, futures, heading, WIDEST_FILM_PX)
    fine = [[_interpolated(track, SUBSTEPS) for track in future.tracks] for future in futures]
    length = len(fine[0][0])
    frames = [stage.draw([[track[: t + 1] for track in future] for future in fine]) for t in range(length)]
    return np.stack((frames + [frames[-1]] * HELD) * LOOPS)


class _Stage:
    """What all frames share: views at the size of the panels, the layout, the captions."""

    def __init__(
        self,
        views: Sequence[Image],
        framings: Sequence[Framing],
        futures: Sequence[Panel],
        heading: str,
        widest_px: int,
    ):
        if not futures:
            raise UsageError("a picture of futures needs at least one", got=0)
        self.heading, self.captions = heading, [future.caption for future in futures]
        self.columns = _columns(len(futures))
        high, across = views[0].shape[:2]
        height = high * max(1.0, PANEL_PX / min(high, across))
        wide = self.columns * sum(view.shape[1] * height / view.shape[0] for view in views)
        height *= min(1.0, widest_px / wide)
        factors = [height / view.shape[0] for view in views]
        self.views = [view if factor == 1 else enlarged(view, factor) for view, factor in zip(views, factors)]
        self.framings = [Framing.of(view, framing.fit) for view, framing in zip(self.views, framings)]

    def draw(self, futures: Sequence[Sequence[Float[Tensor, "t _ 2"]]]) -> Image:
        cells = []
        for tracks, caption in zip(futures, self.captions):
            drawn = [
                framing.put_back(view, draw_tracks(framing.square(view), track, dim=DIM))
                for view, framing, track in zip(self.views, self.framings, tracks)
            ]
            cells.append(label(panels(drawn, gap_px=2), caption))
        picture = sheet(cells, columns=self.columns, gap_px=8)
        # A letter is about 0.6 of its height wide: long sentences get smaller letters.
        fitting_px = picture.shape[1] / (0.6 * max(1, len(self.heading)))
        return title(picture, self.heading, size_px=max(9, round(min(cells[0].shape[0] / 15, fitting_px))))


def _columns(count: int) -> int:
    """Wide rather than high: 3 in one row, 4 in two, 6 in two rows of three."""
    return count if count <= 3 else max(2, int(np.ceil(np.sqrt(count))))


def _interpolated(track: Float[Tensor, "t _ 2"], substeps: int) -> Float[Tensor, "tt _ 2"]:
    shares = torch.arange(1, substeps + 1, dtype=track.dtype)[:, None, None] / substeps
    between = track[:-1, None] + shares * track.diff(dim=0)[:, None]  # (steps, substeps, n, 2)
    return torch.cat((track[:1], between.flatten(0, 1)))
