"""What the point-wise baselines share: which points are learned from, and the transformer that sees them all.

AMPLIFY squeezes a window of motion into a few tokens; ATM and Track2Act keep one token a point.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from amplify import rng
from amplify.config import Config
from amplify.coords import EVALUATION_SIZE_PX, displacements_from_pixels, displacements_to_pixels
from amplify.nn.absent import without_absent
from amplify.nn.dropout import Dropout
from amplify.nn.shapes import require_axes
from amplify.nn.transformer import Transformer, embedding_table
from amplify.tokens.point_embedding import fourier_features
from amplify.tokens.weights import agreement, choose_points, known_steps, moving_points
from amplify.types import Features, TrackWindow

POINT_FEATURES = 26
"""Channels of `fourier_features`."""


class PointsConfig(Config):
    """Sizes of a model with one token a point, and which points it learns from.

    Args:
        width: Channels.
        layers: Transformer blocks.
        heads: Attention heads.
        dropout: Residual dropout.
        points: Points a view that are learned from and predicted together; ATM's are 32. Training draws them anew for
            every window, half of them from those that move, as the tokenizer does.
        points_attend: Whether points see each other, as in ATM and Track2Act, or image and instruction alone. Half of
            the points that are learned from move and few of a grid's do, so the company of a point says more in
            training than later. Against ground truth on held-out Meta-World videos (8 tasks, 300 steps, one seed)
            regression was off by 5.18 px on moving points with, 4.86 px without.
        moving_px: Path length above which a point counts as moving, pixels of a 128×128 frame.
        agreement_px: The tracker's error below which a step is trusted, pixels of a 128×128 frame.
        disagreement_weight: Loss weight of steps that are not.
    """

    width: int = Field(default=384, ge=1)
    layers: int = Field(default=8, ge=1)
    heads: int = Field(default=8, ge=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    points: int = Field(default=32, ge=1)
    points_attend: bool = True
    moving_px: float = Field(default=1.0, ge=0)
    agreement_px: float = Field(default=1.0, gt=0)
    disagreement_weight: float = Field(default=0.1, ge=0)

    @model_validator(mode="after")
    def _fits_together(self) -> "PointsConfig":
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not divisible by {self.heads} heads")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenPaths:
    """The points of a batch that a training step learns from.

    Args:
        queries: Normalised points in the query frame.
        path_px: Displacement from the query frame, in pixels of a 128×128 frame; the query frame itself is left out.
        weight: Of each step in the loss: 0 where it is unknown, small where the tracker disagrees with itself; sums
            to 1.
    """

    queries: Float[Tensor, "b v n 2"]
    path_px: Float[Tensor, "b v n t 2"]
    weight: Float[Tensor, "b v n t"]


def paths_px(points: Float[Tensor, "*b t n 2"]) -> Float[Tensor, "*b n steps 2"]:
    """Displacement of each point from the query frame, in pixels of a 128×128 frame, without the query frame.

    Args:
        points: Normalised tracks, the query frame first.
    """
    return displacements_to_pixels(points[..., 1:, :, :] - points[..., :1, :, :], EVALUATION_SIZE_PX).transpose(-2, -3)


def choose_paths(window: TrackWindow, config: PointsConfig, generator: torch.Generator | None) -> ChosenPaths:
    """Random points of a batch of windows.

    Args:
        window: (b, v, t, n, 2).
        config: How many points, and which.
        generator: Draws them.
    """
    moving = moving_points(window, config.moving_px)
    chosen = choose_points(moving, min(config.points, moving.shape[-1]), generator)  # (b, v, n)
    over_time = chosen[:, :, None].expand(-1, -1, window.points.shape[2], -1)
    points = window.points.gather(-2, over_time[..., None].expand(*over_time.shape, 2))
    weight = known_steps(window) * agreement(window, config.agreement_px, config.disagreement_weight)
    weight = weight.gather(-1, over_time[:, :, 1:]).transpose(-1, -2)
    path_px = torch.where(weight[..., None] > 0, paths_px(points), 0.0)
    return ChosenPaths(queries=points[:, :, 0], path_px=path_px, weight=weight / weight.sum().clamp_min(1e-6))


def spread_px(window: TrackWindow, config: PointsConfig) -> Float[Tensor, " t"]:
    """Root mean square displacement after each step of the points that move: the unit of a model's output.

    Args:
        window: A few hundred training windows, (b, v, t, n, 2).
        config: What counts as moving.
    """
    counts = known_steps(window) & moving_points(window, config.moving_px)[..., None, :]
    squared = paths_px(window.points).square().sum(dim=-1).transpose(-1, -2)
    total = torch.where(counts, squared, 0.0).sum(dim=(0, 1, 3)) / (2 * counts.sum(dim=(0, 1, 3)).clamp_min(1))
    return total.sqrt().clamp_min(1e-2)


def tracks_from_paths(queries: Float[Tensor, "b v n 2"], path_px: Float[Tensor, "b v n t 2"]) -> TrackWindow:
    """Whole tracks, the query frame first; all marked visible and valid, never clamped."""
    begin = queries[:, :, None]
    onward = begin + displacements_from_pixels(path_px, EVALUATION_SIZE_PX).transpose(2, 3)
    points = torch.cat((begin, onward), dim=2)
    everywhere = torch.ones(points.shape[:-1], dtype=torch.bool, device=points.device)
    return TrackWindow(points=points, visible=everywhere, valid=everywhere[..., 0])


def groups_of(count: int, config: PointsConfig) -> list[Tensor]:
    """Numbers 0 … count − 1 in the groups that are predicted together.

    Points that see each other go with about as many as in training, always the same random ones, so that each group
    covers the frame; points that do not are all one group.
    """
    groups = max(1, round(count / config.points)) if config.points_attend else 1
    return list(torch.randperm(count, generator=rng.torch_generator(0, "groups")).tensor_split(groups))


class PointTrunk(nn.Module):
    """Patches, instruction and points as one open sequence; what becomes of the points.

    Args:
        config: Sizes.
        vision_width: Channels of an image patch.
        patches: Patches of a view.
        views: Cameras.
        text_width: Channels of an instruction token.
    """

    def __init__(self, config: PointsConfig, *, vision_width: int, patches: int, views: int, text_width: int):
        super().__init__()
        width = config.width
        self.vision = nn.Sequential(
            nn.LayerNorm(vision_width, elementwise_affine=False), nn.Linear(vision_width, width)
        )
        self.text = nn.Sequential(nn.LayerNorm(text_width, elementwise_affine=False), nn.Linear(text_width, width))
        self.patch_positions = embedding_table(views, patches, width)
        self.point = nn.Sequential(nn.Linear(POINT_FEATURES, width), nn.GELU(), nn.Linear(width, width))
        self.view = embedding_table(views, 1, width)
        self.points_attend = config.points_attend
        self.dropout = Dropout(config.dropout)
        self.transformer = Transformer(width, config.layers, config.heads, config.dropout)

    def condition(self, features: Features) -> Float[Tensor, "b c w"]:
        """All patches of all views, then the instruction; of a view that is not present only its patches' positions.

        Raises:
            DataError: Features of other views or patches.
        """
        views, patches, _ = self.patch_positions.shape
        require_axes("image features", features.vision[..., 0], views=views, patches=patches)
        vision = without_absent(features.vision, features.present)
        seen = (without_absent(self.vision(vision), features.present) + self.patch_positions).flatten(1, 2)
        return torch.cat((seen, self.text(features.text)), dim=1)

    def forward(
        self,
        condition: Float[Tensor, "b c w"],
        queries: Float[Tensor, "b v n 2"],
        also: Float[Tensor, "#b #v #n w"] | None = None,
    ) -> Float[Tensor, "b v n w"]:
        """One vector a point, after it has seen the conditioning.

        Args:
            condition: From `condition`.
            queries: Normalised start points.
            also: Added to the points' tokens.
        """
        points = self.point(fourier_features(queries)) + self.view
        if also is not None:
            points = points + also
        x = self.dropout(torch.cat((condition, points.flatten(1, 2)), dim=1))
        mask: Bool[Tensor, "m m"] | None = None
        if not self.points_attend:
            mask = torch.eye(x.shape[1], dtype=torch.bool, device=x.device)
            mask[:, : condition.shape[1]] = True
        seen = self.transformer(x, mask)[:, condition.shape[1] :]
        return seen.view(points.shape)
