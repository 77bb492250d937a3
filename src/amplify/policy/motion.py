"""Where points will go: motion tokens foreseen and decoded, the likeliest future or many."""

import torch
from jaxtyping import Float
from torch import Tensor

from amplify.errors import UsageError
from amplify.forward import ForwardDynamics
from amplify.rng import torch_generator
from amplify.tokens import MotionTokenizer
from amplify.types import Features, MotionTokens, TrackWindow


class MotionModel:
    """Image and instruction → tracks, by forward dynamics and the tokenizer's decoder: a `TrackPredictor`.

    Args:
        tokenizer: Decodes tokens; put into evaluation mode.
        forward: Foresees them; put into evaluation mode.
        futures: 1 predicts the motion to expect, see `ForwardDynamics.foresee`. More predict the mean over so many
            random futures, which is what a squared error rewards.
        temperature: Of the random futures; above 0, 1 draws from the model itself.
        decoding: How tokens become displacements, see `MotionTokenizer.decode`; by default as the
            tokenizer is configured for one future, and "expectation" for a mean of several.

    Raises:
        UsageError: Fewer than one future, or a temperature that is not above 0.
    """

    def __init__(
        self,
        tokenizer: MotionTokenizer,
        forward: ForwardDynamics,
        *,
        futures: int = 1,
        temperature: float = 1.0,
        decoding: str | None = None,
    ):
        _check(futures, temperature)
        self.tokenizer, self.forward = tokenizer.eval(), forward.eval()
        self.futures, self.temperature = futures, temperature
        self.decoding = decoding or (tokenizer.config.decoding if futures == 1 else "expectation")

    @torch.no_grad()
    def predict(
        self,
        features: Features,
        queries: Float[Tensor, "#b v n 2"],
        *,
        generator: torch.Generator | None = None,
    ) -> TrackWindow:
        """The foreseen tracks, (b, v, t, n, 2), the query frame first; all marked visible and valid, never clamped.

        Args:
            features: Frozen features of the query frame and of the instruction.
            queries: Normalised points in the query frame, shared by the batch where the first axis is 1.
            generator: Draws the futures where there are several; by default from a fixed seed, so that the same batch
                gives the same result.
        """
        if self.futures == 1:
            return self.tokenizer.decode_codes(self.forward.foresee(features), queries, mode=self.decoding)
        if generator is None:
            generator = torch_generator(0, "futures", device=features.vision.device)
        drawn = self.forward.generate(features, count=self.futures, generator=generator, temperature=self.temperature)
        strings = drawn.indices.unflatten(0, (-1, self.futures))
        # One future after the other: the decoder's logits of all at once would need gigabytes.
        windows = (self.decode(MotionTokens(indices=strings[:, i]), queries) for i in range(self.futures))
        first = next(windows)
        total = first.points
        for window in windows:
            total = total + window.points
        return TrackWindow(points=total / self.futures, visible=first.visible, valid=first.valid)

    @torch.no_grad()
    def sample(
        self,
        features: Features,
        count: int,
        generator: torch.Generator,
        temperature: float | None = None,
        top_k: int | None = None,
        *,
        expected_first: bool = False,
    ) -> tuple[MotionTokens, Float[Tensor, "b count"]]:
        """Random futures, (b, count, k), and the log-likelihood of each in nats.

        The log-likelihood is that of the exact token string under the model itself (temperature 1, all codes),
        whatever it was drawn with. Strings that differ can stand for nearly the same motion, so it ranks futures and
        is no probability of a motion.

        Args:
            features: Frozen features of the query frame and of the instruction.
            count: Futures of each element.
            generator: Source of randomness.
            temperature: Above 0; the model's own setting by default.
            top_k: Only the K likeliest codes can be drawn; all by default.
            expected_first: The first future is the one to expect (`ForwardDynamics.plan`), the others are drawn.

        Raises:
            UsageError: Fewer than one future, or a temperature that is not above 0.
        """
        temperature = self.temperature if temperature is None else temperature
        _check(count, temperature)
        drawn, prefix = count - expected_first, self.forward.start(features)
        strings: list[Tensor] = []
        log_likelihood: list[Tensor] = []
        if expected_first:
            expected = self.forward.plan(features)
            strings.append(expected.indices[:, None])
            log_likelihood.append(self.forward.log_likelihood(prefix, expected)[:, None])
        if drawn:
            random = self.forward.generation(
                prefix, count=drawn, generator=generator, temperature=temperature, top_k=top_k
            )
            strings.append(random.tokens.indices.unflatten(0, (-1, drawn)))
            log_likelihood.append(random.log_likelihood.unflatten(0, (-1, drawn)))
        return MotionTokens(indices=torch.cat(strings, dim=1)), torch.cat(log_likelihood, dim=1)

    @torch.no_grad()
    def log_likelihood(self, features: Features, window: TrackWindow) -> Float[Tensor, " b"]:
        """How likely a given motion is, in nats: the log-likelihood of the token string that the tokenizer makes of it.

        Higher means that the motion fits image and instruction better; it is no density over tracks, and comparable
        between motions that the tokenizer resolves equally well.

        Args:
            features: Frozen features of the query frame and of the instruction.
            window: The motion of the points that the tokenizer was trained on, (b, v, t, n, 2).
        """
        return self.forward.log_likelihood(features, self.tokenizer.encode(window))

    def decode(self, tokens: MotionTokens, queries: Float[Tensor, "*q n 2"]) -> TrackWindow:
        """The tracks that tokens (*b, k) stand for, with the model's decoding; see `MotionTokenizer.decode`."""
        return self.tokenizer.decode(tokens, queries, mode=self.decoding)


def _check(futures: int, temperature: float) -> None:
    if futures < 1:
        raise UsageError("too few futures", got=futures, allowed="1, 2, …")
    if not temperature > 0:
        raise UsageError("the temperature must be above 0", got=temperature, remedy="0.5 prefers likely futures")
