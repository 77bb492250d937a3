"""What the tokenizer's decoder is measured by: the motion of a few points of each window."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from amplify.coords import displacements_to_pixels
from amplify.tokens.config import TokenizerConfig
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
    """The motion of chosen points, in the pixels of the local window.

    Args:
        queries: Their normalised start points.
        chosen: Which points of the window they are; all of them where None.
        velocities_px: Displacement per step; zero where it is not known.
        path_px: Way from the query frame to each later one; zero where it is not known.
        velocity_weight: Of each displacement in a loss; sums to 1.
        path_weight: Of each way in a loss; sums to 1.
    """

    queries: Float[Tensor, "b v n 2"]
    chosen: Int[Tensor, "b v n"] | None
    velocities_px: Float[Tensor, "b v t n 2"]
    path_px: Float[Tensor, "b v t n 2"]
    velocity_weight: Float[Tensor, "b v t n"]
    path_weight: Float[Tensor, "b v t n"]


def motion_targets(
    window: TrackWindow,
    config: TokenizerConfig,
    view_weights: Float[Tensor, " v"],
    generator: torch.Generator | None,
) -> MotionTargets:
    """The motion of random points of a batch, weighted by what the tracker knows.

    Args:
        window: (b, v, t, n, 2).
        config: Says how many points count, how they are drawn and weighted, and how displacements are rounded.
        view_weights: Of each view.
        generator: Draws the points.
    """
    queries = window.points[:, :, 0]
    path = window.points[:, :, 1:] - queries[:, :, None]
    known, known_step = known_positions(window), known_steps(window)
    trust = agreement(window, config.agreement_px, config.disagreement_weight) * view_weights[:, None, None]
    if config.rounding == "frames":
        velocities_px = torch.where(known_step[..., None], _between_rounded_frames(window, config.frame_px), 0.0)
    else:
        velocities_px = displacements_to_pixels(known_velocities(window), config.frame_px)
    fields = {
        "velocities_px": velocities_px,
        "path_px": displacements_to_pixels(torch.where(known[..., None], path, 0.0), config.frame_px),
        "velocity_weight": known_step * trust,
        "path_weight": known * trust,
    }
    chosen = None
    if 0 < config.subset_points < queries.shape[-2]:
        chosen = choose_points(moving_points(window, config.moving_px), config.subset_points, generator)  # (b, v, n)
        queries = queries.gather(-2, chosen[..., None].expand(*chosen.shape, 2))
        at = chosen[:, :, None].expand(-1, -1, path.shape[2], -1)
        for name, values in fields.items():
            where = at if values.ndim == at.ndim else at[..., None].expand(*at.shape, 2)
            fields[name] = values.gather(3, where)
    for name in ("velocity_weight", "path_weight"):
        fields[name] = fields[name] / fields[name].sum().clamp_min(1e-6)
    return MotionTargets(queries=queries, chosen=chosen, **fields)


def _between_rounded_frames(window: TrackWindow, frame_px: int) -> Tensor:
    # The reference puts pixel i at i, without our half pixel.
    pixels = displacements_to_pixels(window.points + 1, frame_px).clamp(0, frame_px - 1).round()
    return pixels[..., 1:, :, :] - pixels[..., :-1, :, :]
