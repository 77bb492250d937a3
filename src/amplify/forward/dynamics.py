"""Forward dynamics: a transformer that continues image and instruction with motion tokens."""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from amplify.config import Config
from amplify.forward.sampling import next_token
from amplify.nn.dropout import Dropout
from amplify.nn.fsq import FSQ
from amplify.nn.masks import prefix_causal
from amplify.nn.transformer import Transformer, embedding_table
from amplify.types import Features, MotionTokens


class ForwardConfig(Config):
    """Sizes and regularisation of forward dynamics.

    Args:
        width: Channels.
        layers: Transformer blocks.
        heads: Attention heads.
        dropout: Residual dropout.
        label_smoothing: Probability spread over all codes in the training target.
    """

    width: int = Field(default=768, ge=1)
    layers: int = Field(default=8, ge=1)
    heads: int = Field(default=8, ge=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _fits_together(self) -> "ForwardConfig":
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not divisible by {self.heads} heads")
        return self

    @classmethod
    def paper(cls, **changes: Any) -> "ForwardConfig":
        """The paper's size: 8 layers, width 768."""
        return cls(**changes)

    @classmethod
    def quickstart(cls, **changes: Any) -> "ForwardConfig":
        """About a million parameters: 3 layers, width 128."""
        return cls(**{"width": 128, "layers": 3, "heads": 4, **changes})


class ForwardDynamics(nn.Module):
    """p(motion tokens | image, instruction), one token after the other. Never sees an action.

    Args:
        config: Sizes and regularisation.
        levels: FSQ levels of the tokenizer; their product is the number of codes.
        tokens: Tokens of a window.
        vision_width: Channels of an image patch.
        patches: Patches of a view.
        views: Cameras.
        text_width: Channels of an instruction token.
    """

    def __init__(
        self,
        config: ForwardConfig,
        *,
        levels: tuple[int, ...],
        tokens: int,
        vision_width: int,
        patches: int,
        views: int,
        text_width: int,
    ):
        super().__init__()
        self.config = config
        self.dimensions: dict[str, Any] = {
            "levels": levels,
            "tokens": tokens,
            "vision_width": vision_width,
            "patches": patches,
            "views": views,
            "text_width": text_width,
        }
        self.tokens = tokens
        self.codebook = FSQ(levels)
        width = config.width
        self.vision = nn.Sequential(
            nn.LayerNorm(vision_width, elementwise_affine=False), nn.Linear(vision_width, width)
        )
        self.text = nn.Sequential(nn.LayerNorm(text_width, elementwise_affine=False), nn.Linear(text_width, width))
        self.code = nn.Linear(len(levels), width)
        self.start = embedding_table(width)
        self.patch_positions = embedding_table(views, patches, width)
        self.token_positions = embedding_table(tokens, width)
        self.dropout = Dropout(config.dropout)
        self.trunk = Transformer(width, config.layers, config.heads, config.dropout)
        self.classifier = nn.Linear(width, self.codebook.codebook_size)

    def condition(self, features: Features) -> Float[Tensor, "b c w"]:
        """The conditioning tokens: all patches of all views, then the instruction."""
        patches = (self.vision(features.vision) + self.patch_positions).flatten(1, 2)
        return torch.cat((patches, self.text(features.text)), dim=1)

    def logits(self, features: Features, tokens: MotionTokens) -> Float[Tensor, "b k codes"]:
        """Teacher-forced scores: position i has seen the conditioning and the tokens before i."""
        condition = self.condition(features)
        before = self.code(self.codebook.codes(tokens.indices[:, :-1]))
        start = self.start.expand(len(before), 1, -1)
        string = torch.cat((start, before), dim=1) + self.token_positions
        x = self.dropout(torch.cat((condition, string), dim=1))
        mask = prefix_causal(condition.shape[1], self.tokens, x.device)
        return self.classifier(self.trunk(x, mask, last=self.tokens))

    def loss(
        self, features: Features, tokens: MotionTokens, valid: Bool[Tensor, "b k"] | None = None
    ) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Cross-entropy of the next token.

        Args:
            features: Frozen features of the first frame and of the instruction.
            tokens: The motion that followed.
            valid: Tokens that count; all by default.

        Returns:
            A scalar, and figures to log: ``cross_entropy``; in evaluation without label smoothing, and beside it
            ``token_accuracy``.
        """
        scores = self.logits(features, tokens).float().flatten(0, 1)
        target = tokens.indices.flatten()
        weight = torch.ones_like(scores[:, 0]) if valid is None else valid.flatten().float()
        weight = weight / weight.sum().clamp_min(1)
        smoothing = self.config.label_smoothing
        loss = (weight * cross_entropy(scores, target, reduction="none", label_smoothing=smoothing)).sum()
        logs: dict[str, float | Tensor] = {"cross_entropy": loss.detach()}
        if not self.training:  # a twentieth of a training step would go into these two
            with torch.no_grad():
                logs["cross_entropy"] = (weight * cross_entropy(scores, target, reduction="none")).sum()
                logs["token_accuracy"] = (weight * (scores.argmax(dim=-1) == target)).sum()
        return loss, logs

    @torch.no_grad()
    def log_likelihood(self, features: Features, tokens: MotionTokens) -> Float[Tensor, " b"]:
        """Log probability of each whole token string."""
        log_p = self.logits(features, tokens).float().log_softmax(dim=-1)
        return log_p.gather(-1, tokens.indices[..., None])[..., 0].sum(dim=-1)

    @torch.no_grad()
    def generate(
        self,
        features: Features,
        *,
        generator: torch.Generator | None = None,
        temperature: float = 1.0,
        top_k: int | None = None,
        cache: bool = True,
    ) -> MotionTokens:
        """Motion tokens from nothing but the conditioning.

        Args:
            features: Frozen features.
            generator: Source of randomness; None takes the likeliest token every time.
            temperature: See `next_token`.
            top_k: See `next_token`.
            cache: Keep keys and values of earlier positions; without, every token costs a full pass (same result).
        """
        condition = self.condition(features)
        batch, prefix, _ = condition.shape
        x = torch.cat((condition, (self.start + self.token_positions[0]).expand(batch, 1, -1)), dim=1)
        seen = self.trunk.new_cache(batch, prefix + self.tokens) if cache else None
        mask: Tensor | None = prefix_causal(prefix, 1, x.device)
        chosen: list[Int[Tensor, " b"]] = []
        while True:
            last = self.trunk(x, mask, seen, last=1)[:, -1]
            chosen.append(next_token(self.classifier(last), generator=generator, temperature=temperature, top_k=top_k))
            step = len(chosen)
            if step == self.tokens:
                return MotionTokens(indices=torch.stack(chosen, dim=1))
            new = (self.code(self.codebook.codes(chosen[-1])) + self.token_positions[step])[:, None]
            if seen is None:
                x, mask = torch.cat((x, new), dim=1), prefix_causal(prefix, step + 1, x.device)
            else:
                x, mask = new, None
