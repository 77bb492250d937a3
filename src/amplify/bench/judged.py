"""What the reference implementation's training step says of every batch's tracks, computed as plainly as it does."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import l1_loss, mse_loss

from amplify.coords import EVALUATION_SIZE_PX, displacements_to_pixels

TOLERANCES_PX = 10
"""The paper's ΔAUC is the mean over tolerances of 1 to so many pixels."""


@torch.no_grad()
def judged(points: Float[Tensor, "b v t n 2"], truth: Float[Tensor, "b v t n 2"]) -> dict[str, float]:
    """Errors and accuracies of foreseen tracks.

    Args:
        points: Foreseen, normalised.
        truth: What happened.
    """
    off_px = displacements_to_pixels(points - truth, EVALUATION_SIZE_PX).abs()
    within = [float((off_px < tolerance).float().mean()) for tolerance in range(1, TOLERANCES_PX + 1)]
    moved, really = points.diff(dim=2) != 0, truth.diff(dim=2) != 0
    values = {
        "mean_squared_error": mse_loss(points, truth),
        "mean_absolute_error": l1_loss(points, truth),
        "distance_to_path": _distance_to_path(truth, points),
        "pixel_accuracy": (off_px < 0.5).float().mean(),
        "moved": moved.float().mean(),
        "really_moved": really.float().mean(),
        "moved_accuracy": (moved == really).float().mean(),
        "moved_f1": _f1(moved, really),
    }
    return {"delta_auc": sum(within) / TOLERANCES_PX, **{name: float(value) for name, value in values.items()}}


def _distance_to_path(points: Float[Tensor, "b v t n 2"], path: Float[Tensor, "b v t n 2"]) -> Tensor:
    """Mean distance from a position to the nearest one of the same point's path, at whatever time."""
    return (points[:, :, :, None] - path[:, :, None]).norm(dim=-1).amin(dim=3).mean()


def _f1(said: Bool[Tensor, "*b"], true: Bool[Tensor, "*b"]) -> Tensor:
    both = (said & true).sum()
    return both / (both + 0.5 * (said ^ true).sum()).clamp_min(0.5)
