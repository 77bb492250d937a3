"""What the tokenizer's decoder is measured by: the motion of a few points of each window."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from amplify.coords import EVALUATION_SIZE_PX, displacements_to_pixels
from amplify.tokens.weights import (
    agreement,
    choose_points,
    known_positions,
    known_steps,
    known_velocities,
    moving_points,
)
from amplify.types import TrackWindow


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionTargets:
    """The motion of chosen points, pixels of a 128×128 frame.

    Args:
        queries: Their normalised start points.
        velocities_px: Displacement per step; zero where it is not known.
        path_px: Way from the query frame to each later one; zero where it is not known.
        velocity_weight: Of each displacement in a loss; sums to 1.
        path_weight: Of each way in a loss; sums to 1.
    """

    queries: Float[Tensor, "b v n 2"]
    velocities_px: Float[Tensor, "b v t n 2"]
    path_px: Float[Tensor, "b v t n 2"]
    velocity_weight: Float[Tensor, "b v t n"]
    path_weight: Float[Tensor, "b v t n"]


def motion_targets(
    window: TrackWindow,
    *,
    subset_points: int,
    moving_px: float,
    agreement_px: float,
    disagreement_weight: float,
    view_weights: Float[Tensor, " v"],
    generator: torch.Generator | None,
) -> MotionTargets:
    """The motion of random points of a batch, weighted by what the tracker knows.

    Args:
        window: (b, v, t, n, 2).
        subset_points: Points a view, half of them moving as far as there are that many; 0 = all.
        moving_px: Path length above which a point counts as moving.
        agreement_px: The tracker's error below which a step is trusted.
        disagreement_weight: Weight of steps that are not.
        view_weights: Of each view.
        generator: Draws the points.
    """
    queries = window.points[:, :, 0]
    path = window.points[:, :, 1:] - queries[:, :, None]
    known = known_positions(window)
    trust = agreement(window, agreement_px, disagreement_weight) * view_weights[:, None, None]
    fields = {
        "velocities_px": displacements_to_pixels(known_velocities(window), EVALUATION_SIZE_PX),
        "path_px": displacements_to_pixels(torch.where(known[..., None], path, 0.0), EVALUATION_SIZE_PX),
        "velocity_weight": known_steps(window) * trust,
        "path_weight": known * trust,
    }
    if 0 < subset_points < queries.shape[-2]:
        chosen = choose_points(moving_points(window, moving_px), subset_points, generator)  # (b, v, n)
        queries = queries.gather(-2, chosen[..., None].expand(*chosen.shape, 2))
        at = chosen[:, :, None].expand(-1, -1, path.shape[2], -1)
        for name, values in fields.items():
            where = at if values.ndim == at.ndim else at[..., None].expand(*at.shape, 2)
            fields[name] = values.gather(3, where)
    for name in ("velocity_weight", "path_weight"):
        fields[name] = fields[name] / fields[name].sum().clamp_min(1e-6)
    return MotionTargets(queries=queries, **fields)
