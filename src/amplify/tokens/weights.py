"""Which points of a window count in the tokenizer's loss, and how much."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from amplify.coords import EVALUATION_SIZE_PX, displacements_to_pixels
from amplify.types import TrackWindow


def known_steps(window: TrackWindow) -> Bool[Tensor, "*b v t n"]:
    """Steps whose both ends are valid and visible: only there is the velocity known."""
    seen = window.visible & window.valid[..., None]
    return seen[..., 1:, :] & seen[..., :-1, :]


def known_positions(window: TrackWindow) -> Bool[Tensor, "*b v t n"]:
    """Frames after the query frame at which the way from the query is known: both ends are valid and visible."""
    seen = window.visible & window.valid[..., None]
    return seen[..., 1:, :] & seen[..., :1, :]


def known_velocities(window: TrackWindow) -> Float[Tensor, "*b v t n 2"]:
    """Normalised displacement per step, zero where it is not known."""
    return torch.where(known_steps(window)[..., None], window.velocities, 0.0)


def moving_points(window: TrackWindow, moving_px: float) -> Bool[Tensor, "*b v n"]:
    """Points whose known path is longer than ``moving_px`` pixels of a 128×128 frame."""
    steps_px = displacements_to_pixels(known_velocities(window), EVALUATION_SIZE_PX).norm(dim=-1)
    return steps_px.sum(dim=-2) > moving_px


def agreement(window: TrackWindow, agreement_px: float, disagreement_weight: float) -> Float[Tensor, "*b v t n"]:
    """Weight of each step by the tracker's own error estimate: 1 while every error so far is small.

    Args:
        window: Tracks; without ``error_px`` every weight is 1.
        agreement_px: Largest error that is trusted, pixels of a 128×128 frame.
        disagreement_weight: Weight from the first larger error on.
    """
    if window.error_px is None:
        return torch.ones_like(window.points[..., 1:, :, 0])
    worst = window.error_px.cummax(dim=-2).values[..., 1:, :]
    return torch.where(worst < agreement_px, 1.0, disagreement_weight)


def choose_points(
    moving: Bool[Tensor, "b v n"], count: int, generator: torch.Generator | None
) -> Int[Tensor, "b v count"]:
    """Random points of each view, half of them moving ones as far as there are that many.

    Args:
        moving: Which points move.
        count: Points wanted, at most n.
        generator: Source of randomness.
    """
    shuffled = torch.rand(moving.shape, generator=generator, device=moving.device)
    first = (shuffled + moving).topk(count // 2, dim=-1).indices
    rest = shuffled.scatter(-1, first, -1.0).topk(count - count // 2, dim=-1).indices
    return torch.cat((first, rest), dim=-1)
