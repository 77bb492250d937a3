"""How well tracks agree with the truth: the paper's figures, and figures on the points that really move.

Every figure comes twice. *All* is the paper's form: every valid point and frame, the query frame included. As most
points of a fixed camera rest, it flatters a model that predicts no motion. *Moving* keeps the points whose true path
is longer than one pixel, where they are visible, without the query frame. Pixels are those of a 128×128 frame.
"""

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from amplify.coords import EVALUATION_SIZE_PX, displacements_to_pixels
from amplify.types import TrackWindow

PCK_PX = (1, 2, 4, 8, 16)
"""TAP-Vid's five thresholds (Doersch et al., 2022)."""
DELTA_AUC_PX = tuple(range(1, 11))
"""The paper's ten tolerances."""
MOVING_PX = 1.0
"""A point moves when its true path over the window is longer than this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Figures over one set of points; NaN where the set is empty.

    Args:
        mse: Mean squared error in normalised [−1, 1] coordinates, over points, frames and coordinates.
        pixel_accuracy: Share of coordinates with an error below half a pixel (the paper's).
        delta_auc: Mean over tolerances of 1 … 10 px of the share of coordinates with an error below (the paper's).
        error_px: Mean Euclidean error.
        pck: Share of points with a Euclidean error below each threshold in pixels.
        count: Points × frames that were scored.
    """

    mse: float
    pixel_accuracy: float
    delta_auc: float
    error_px: float
    pck: dict[int, float]
    count: int

    @property
    def delta_avg(self) -> float:
        """Mean of ``pck`` over the five thresholds: TAP-Vid's δ_avg."""
        return sum(self.pck.values()) / len(self.pck)

    def summary(self) -> dict[str, float | int | dict[str, float]]:
        """The figures by name, ready for JSON."""
        return {
            "mse": self.mse,
            "pixel_accuracy": self.pixel_accuracy,
            "delta_auc": self.delta_auc,
            "error_px": self.error_px,
            "pck": {str(threshold): share for threshold, share in self.pck.items()},
            "delta_avg": self.delta_avg,
            "count": self.count,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackScores:
    """The figures over moving and over all points."""

    moving: Scores
    all: Scores

    def summary(self) -> dict[str, dict[str, float | int | dict[str, float]]]:
        """The figures by name, ready for JSON."""
        return {"moving": self.moving.summary(), "all": self.all.summary()}


_NAMES = ("count", "mse", "pixel", *(f"auc{t}" for t in DELTA_AUC_PX), "error", *(f"pck{t}" for t in PCK_PX))


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackSums:
    """Sums over any number of batches: add them up, then `scores`. Large sets stream in constant memory.

    Args:
        moving: One sum a figure, float64.
        all: The same over all points.
    """

    moving: Float[Tensor, " figures"] = field(default_factory=lambda: torch.zeros(len(_NAMES), dtype=torch.float64))
    all: Float[Tensor, " figures"] = field(default_factory=lambda: torch.zeros(len(_NAMES), dtype=torch.float64))

    def __add__(self, other: "TrackSums") -> "TrackSums":
        return TrackSums(moving=self.moving + other.moving, all=self.all + other.all)

    def scores(self) -> TrackScores:
        """Means of everything added so far."""
        return TrackScores(moving=_scores(self.moving), all=_scores(self.all))


def track_sums(predicted: TrackWindow, truth: TrackWindow) -> TrackSums:
    """What a batch adds to the figures of a larger set.

    Args:
        predicted: Only its points are judged.
        truth: Says what is valid, visible and moving.

    Raises:
        ValueError: The two do not have the same shape.
    """
    if predicted.points.shape != truth.points.shape:
        raise ValueError(f"predicted points {tuple(predicted.points.shape)}, true {tuple(truth.points.shape)}")
    error = (predicted.points - truth.points).double()
    error_px = displacements_to_pixels(error, EVALUATION_SIZE_PX)
    distance_px = error_px.norm(dim=-1)
    figures = [torch.ones_like(distance_px), error.square().mean(dim=-1)]
    for tolerance in (0.5, *DELTA_AUC_PX):
        figures.append((error_px.abs() < tolerance).double().mean(dim=-1))
    figures.append(distance_px)
    figures += [(distance_px < threshold).double() for threshold in PCK_PX]
    stacked = torch.stack(figures, dim=-1)  # (*b, v, t, n, figures)
    everything = truth.valid[..., None].expand(truth.visible.shape)
    return TrackSums(moving=stacked[moving_mask(truth)].sum(dim=0).cpu(), all=stacked[everything].sum(dim=0).cpu())


def track_metrics(predicted: TrackWindow, truth: TrackWindow) -> TrackScores:
    """The figures of one batch; `track_sums` where there are several.

    Args:
        predicted: Only its points are judged.
        truth: Says what is valid, visible and moving.
    """
    return track_sums(predicted, truth).scores()


def path_px(window: TrackWindow) -> Float[Tensor, "*b v n"]:
    """Length of each point's path through the valid frames."""
    steps_px = displacements_to_pixels(window.velocities, EVALUATION_SIZE_PX).norm(dim=-1)
    return (steps_px * (window.valid[..., 1:] & window.valid[..., :-1])[..., None]).sum(dim=-2)


def moving_mask(truth: TrackWindow) -> Bool[Tensor, "*b v t n"]:
    """Where a moving point is scored: valid and visible, and not in the query frame."""
    mask = truth.valid[..., None] & truth.visible & (path_px(truth) > MOVING_PX)[..., None, :]
    mask[..., 0, :] = False
    return mask


def no_motion(window: TrackWindow) -> TrackWindow:
    """The reference that predicts that every point stays where the query frame has it."""
    return replace(window, points=window.points[..., :1, :, :].expand_as(window.points).clone())


def constant_velocity(window: TrackWindow, previous: Float[Tensor, "*b v n 2"]) -> TrackWindow:
    """The reference that predicts that every point goes on as it went before the query frame.

    It must not look into the future, so the velocity comes from outside of the window.

    Args:
        window: Gives the query points and the shape.
        previous: Normalised displacement *observed* at each query point over the track step that ends at the query
            frame; zero where nothing came before. `observed_velocity` computes it from the window before.
    """
    steps = torch.arange(window.points.shape[-3], device=previous.device, dtype=previous.dtype)
    return replace(window, points=window.points[..., :1, :, :] + previous[..., None, :, :] * steps[:, None, None])


def observed_velocity(before: TrackWindow) -> Float[Tensor, "*b v n 2"]:
    """The motion seen at each query of the next window, from the window that began one track step earlier.

    Points are started anew at the same places in every frame, so the point that started one step earlier at the same
    place is the nearest one whose motion up to now is known.

    Args:
        before: The windows that started one track step before; only their first two frames are read.
    """
    known = before.valid[..., :2].all(dim=-1)[..., None, None]
    return (before.points[..., 1, :, :] - before.points[..., 0, :, :]) * known


def _scores(sums: Tensor) -> Scores:
    count = int(sums[0])
    mean = dict(zip(_NAMES, (sums / count if count else torch.full_like(sums, torch.nan)).tolist()))
    return Scores(
        mse=mean["mse"],
        pixel_accuracy=mean["pixel"],
        delta_auc=sum(mean[f"auc{t}"] for t in DELTA_AUC_PX) / len(DELTA_AUC_PX),
        error_px=mean["error"],
        pck={t: mean[f"pck{t}"] for t in PCK_PX},
        count=count,
    )
