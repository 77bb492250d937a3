"""Forward dynamics: a transformer that continues image and instruction with motion tokens.

It can read the future in two ways. *Token by token* is the paper's: each token given those before it, which gives
random futures and their likelihoods. *All at once* foresees each token from image and instruction alone; the mean code
of each step stands for the mean motion, costs one pass instead of one a token, and no error feeds the next.
"""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from amplify.errors import DataError, UsageError
from amplify.forward.classifier import LevelClassifier
from amplify.forward.config import ForwardConfig
from amplify.forward.generation import Generation, one_by_one, verified
from amplify.forward.objective import distance, surprise, token_weights
from amplify.forward.prefix import Prefix
from amplify.forward.reading import Reading
from amplify.nn.absent import without_absent
from amplify.nn.dropout import Dropout
from amplify.nn.fsq import FSQ
from amplify.nn.masks import prefix_causal
from amplify.nn.shapes import require_axes
from amplify.nn.standardise import Standardise, feature_norm
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
        text_tokens: Tokens of an instruction, at most; more than one have places.
    """

    every_code: Tensor

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
        text_tokens: int = 1,
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
            "text_tokens": text_tokens,
        }
        self.tokens, self.codebook = tokens, FSQ(levels)
        width, classes = config.width, config.classes or self.codebook.codebook_size
        self.vision = nn.Sequential(feature_norm(config.feature_norm, vision_width), nn.Linear(vision_width, width))
        if config.goal != "image":
            of_words = "patch" if config.feature_norm == "set" else config.feature_norm
            self.text = nn.Sequential(feature_norm(of_words, text_width), nn.Linear(text_width, width))
        self.code = nn.Linear(len(levels), width)
        self.start_token = embedding_table(width)
        if config.at_once:
            self.unknown = embedding_table(width)
        self.patch_positions = embedding_table(views, patches, width)
        self.token_positions = embedding_table(tokens, width)
        self.dropout = Dropout(config.dropout)
        self.trunk = Transformer(width, config.layers, config.heads, config.dropout)
        self.classifier = LevelClassifier(width, classes, levels) if config.level_scores else nn.Linear(width, classes)
        if config.goal != "text":
            self.goal_positions = embedding_table(views, patches, width)
        if config.goal != "image" and text_tokens > 1:
            self.text_positions = embedding_table(text_tokens, width)
        self.register_buffer("every_code", self.codebook.codes(torch.arange(classes)), persistent=False)

    def condition(self, features: Features) -> Float[Tensor, "b c w"]:
        """The conditioning tokens: all patches of all views, then those of the goal's image, then the instruction.

        A view that is not present leaves nothing but its patches' positions.

        Raises:
            DataError: A goal image is needed and there is none, the instruction has more tokens than there is room
                for, or features are those of other cameras or encoders.
        """
        parts = [self._seen("image features", features.vision, features.present, self.patch_positions)]
        if self.config.goal != "text":
            if features.goal is None:
                raise DataError(
                    "this forward model is shown its goal as an image and the features have none",
                    remedy="fill Features.goal with the features of the image to be reached",
                )
            goal = self._seen("features of the goal's image", features.goal, features.present, self.goal_positions)
            parts.append(goal)
        if self.config.goal != "image":
            parts.append(self._words(features.text))
        return torch.cat(parts, dim=1)

    def _seen(self, what: str, vision: Tensor, present: Tensor | None, positions: Tensor) -> Float[Tensor, "b c w"]:
        views, patches, _ = positions.shape
        require_axes(what, vision, views=views, patches=patches, channels=self.dimensions["vision_width"])
        seen = without_absent(self.vision(without_absent(vision, present)), present)
        return (seen + positions).flatten(1, 2)

    def _words(self, text: Float[Tensor, "b l e"]) -> Float[Tensor, "b l w"]:
        require_axes("instructions", text, channels=self.dimensions["text_width"])
        count, room = text.shape[1], self.dimensions["text_tokens"]
        if count > room:
            raise DataError("the instruction is too long", got=f"{count} tokens", allowed=f"at most {room}")
        words = self.text(text)
        return words if room == 1 else words + self.text_positions[:count]

    @torch.no_grad()
    def fit_statistics(self, features: Features) -> None:
        """Fits what feature_norm="set" needs; nothing otherwise.

        Args:
            features: Of a few hundred training windows.
        """
        normal = self.vision[0]
        if isinstance(normal, Standardise):
            normal.fit(features.vision if features.present is None else features.vision[features.present])

    def logits(self, features: Features, tokens: MotionTokens) -> Float[Tensor, "b k codes"]:
        """Teacher-forced scores: position i has seen the conditioning and the tokens before i."""
        return self._scores(features, self.code(self.codebook.codes(tokens.indices[:, :-1])))

    def embed(self, before: Int[Tensor, "b m"], at: int) -> Float[Tensor, "b m w"]:
        """What the trunk sees at M positions of the string.

        Args:
            before: The token before each of them; what it says of position −1 is not used.
            at: The first position.
        """
        x = self.code(self.codebook.codes(before))
        if at == 0:
            x = torch.cat((self.start_token.expand(len(x), 1, -1), x[:, 1:]), dim=1)
        return x + self.token_positions[at : at + before.shape[1]]

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
        start = self.start_token.expand(len(before), 1, -1)
        string = torch.cat((start, before), dim=1) + self.token_positions
        x = self.dropout(torch.cat((condition, string), dim=1))
        mask = prefix_causal(condition.shape[1], self.tokens, x.device)
        return self.classifier(self.trunk(x, mask, last=self.tokens))

    def loss(
        self, features: Features, tokens: MotionTokens, valid: Bool[Tensor, "b k"] | None = None
    ) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Cross-entropy of the tokens: in training, of the first windows all at once and of the others one by one.

        Args:
            features: Frozen features of the first frame and of the instruction.
            tokens: The motion that followed.
            valid: Tokens that count, all by default: False past an episode's end, and in a view that a source lacks.
                Whatever stands there is read as the code in the middle.

        Returns:
            A scalar, and figures to log: ``cross_entropy``; in evaluation that of the teacher-forced tokens, without
            label smoothing, and beside it ``token_accuracy`` and, where the model has learned to foresee all at once,
            ``cross_entropy_at_once`` and ``mean_code_distance``.

        Raises:
            UsageError: The configuration has fewer classes than there are codes, and a token is one of the others.
        """
        weight, config = token_weights(tokens, valid), self.config
        if valid is not None:
            middle = self.codebook.indices(torch.zeros_like(self.every_code[0]))
            tokens = MotionTokens(indices=torch.where(valid, tokens.indices, middle))
        self._require_classes(tokens)
        codes = self.codebook.codes(tokens.indices)
        if self.training:
            scores, blind = self._mixed(features, codes)
            loss = surprise(scores, tokens.indices, weight, config.label_smoothing)
            logs: dict[str, float | Tensor] = {"cross_entropy": loss.detach()}
            if blind and config.mean_code_weight:
                share = weight[:blind] / weight[:blind].sum().clamp_min(1e-6)
                off = distance(self._mean_codes(scores[:blind]), codes[:blind], share)
                loss = loss + config.mean_code_weight * off
                logs["mean_code_distance"] = off.detach()
            return loss, logs
        scores = self.logits(features, tokens)
        loss = (1 - config.at_once) * surprise(scores, tokens.indices, weight, config.label_smoothing)
        logs = {"cross_entropy": surprise(scores, tokens.indices, weight, 0.0).detach()}
        logs["token_accuracy"] = (weight * (scores.argmax(dim=-1) == tokens.indices)).sum()
        if config.at_once:
            scores = self.logits_at_once(features)
            off = distance(self._mean_codes(scores), codes, weight)
            loss = loss + config.at_once * surprise(scores, tokens.indices, weight, config.label_smoothing)
            loss = loss + config.mean_code_weight * off
            logs["cross_entropy_at_once"] = surprise(scores, tokens.indices, weight, 0.0).detach()
            logs["mean_code_distance"] = off.detach()
        return loss, logs

    def _require_classes(self, tokens: MotionTokens) -> None:
        classes = len(self.every_code)
        if classes < self.codebook.codebook_size and int(tokens.indices.max()) >= classes:
            raise UsageError(
                "this forward model cannot learn all codes of its tokenizer",
                got=f"{classes} classes for {self.codebook.codebook_size} codes",
                remedy="leave `classes` empty: only imported checkpoints need fewer",
            )

    def _mixed(self, features: Features, codes: Float[Tensor, "b k c"]) -> tuple[Tensor, int]:
        """Scores of a training batch, and how many of its first windows were foreseen all at once.

        The windows of a batch are in random order, so the first ones are as good as any.
        """
        before = self.code(codes[:, :-1])
        blind = round(self.config.at_once * len(before))
        if blind:
            before = torch.cat((self._unknown(blind), before[blind:]))
        return self._scores(features, before), blind

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

    def plan(self, features: Features, draft: MotionTokens | None = None) -> MotionTokens:
        """The motion to expect, as tokens: those nearest to `foresee`, or the likeliest string.

        Args:
            features: Frozen features.
            draft: A guess that saves passes, see `generation`. A model that foresees all tokens at once needs a single
                pass and no guess.
        """
        if not self.config.at_once:
            return self.generate(features, draft=draft)
        return MotionTokens(indices=self.codebook.indices(self.foresee(features)))

    @torch.no_grad()
    def start(self, features: Features) -> Prefix:
        """The conditioning, read once: whatever is asked of it later costs only its tokens.

        Args:
            features: Frozen features.
        """
        condition = self.condition(features)
        caches = self.trunk.new_cache(len(condition), condition.shape[1])
        self.trunk(condition, None, caches, last=1)
        return Prefix(layers=tuple(cache.seen for cache in caches))

    @torch.no_grad()
    def log_likelihood(self, given: Features | Prefix, tokens: MotionTokens) -> Float[Tensor, " strings"]:
        """Log probability of each whole token string, in nats.

        Args:
            given: Frozen features, or what `start` made of them.
            tokens: One string a window, or several, those of a window following one another.
        """
        count, rest = divmod(len(tokens.indices), len(given if isinstance(given, Prefix) else given.vision))
        assert not rest, "every window has the same number of strings"
        before = torch.cat((tokens.indices[:, :1], tokens.indices[:, :-1]), dim=1)
        scores = self.reading(given, count).scores(before, 0)
        return scores.float().log_softmax(dim=-1).gather(-1, tokens.indices[..., None])[..., 0].sum(dim=-1)

    def generate(self, given: Features | Prefix, **settings: Any) -> MotionTokens:
        """Motion tokens from nothing but the conditioning: those of `generation`, which takes the same arguments."""
        return self.generation(given, **settings).tokens

    @torch.no_grad()
    def generation(
        self,
        given: Features | Prefix,
        *,
        count: int = 1,
        generator: torch.Generator | None = None,
        temperature: float = 1.0,
        top_k: int | None = None,
        draft: MotionTokens | None = None,
    ) -> Generation:
        """Motion tokens from nothing but the conditioning, their likelihood, and what they cost.

        Args:
            given: Frozen features, or what `start` made of them.
            count: Strings of each window, which follow one another; they share one reading of the conditioning.
            generator: Source of randomness; None takes the likeliest token every time.
            temperature: See `next_token`.
            top_k: See `next_token`.
            draft: A guess at the likeliest strings, −1 where there is none. Verified many tokens at a time; the tokens
                are those found without it, unless two are almost equally likely (a difference of rounding).

        Raises:
            UsageError: A draft for random tokens, or of another shape.
        """
        reading = self.reading(given, count)
        if draft is None:
            return one_by_one(reading, generator, temperature, top_k)
        if generator is not None:
            raise UsageError("a draft helps to find the likeliest tokens only", remedy="draw without one")
        wanted = (len(reading.blank), self.tokens)
        if tuple(draft.indices.shape) != wanted:
            raise UsageError("the draft does not fit", got=tuple(draft.indices.shape), allowed=wanted)
        return verified(reading, draft.indices.to(reading.blank.device))

    def reading(self, given: Features | Prefix, count: int = 1) -> Reading:
        """What scores strings piece by piece.

        Args:
            given: Frozen features, or what `start` made of them.
            count: Strings of each window, which follow one another.
        """
        if isinstance(given, Features) and count > 1:
            given = self.start(given)
        if isinstance(given, Prefix):
            return Reading(self, given.caches(count, self.tokens), prefix=given.tokens)
        condition = self.condition(given)
        caches = self.trunk.new_cache(len(condition), condition.shape[1] + self.tokens)
        return Reading(self, caches, prefix=condition.shape[1], unread=condition)
