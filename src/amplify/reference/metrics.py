"""The reference's figures of tracks and codes, in its coordinates; ours are in `amplify.metrics`.

They include the query frame, static points and hidden ones, and count coordinates, not points. They serve to check an
import against figures that the reference printed.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

TOLERANCES_PX = range(1, 11)


def track_metrics(
    predicted: Float[Tensor, "b v t n 2"], true: Float[Tensor, "b v t n 2"], frame_px: int
) -> dict[str, float]:
    """Errors of predicted tracks, the query frame included.

    Args:
        predicted: Points in [−1, 1] of the reference.
        true: The same.
        frame_px: Side of the frame.

    Returns:
        ``mse`` and ``l1`` (normalised, of coordinates); ``cross_track_l2`` (mean distance from each predicted point to
        the nearest point of its true path); ``normalized_accuracy`` (share of coordinates off by less than half a
        pixel), ``pixel_accuracy_1`` … ``_10`` (by less than so many pixels) and their mean ``delta_auc``; and how well
        it is foreseen which velocities are not exactly zero: ``nonzero_pred_percent`` and ``nonzero_gt_percent``
        (shares, in spite of their names), ``nonzero_pred_accuracy``, ``nonzero_pred_f1``.
    """
    error = (predicted - true).abs()
    pixel = 2.0 / frame_px
    apart = (predicted[:, :, :, None] - true[:, :, None]).norm(dim=-1)  # (b, v, t of predicted, t of true, n)
    figures = {
        "mse": error.square().mean(),
        "l1": error.mean(),
        "cross_track_l2": apart.amin(dim=3).mean(),
        "normalized_accuracy": (error < pixel / 2).float().mean(),
    }
    # Tolerances are rounded to single precision before they are compared: errors of whole pixels are ties.
    figures |= {f"pixel_accuracy_{px}": (error < torch.tensor(px) * pixel).float().mean() for px in TOLERANCES_PX}
    figures["delta_auc"] = torch.stack([figures[f"pixel_accuracy_{px}"] for px in TOLERANCES_PX]).mean()
    moves, moved = predicted.diff(dim=2) != 0, true.diff(dim=2) != 0
    both, wrong = (moves & moved).sum(), (moves != moved).sum()
    figures |= {
        "nonzero_pred_percent": moves.float().mean(),
        "nonzero_gt_percent": moved.float().mean(),
        "nonzero_pred_accuracy": (moves == moved).float().mean(),
        "nonzero_pred_f1": both / (both + 0.5 * wrong).clamp_min(0.5),
    }
    return {name: float(value) for name, value in figures.items()}


def normalised_perplexity(indices: Int[Tensor, "*b"], classes: int) -> float:
    """How evenly codes are used: 2 to the entropy of their frequencies, over the most that so many tokens can reach.

    Args:
        indices: Tokens.
        classes: Nominal size of the codebook.
    """
    share = indices.flatten().bincount(minlength=classes).float() / indices.numel()
    entropy = -(share * (share + 1e-10).log2()).sum()
    return float(2**entropy / min(classes, indices.numel()))
