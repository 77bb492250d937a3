"""ATM's track prediction: an any-point transformer that regresses the future coordinates of every point.

Source: Wen et al., Any-point Trajectory Modeling for Policy Learning, arXiv 2401.00025.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import smooth_l1_loss

from amplify.baselines.points import (
    PointsConfig,
    PointTrunk,
    choose_paths,
    groups_of,
    spread_px,
    tracks_from_paths,
)
from amplify.errors import pick
from amplify.types import Features, TrackWindow


class TrackTransformerConfig(PointsConfig):
    """Sizes and loss of the any-point transformer.

    Args:
        loss: Distance between predicted and true position after each step, in pixels of a 128×128 frame: "mse" (ATM's),
            "smooth_l1" or "euclidean". Against ground truth on held-out Meta-World videos (8 tasks, 300 steps,
            one seed) moving points were off by 5.05 px with "mse", 5.68 with "smooth_l1" and 6.29 with "euclidean":
            absolute errors pay for predicting that an unsure point rests.
    """

    loss: str = "mse"

    @classmethod
    def paper(cls, **changes: Any) -> "TrackTransformerConfig":
        """ATM's size: 8 layers, width 384, 32 points."""
        return cls(**changes)

    @classmethod
    def quickstart(cls, **changes: Any) -> "TrackTransformerConfig":
        """About 0.85 million parameters: 3 layers, width 128, and points that do not see each other.

        At a learning rate of 3e-3, from ground-truth tracks of 240 Meta-World videos, moving points of held-out videos
        were off by 3.65 px after 900 steps of 64 windows (101 seconds of one core) and 3.28 px after 1,900 (218 s).
        """
        small = {"width": 128, "layers": 3, "heads": 4, "points": 16, "points_attend": False}
        return cls(**{**small, **changes})


def _euclidean(error_px: Tensor) -> Tensor:
    return (error_px.square().sum(dim=-1) + 1e-6).sqrt()


def _smooth_l1(error_px: Tensor) -> Tensor:
    return smooth_l1_loss(error_px, torch.zeros_like(error_px), reduction="none").sum(dim=-1)


def _mse(error_px: Tensor) -> Tensor:
    return error_px.square().sum(dim=-1)


LOSSES = {"euclidean": _euclidean, "smooth_l1": _smooth_l1, "mse": _mse}
"""Distances in pixels that can be minimised."""


class TrackTransformer(nn.Module):
    """Future coordinates of any points | image, instruction: one guess a point, no distribution.

    Args:
        config: Sizes and loss.
        vision_width: Channels of an image patch.
        patches: Patches of a view.
        views: Cameras.
        text_width: Channels of an instruction token.
        steps: Track steps to predict.
    """

    unit_px: Tensor

    def __init__(
        self,
        config: TrackTransformerConfig,
        *,
        vision_width: int,
        patches: int,
        views: int,
        text_width: int,
        steps: int,
    ):
        super().__init__()
        self.config, self.steps = config, steps
        shared = {"vision_width": vision_width, "patches": patches, "views": views, "text_width": text_width}
        self.dimensions: dict[str, Any] = {**shared, "steps": steps}
        self.trunk = PointTrunk(config, **shared)
        self.out = nn.Linear(config.width, steps * 2)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        self.distance = pick(config.loss, LOSSES, kind="track loss")
        self.register_buffer("unit_px", torch.ones(steps))

    def fit_statistics(self, windows: TrackWindow) -> None:
        """Sets the unit of the output to how far moving points go.

        Args:
            windows: A few hundred training windows, batched.
        """
        self.unit_px.copy_(spread_px(windows, self.config))

    def loss(
        self, features: Features, tracks: TrackWindow, generator: torch.Generator | None = None
    ) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Distance of predicted and true positions over the known steps of random points.

        Args:
            features: Frozen features of the query frame and of the instruction.
            tracks: What followed, (b, v, t, n, 2).
            generator: Draws the points.

        Returns:
            A scalar, and figures to log: ``error_px`` (mean Euclidean distance, weighted as the loss).
        """
        chosen = choose_paths(tracks, self.config, generator)
        error_px = self._path_px(self.trunk.condition(features), chosen.queries) - chosen.path_px
        loss = (chosen.weight * self.distance(error_px)).sum()
        return loss, {"error_px": (chosen.weight * error_px.detach().norm(dim=-1)).sum()}

    @torch.no_grad()
    def predict(
        self,
        features: Features,
        queries: Float[Tensor, "#b v n 2"],
        *,
        generator: torch.Generator | None = None,
    ) -> TrackWindow:
        """The foreseen tracks, (b, v, t, n, 2), the query frame first; see `TrackPredictor`.

        Args:
            features: Frozen features of the query frame and of the instruction.
            queries: Normalised points in the query frame; they are predicted in groups of about as many as were
                learned from together.
            generator: Not used: regression has one answer.
        """
        queries = queries.expand(len(features.vision), -1, -1, -1)
        condition = self.trunk.condition(features)
        path_px = queries.new_empty(*queries.shape[:3], self.steps, 2)
        for group in groups_of(queries.shape[2], self.config):
            path_px[:, :, group] = self._path_px(condition, queries[:, :, group])
        return tracks_from_paths(queries, path_px)

    def _path_px(self, condition: Tensor, queries: Tensor) -> Tensor:
        out = self.out(self.trunk(condition, queries)).unflatten(-1, (self.steps, 2))
        return out * self.unit_px[:, None]
