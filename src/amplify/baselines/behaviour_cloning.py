"""Behaviour cloning: the inverse model's trunk and head, guided by the instruction instead of motion codes."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from amplify.inverse.action_decoder import ActionDecoder
from amplify.inverse.config import InverseConfig
from amplify.types import ActionChunk, Features


class BehaviourCloning(nn.Module):
    """p(actions | image, proprioception, instruction).

    Args:
        config: Sizes and loss, those of inverse dynamics.
        text_width: Channels of an instruction token.
        text_tokens: Instruction tokens (one for a sentence encoder).
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
        self.dimensions: dict[str, Any] = {"text_width": text_width, "text_tokens": text_tokens, **shared}
        self.text_norm = nn.LayerNorm(text_width, elementwise_affine=False)
        self.decoder = ActionDecoder(config, guide_width=text_width, guides=text_tokens, **shared)

    def fit_scalers(self, proprio: Float[Tensor, "m p"], actions: Float[Tensor, "l a"]) -> None:
        """Fits the scalers to training data in environment units."""
        self.decoder.fit_scalers(proprio, actions)

    def loss(
        self,
        features: Features,
        proprio: Float[Tensor, "b p"],
        actions: ActionChunk,
        *,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, dict[str, float | Tensor]]:
        """See `ActionDecoder.loss`."""
        guide = self.text_norm(features.text)
        return self.decoder.loss(
            features.vision, proprio, guide, actions, present=features.present, generator=generator
        )

    def act(
        self, features: Features, proprio: Float[Tensor, "b p"], *, generator: torch.Generator | None = None
    ) -> ActionChunk:
        """Actions in environment units; the mode where there is no generator."""
        guide = self.text_norm(features.text)
        return self.decoder.act(features.vision, proprio, guide, present=features.present, generator=generator)
