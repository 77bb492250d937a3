"""How a tracker that also says what it sees is judged: occlusion accuracy and TAP-Vid's Average Jaccard."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from amplify.coords import EVALUATION_SIZE_PX, displacements_to_pixels
from amplify.metrics.tracks import MOVING_PX, PCK_PX, path_px
from amplify.types import TrackWindow


@dataclass(frozen=True, slots=True, kw_only=True)
class OcclusionSums:
    """Sums over any number of batches, without the query frame; add them up, then read the figures.

    Args:
        counts: Rows are points (moving, all); columns scored, occlusion right, truly visible, then for each threshold
            true positives, then for each threshold false positives.
    """

    counts: Float[Tensor, "2 figures"] = field(
        default_factory=lambda: torch.zeros(2, 3 + 2 * len(PCK_PX), dtype=torch.float64)
    )

    def __add__(self, other: "OcclusionSums") -> "OcclusionSums":
        return OcclusionSums(counts=self.counts + other.counts)

    def summary(self) -> dict[str, dict[str, float]]:
        """``occlusion_accuracy``, ``average_jaccard`` and ``visible`` (the true share), for moving and all points."""
        rows = {}
        for name, row in zip(("moving", "all"), self.counts):
            scored, right, visible = row[:3]
            positives, false = row[3:].chunk(2)
            rows[name] = {
                "occlusion_accuracy": float(right / scored),
                "average_jaccard": float((positives / (visible + false)).mean()),
                "visible": float(visible / scored),
            }
        return rows


def occlusion_sums(predicted: TrackWindow, truth: TrackWindow) -> OcclusionSums:
    """What a batch adds to occlusion accuracy and Average Jaccard.

    At each threshold a true positive is a point that is visible, is said to be, and is within the threshold. A false
    positive is said to be visible but is hidden or too far away. Jaccard = true positives / (truly visible points +
    false positives), averaged over the thresholds.

    Args:
        predicted: Points and visibility are judged.
        truth: Says what is valid, visible and moving.

    Raises:
        ValueError: The two do not have the same shape.

    Source: Doersch et al., TAP-Vid, 2022, section 3; pixels here are those of a 128×128 frame.
    """
    if predicted.points.shape != truth.points.shape:
        raise ValueError(f"predicted points {tuple(predicted.points.shape)}, true {tuple(truth.points.shape)}")
    distance_px = displacements_to_pixels(predicted.points - truth.points, EVALUATION_SIZE_PX).norm(dim=-1)
    seen, said = truth.visible, predicted.visible
    figures = [torch.ones_like(seen), seen == said, seen]
    within = [distance_px < threshold for threshold in PCK_PX]
    figures += [seen & said & near for near in within]
    figures += [said & ~(seen & near) for near in within]
    stacked = torch.stack(figures, dim=-1).double()
    scored = truth.valid[..., None].expand(seen.shape).clone()
    scored[..., 0, :] = False
    moving = scored & (path_px(truth) > MOVING_PX)[..., None, :]
    return OcclusionSums(counts=torch.stack([stacked[moving].sum(dim=0), stacked[scored].sum(dim=0)]).cpu())


def average_jaccard(predicted: TrackWindow, truth: TrackWindow) -> float:
    """TAP-Vid's AJ over all points of one batch."""
    return occlusion_sums(predicted, truth).summary()["all"]["average_jaccard"]


def occlusion_accuracy(predicted: TrackWindow, truth: TrackWindow) -> float:
    """Share of all points of one batch whose visibility is said rightly."""
    return occlusion_sums(predicted, truth).summary()["all"]["occlusion_accuracy"]
