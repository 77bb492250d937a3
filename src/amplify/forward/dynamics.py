"""Forward dynamics: a transformer that continues image and instruction with motion tokens.

It can read the future in two ways. *Token by token* is the paper's: each token given those before it, which gives
random futures and their likelihoods. *All at once* foresees each token from image and instruction alone; the mean code
of each step stands for the mean motion, costs one pass instead of one a token, and no error feeds the next.
"""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear, one_hot

from amplify.errors import UsageError
from amplify.forward.config import ForwardConfig
from amplify.forward.sampling import next_token
from amplify.nn.dropout import Dropout
from amplify.nn.fsq import FSQ
from amplify.nn.masks import prefix_causal
from amplify.nn.standardise import Standardise
from amplify.nn.transformer import Transformer, embedding_table
from amplify.types import Features, MotionTokens


class ForwardDynamics(nn.Module):
    """p(motion tokens | image, instruction). Never sees an action.

    Args:
        config: Sizes and regularisation.
        levels: FSQ levels of the tokenizer; their product is the number of codes.
        tokens: Tokens of a window.
        vision_width: Channels of an image patch.
        patches: Patches of a view.
        views: Cameras.
        text_width: Channels of an instruction token.
    """

    every_code: Tensor
    has_level: Tensor

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
        plain = nn.LayerNorm(vision_width, elementwise_affine=False)
        normal = Standardise(vision_width) if config.standardise else plain
        self.vision = nn.Sequential(normal, nn.Linear(vision_width, width))
        self.text = nn.Sequential(nn.LayerNorm(text_width, elementwise_affine=False), nn.Linear(text_width, width))
        self.code = nn.Linear(len(levels), width)
        self.start = embedding_table(width)
        if config.at_once:
            self.unknown = embedding_table(width)
        self.patch_positions = embedding_table(views, patches, width)
        self.token_positions = embedding_table(tokens, width)
        self.dropout = Dropout(config.dropout)
        self.trunk = Transformer(width, config.layers, config.heads, config.dropout)
        self.classifier = nn.Linear(width, self.codebook.codebook_size)
        every_code = torch.arange(self.codebook.codebook_size)
        self.register_buffer("every_code", self.codebook.codes(every_code), persistent=False)
        if config.level_scores:
            self.level_classifier = nn.Linear(width, sum(levels))
            digits = self.codebook.digits(every_code).unbind(dim=-1)
            has_level = torch.cat([one_hot(digit, count) for digit, count in zip(digits, levels)], dim=-1)
            self.register_buffer("has_level", has_level.float(), persistent=False)

    def condition(self, features: Features) -> Float[Tensor, "b c w"]:
        """The conditioning tokens: all patches of all views, then the instruction."""
        patches = (self.vision(features.vision) + self.patch_positions).flatten(1, 2)
        return torch.cat((patches, self.text(features.text)), dim=1)

    @torch.no_grad()
    def fit_statistics(self, features: Features) -> None:
        """Fits what ``standardise`` needs; nothing without it.

        Args:
            features: Of a few hundred training windows.
        """
        normal = self.vision[0]
        if isinstance(normal, Standardise):
            normal.fit(features.vision)

    def logits(self, features: Features, tokens: MotionTokens) -> Float[Tensor, "b k codes"]:
        """Teacher-forced scores: position i has seen the conditioning and the tokens before i."""
        return self._scores(features, self.code(self.codebook.codes(tokens.indices[:, :-1])))

    def logits_at_once(self, features: Features) -> Float[Tensor, "b k codes"]:
        """Scores of every token from the conditioning alone.

        Raises:
            UsageError: The model has not learned this (``at_once`` is 0).
        """
        return self._scores(features, self._unknown(len(features.vision)))

    def _unknown(self, batch: int) -> Tensor:
        if not self.config.at_once:
            raise UsageError(
                "this forward model foresees token by token only",
                got="at_once = 0",
                remedy="train one with at_once above 0, or use generate",
            )
        return self.unknown.expand(batch, self.tokens - 1, -1)

    def _scores(self, features: Features, before: Float[Tensor, "b before w"]) -> Tensor:
        condition = self.condition(features)
        start = self.start.expand(len(before), 1, -1)
        string = torch.cat((start, before), dim=1) + self.token_positions
        x = self.dropout(torch.cat((condition, string), dim=1))
        mask = prefix_causal(condition.shape[1], self.tokens, x.device)
        return self._classify(self.trunk(x, mask, last=self.tokens))

    def _classify(self, x: Float[Tensor, "*b w"]) -> Float[Tensor, "*b codes"]:
        if not self.config.level_scores:
            return self.classifier(x)
        # Scores are linear in x, so the sum over a code's levels is taken on the weights: no second pass over codes.
        weight = self.classifier.weight + self.has_level @ self.level_classifier.weight
        return linear(x, weight, self.classifier.bias + self.has_level @ self.level_classifier.bias)

    def loss(
        self, features: Features, tokens: MotionTokens, valid: Bool[Tensor, "b k"] | None = None
    ) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Cross-entropy of the tokens: in training, of the first windows all at once and of the others one by one.

        Args:
            features: Frozen features of the first frame and of the instruction.
            tokens: The motion that followed.
            valid: Tokens that count; all by default.

        Returns:
            A scalar, and figures to log: ``cross_entropy``; in evaluation that of the teacher-forced tokens, without
            label smoothing, and beside it ``token_accuracy`` and, where the model has learned to foresee all at once,
            ``cross_entropy_at_once`` and ``mean_code_distance``.
        """
        weight = torch.ones(tokens.indices.shape, device=tokens.indices.device) if valid is None else valid.float()
        weight = weight / weight.sum().clamp_min(1)
        config = self.config
        if self.training:
            scores, blind = self._mixed(features, tokens)
            loss = self._surprise(scores, tokens, weight, config.label_smoothing)
            logs: dict[str, float | Tensor] = {"cross_entropy": loss.detach()}
            if blind and config.mean_code_weight:
                of_blind = MotionTokens(indices=tokens.indices[:blind])
                distance = self._distance(scores[:blind], of_blind, weight[:blind]) / weight[:blind].sum().clamp_min(
                    1e-6
                )
                loss = loss + config.mean_code_weight * distance
                logs["mean_code_distance"] = distance.detach()
            return loss, logs
        scores = self.logits(features, tokens)
        loss = (1 - config.at_once) * self._surprise(scores, tokens, weight, config.label_smoothing)
        logs = {"cross_entropy": self._surprise(scores, tokens, weight, 0.0).detach()}
        logs["token_accuracy"] = (weight * (scores.argmax(dim=-1) == tokens.indices)).sum()
        if config.at_once:
            scores = self.logits_at_once(features)
            distance = self._distance(scores, tokens, weight)
            loss = loss + config.at_once * self._surprise(scores, tokens, weight, config.label_smoothing)
            loss = loss + config.mean_code_weight * distance
            logs["cross_entropy_at_once"] = self._surprise(scores, tokens, weight, 0.0).detach()
            logs["mean_code_distance"] = distance.detach()
        return loss, logs

    def _mixed(self, features: Features, tokens: MotionTokens) -> tuple[Tensor, int]:
        """Scores of a training batch, and how many of its first windows were foreseen all at once.

        The windows of a batch are in random order, so the first ones are as good as any.
        """
        before = self.code(self.codebook.codes(tokens.indices[:, :-1]))
        blind = round(self.config.at_once * len(before))
        if blind:
            before = torch.cat((self._unknown(blind), before[blind:]))
        return self._scores(features, before), blind

    def _surprise(self, scores: Tensor, tokens: MotionTokens, weight: Tensor, smoothing: float) -> Tensor:
        flat, target = scores.float().flatten(0, 1), tokens.indices.flatten()
        return (weight.flatten() * cross_entropy(flat, target, reduction="none", label_smoothing=smoothing)).sum()

    def _distance(self, scores: Tensor, tokens: MotionTokens, weight: Tensor) -> Tensor:
        off = self._mean_codes(scores) - self.codebook.codes(tokens.indices)
        return (weight * off.square().sum(dim=-1)).sum()

    @torch.no_grad()
    def foresee(self, features: Features) -> Float[Tensor, "b k c"]:
        """The motion to expect, as one FSQ vector a token; deterministic.

        The mean code of every token, all at once, where the model has learned it: FSQ levels are ordered, so the mean
        of codes is between them, and the decoder makes of it a motion between theirs. Otherwise the codes of the
        likeliest string, token by token.

        Args:
            features: Frozen features.
        """
        if not self.config.at_once:
            return self.codebook.codes(self.generate(features).indices)
        return self._mean_codes(self.logits_at_once(features))

    def _mean_codes(self, scores: Float[Tensor, "b k codes"]) -> Float[Tensor, "b k c"]:
        return scores.float().softmax(dim=-1) @ self.every_code

    def plan(self, features: Features) -> MotionTokens:
        """The motion to expect, as tokens: those nearest to `foresee`."""
        return MotionTokens(indices=self.codebook.indices(self.foresee(features)))

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
            chosen.append(next_token(self._classify(last), generator=generator, temperature=temperature, top_k=top_k))
            step = len(chosen)
            if step == self.tokens:
                return MotionTokens(indices=torch.stack(chosen, dim=1))
            new = (self.code(self.codebook.codes(chosen[-1])) + self.token_positions[step])[:, None]
            if seen is None:
                x, mask = torch.cat((x, new), dim=1), prefix_causal(prefix, step + 1, x.device)
            else:
                x, mask = new, None
