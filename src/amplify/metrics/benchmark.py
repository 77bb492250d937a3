"""How trackers are judged: TAP-Vid's figures, over moving points, all points, and points on the task's objects."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from amplify.coords import EVALUATION_SIZE_PX, displacements_to_pixels
from amplify.metrics.statistics import Interval, bootstrap
from amplify.metrics.tracks import MOVING_PX, PCK_PX, path_px
from amplify.types import TrackWindow

KINDS = ("moving", "objects", "all")
"""Points that move; those of them that lie on the task's objects; all points."""
_LEVELS = len(PCK_PX)
_COLUMNS = 4 + 3 * _LEVELS


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkSums:
    """Sums over any number of batches, without the query frame; add them up, then read the figures.

    Args:
        counts: Rows are `KINDS`; columns scored, visibility right, truly visible, error of the visible in pixels, then
            for each threshold the visible within, then true positives, then false positives.
    """

    counts: Float[Tensor, "3 figures"] = field(
        default_factory=lambda: torch.zeros(len(KINDS), _COLUMNS, dtype=torch.float64)
    )

    def __add__(self, other: "BenchmarkSums") -> "BenchmarkSums":
        return BenchmarkSums(counts=self.counts + other.counts)

    def summary(self) -> dict[str, dict[str, float]]:
        """The figures of each kind of points by name; NaN where there is none."""
        return {
            kind: {name: float(value) for name, value in figures(row.numpy()).items()}
            for kind, row in zip(KINDS, self.counts)
        }


def figures(counts: Float[np.ndarray, "*b figures"]) -> dict[str, Any]:
    """What the columns of `BenchmarkSums` say, over any leading axes.

    ``delta_avg`` is the mean of ``pck_1`` … ``pck_16``, shares of the visible points within so many pixels;
    ``visible`` is the share of truly visible points, and ``base_rate`` what the better of "all are visible" and "none
    is" would get as ``occlusion_accuracy``.
    """
    scored, right, seen, error = (counts[..., column] for column in range(4))
    within, positives, false = np.split(counts[..., 4:], 3, axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        pck, share = within / seen[..., None], seen / scored
        return {
            "delta_avg": pck.mean(axis=-1),
            "average_jaccard": (positives / (seen[..., None] + false)).mean(axis=-1),
            "occlusion_accuracy": right / scored,
            "base_rate": np.maximum(share, 1 - share),
            "visible": share,
            "error_px": error / seen,
            **{f"pck_{threshold}": pck[..., index] for index, threshold in enumerate(PCK_PX)},
        }


def benchmark_sums(
    predicted: TrackWindow,
    truth: TrackWindow,
    *,
    objects: Bool[Tensor, "*b v n"] | None = None,
    size_px: int = EVALUATION_SIZE_PX,
) -> BenchmarkSums:
    """What a batch adds to the figures.

    A point counts where it is valid, in every frame but the query frame, and where the query is visible at all; its
    position counts where it is truly visible. At each threshold a true positive is visible, is said to be, and is
    within the threshold; a false positive is said to be visible but is hidden or too far away. Jaccard = true positives
    / (truly visible + false positives), averaged over the thresholds.

    Args:
        predicted: Points and visibility are judged.
        truth: Says what is valid, visible and moving.
        objects: Whether each query lies on one of the task's objects; none does by default.
        size_px: Side of the frame whose pixels are counted; TAP-Vid's own figures are those of 256.

    Raises:
        ValueError: The two do not have the same shape.

    Source: Doersch et al., TAP-Vid, 2022, section 3.
    """
    if predicted.points.shape != truth.points.shape:
        raise ValueError(f"predicted points {tuple(predicted.points.shape)}, true {tuple(truth.points.shape)}")
    distance_px = displacements_to_pixels(predicted.points - truth.points, size_px).norm(dim=-1).double()
    seen, said = truth.visible, predicted.visible
    within = [distance_px < threshold for threshold in PCK_PX]
    columns = [torch.ones_like(seen), seen == said, seen, torch.where(seen, distance_px, 0.0)]
    columns += [seen & near for near in within]
    columns += [seen & said & near for near in within]
    columns += [said & ~(seen & near) for near in within]
    stacked = torch.stack([column.double() for column in columns], dim=-1)  # (*b, v, t, n, figures)
    scored = truth.valid[..., None] & seen[..., :1, :]
    scored[..., 0, :] = False
    moving = scored & (path_px(truth) > MOVING_PX)[..., None, :]
    on_object = torch.zeros_like(moving) if objects is None else moving & objects[..., None, :]
    return BenchmarkSums(counts=torch.stack([stacked[mask].sum(dim=0) for mask in (moving, on_object, scored)]).cpu())


def with_intervals(
    episodes: Sequence[BenchmarkSums], *, generator: np.random.Generator
) -> dict[str, dict[str, Interval]]:
    """Every figure with its 95 % bootstrap interval over episodes, whose points count together.

    Args:
        episodes: One a video.
        generator: Draws the resamples.
    """
    counts = np.stack([episode.counts.numpy() for episode in episodes])  # (e, kinds, figures)
    return {
        kind: {
            name: _interval(counts[:, row], name, generator)
            for name in figures(counts[0, row])
            if counts[:, row, 2].sum() > 0
        }
        for row, kind in enumerate(KINDS)
    }


def paired_difference(
    ours: Sequence[BenchmarkSums], theirs: Sequence[BenchmarkSums], figure: str, kind: str, *, generator: Any
) -> Interval:
    """By how much a figure of ours is larger, on the same episodes.

    Args:
        ours: One an episode.
        theirs: The same episodes in the same order.
        figure: A name of `figures`.
        kind: One of `KINDS`.
        generator: Draws the resamples.
    """
    row = KINDS.index(kind)
    both = [np.stack([episode.counts[row].numpy() for episode in side]) for side in (ours, theirs)]
    return bootstrap(
        np.arange(len(ours), dtype=float),
        generator=generator,
        statistic=lambda drawn: np.subtract(*(_pooled(side, drawn, figure) for side in both)),
    )


def _interval(counts: np.ndarray, name: str, generator: np.random.Generator) -> Interval:
    return bootstrap(
        np.arange(len(counts), dtype=float), generator=generator, statistic=lambda drawn: _pooled(counts, drawn, name)
    )


def _pooled(counts: np.ndarray, drawn: np.ndarray, name: str) -> Any:
    return figures(counts[drawn.astype(int)].sum(axis=-2))[name]
