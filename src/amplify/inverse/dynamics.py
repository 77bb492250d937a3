"""Inverse dynamics: how this robot makes a motion happen."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from amplify.inverse.action_decoder import ActionDecoder
from amplify.inverse.config import InverseConfig
from amplify.types import ActionChunk, Features


class InverseDynamics(nn.Module):
    """p(actions | image, proprioception, motion codes). The instruction never reaches it.

    Args:
        config: Sizes and loss.
        code_width: Channels of a code (FSQ levels).
        tokens: Codes of a window.
        vision_width: Channels of an image patch.
        patches: Patches of a view.
        views: Cameras.
        proprio_width: Dimensions of proprioception.
        action_width: Action dimensions.
    """

    def __init__(
        self,
        config: InverseConfig,
        *,
        code_width: int,
        tokens: int,
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
        self.dimensions: dict[str, Any] = {"code_width": code_width, "tokens": tokens, **shared}
        self.decoder = ActionDecoder(config, guide_width=code_width, guides=tokens, **shared)

    def fit_scalers(self, proprio: Float[Tensor, "m p"], actions: Float[Tensor, "l a"]) -> None:
        """Fits the scalers to training data in environment units."""
        self.decoder.fit_scalers(proprio, actions)

    def loss(
        self,
        features: Features,
        proprio: Float[Tensor, "b p"],
        codes: Float[Tensor, "b k c"],
        actions: ActionChunk,
        *,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, dict[str, float | Tensor]]:
        """See `ActionDecoder.loss`.

        Args:
            features: Only the image is used, of views that are present.
            proprio: Environment units.
            codes: FSQ vectors of real or predicted motion.
            actions: Environment units.
            generator: Draws which images are dropped.
        """
        return self.decoder.loss(
            features.vision, proprio, codes, actions, present=features.present, generator=generator
        )

    def act(
        self,
        features: Features,
        proprio: Float[Tensor, "b p"],
        codes: Float[Tensor, "b k c"],
        *,
        generator: torch.Generator | None = None,
    ) -> ActionChunk:
        """The actions that make the motion happen, in environment units; the mode where there is no generator."""
        return self.decoder.act(features.vision, proprio, codes, present=features.present, generator=generator)
