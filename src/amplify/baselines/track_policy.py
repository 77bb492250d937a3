"""ATM's policy: the action decoder of AMPLIFY and of behaviour cloning, guided by predicted tracks.

Source: Wen et al., Any-point Trajectory Modeling for Policy Learning, arXiv 2401.00025.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from amplify.baselines.points import POINT_FEATURES, paths_px
from amplify.inverse.action_decoder import ActionDecoder
from amplify.inverse.config import InverseConfig
from amplify.inverse.scaler import Scaler
from amplify.tokens.point_embedding import fourier_features
from amplify.types import ActionChunk, Features, TrackWindow


class TrackGuidedPolicy(nn.Module):
    """p(actions | image, proprioception, instruction, predicted tracks): one guide token a point, and the instruction.

    Args:
        config: Sizes and loss, those of inverse dynamics.
        points: Points a view whose tracks guide it.
        steps: Track steps.
        text_width: Channels of an instruction token.
        text_tokens: Instruction tokens (one for a sentence encoder).
        vision_width: Channels of an image patch.
        patches: Patches of a view.
        views: Cameras.
        proprio_width: Dimensions of proprioception.
        action_width: Action dimensions.
    """

    queries: Tensor

    def __init__(
        self,
        config: InverseConfig,
        *,
        points: int,
        steps: int,
        text_width: int,
        text_tokens: int = 1,
        vision_width: int,
        patches: int,
        views: int,
        proprio_width: int,
        action_width: int,
    ):
        super().__init__()
        self.config = config
        shared = {
            "vision_width": vision_width,
            "patches": patches,
            "views": views,
            "proprio_width": proprio_width,
            "action_width": action_width,
        }
        guides = {"points": points, "steps": steps, "text_width": text_width, "text_tokens": text_tokens}
        self.dimensions: dict[str, Any] = {**guides, **shared}
        width = config.width
        self.register_buffer("queries", torch.zeros(views, points, 2))
        self.path_scaler = Scaler(steps * 2)
        self.path = nn.Linear(steps * 2 + POINT_FEATURES, width)
        self.text = nn.Sequential(nn.LayerNorm(text_width, elementwise_affine=False), nn.Linear(text_width, width))
        self.decoder = ActionDecoder(config, guide_width=width, guides=views * points + text_tokens, **shared)

    def fit_scalers(self, proprio: Float[Tensor, "m p"], actions: Float[Tensor, "l a"], tracks: TrackWindow) -> None:
        """Fits the scalers to training data in environment units, and takes the query points from the tracks.

        Args:
            proprio: Environment units.
            actions: Environment units.
            tracks: Predicted tracks of training windows, batched; all start from the same points.
        """
        self.decoder.fit_scalers(proprio, actions)
        self.queries.copy_(tracks.points[0, :, 0])
        self.path_scaler.fit(paths_px(tracks.points).flatten(-2).flatten(0, 2), "standard")

    def loss(
        self,
        features: Features,
        proprio: Float[Tensor, "b p"],
        tracks: TrackWindow,
        actions: ActionChunk,
        *,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, dict[str, float | Tensor]]:
        """See `ActionDecoder.loss`.

        Args:
            features: Frozen features of image and instruction.
            proprio: Environment units.
            tracks: Predicted tracks of ``queries``, (b, v, t, n, 2).
            actions: Environment units.
            generator: Draws which images are dropped.
        """
        guide = self._guide(features, tracks)
        return self.decoder.loss(
            features.vision, proprio, guide, actions, present=features.present, generator=generator
        )

    def act(
        self,
        features: Features,
        proprio: Float[Tensor, "b p"],
        tracks: TrackWindow,
        *,
        generator: torch.Generator | None = None,
    ) -> ActionChunk:
        """Actions that follow the tracks, in environment units; the mode where there is no generator."""
        guide = self._guide(features, tracks)
        return self.decoder.act(features.vision, proprio, guide, present=features.present, generator=generator)

    def _guide(self, features: Features, tracks: TrackWindow) -> Tensor:
        path = self.path_scaler.scale(paths_px(tracks.points).flatten(-2))
        start = fourier_features(tracks.points[:, :, 0])
        points = self.path(torch.cat((path, start), dim=-1)).flatten(1, 2)
        return torch.cat((points, self.text(features.text)), dim=1)
