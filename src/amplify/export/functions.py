"""What a bundle can be asked for once it is exported."""

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from amplify import rng
from amplify.encoders.vision import PatchNetwork
from amplify.errors import BundleError, UsageError
from amplify.export.graph import Exported, Tensors
from amplify.export.stepping import first_cache, next_scores
from amplify.forward import ForwardDynamics
from amplify.inverse import InverseDynamics
from amplify.policy.bundle import Bundle
from amplify.policy.info import info_of
from amplify.tokens import MotionTokenizer
from amplify.types import Features, MotionTokens

IMAGE_PX = 128
"""Side of the images where a bundle does not name one."""


class Functions:
    """The functions of a bundle's models, for a fixed number of windows.

    Args:
        bundle: Holds the models.
        batch: Windows of a call.

    Raises:
        BundleError: The bundle holds neither forward nor inverse dynamics.
        UsageError: Less than one window.
    """

    def __init__(self, bundle: Bundle, *, batch: int):
        if batch < 1:
            raise UsageError("a call needs a window", got=batch, allowed="1, 2, …")
        self.bundle, self.batch = bundle, batch
        if not bundle.models.keys() & {"forward", "inverse"}:
            raise BundleError(f"{bundle.path} holds nothing that foresees or acts", got=", ".join(bundle.models))

    def control(self) -> list[Exported]:
        """The control step from features to actions, and each image encoder that the bundle holds."""
        found = [
            self._sight(name)
            for name in ("vision_encoder", "inverse_vision_encoder")
            if isinstance(self.bundle.models.get(name), PatchNetwork)
        ]
        if {"forward", "tokenizer", "inverse"} <= self.bundle.models.keys():
            found.append(self._control_step())
        return found or [*self.foreseeing(), *self.acting()]

    def foreseeing(self) -> list[Exported]:
        """Forward dynamics: scores of a given string, of all tokens at once, and the two parts of a decoding loop."""
        if "forward" not in self.bundle.models:
            return []
        forward = self.bundle.module("forward", ForwardDynamics)
        seen = partial(self._features, forward)
        found = [
            Exported(
                "forward_scores",
                "image, instruction and a string of tokens → scores of each token given those before it",
                (forward,),
                lambda x: {"scores": forward.logits(_features(x), MotionTokens(indices=x["tokens"]))},
                lambda seed: seen(seed) | {"tokens": self._tokens(forward, seed)},
            ),
            Exported(
                "forward_start",
                "image and instruction → a cache of what was read, with room for a string",
                (forward,),
                lambda x: {"cache": first_cache(forward, _features(x))},
                seen,
            ),
            Exported(
                "forward_step",
                "the token before, its successor's place and the cache → scores of that token, the cache with it",
                (forward,),
                lambda x: dict(
                    zip(("scores", "next_cache"), next_scores(forward, x["before"], x["place"], x["cache"]))
                ),
                lambda seed: self._midway(forward, seed),
            ),
        ]
        if forward.config.at_once:
            found.append(
                Exported(
                    "forward_at_once",
                    "image and instruction → scores of every token, foreseen all at once",
                    (forward,),
                    lambda x: {"scores": forward.logits_at_once(_features(x))},
                    seen,
                )
            )
        return found

    def acting(self) -> list[Exported]:
        """Inverse dynamics: motion tokens to actions."""
        if not {"inverse", "tokenizer"} <= self.bundle.models.keys():
            return []
        inverse = self.bundle.module("inverse", InverseDynamics)
        tokenizer = self.bundle.module("tokenizer", MotionTokenizer)

        def act(x: Mapping[str, Tensor]) -> Tensors:
            motion = tokenizer.embed(MotionTokens(indices=x["tokens"]), inverse.config.motion)
            return {"actions": inverse.act(_features(x), x["proprio"], motion).actions}

        return [
            Exported(
                "inverse",
                "image, proprioception and motion tokens → actions, environment units",
                (inverse, tokenizer),
                act,
                lambda seed: self._body(inverse, seed, "vision") | {"tokens": self._codes(tokenizer, seed)},
            )
        ]

    def _control_step(self) -> Exported:
        forward = self.bundle.module("forward", ForwardDynamics)
        tokenizer = self.bundle.module("tokenizer", MotionTokenizer)
        inverse = self.bundle.module("inverse", InverseDynamics)
        own_eyes = "inverse_vision_encoder" in self.bundle.models

        def step(x: Mapping[str, Tensor]) -> Tensors:
            features = _features(x)
            tokens = forward.plan(features)
            motion = tokenizer.embed(tokens, inverse.config.motion)
            seen = Features(vision=x["inverse_vision"], text=features.text) if own_eyes else features
            return {"actions": inverse.act(seen, x["proprio"], motion).actions, "tokens": tokens.indices}

        def examples(seed: int) -> Tensors:
            body = self._body(inverse, seed, "inverse_vision")
            if not own_eyes:
                del body["inverse_vision"]
            return self._features(forward, seed) | body

        about = "image, instruction and proprioception → actions, environment units, and the motion tokens behind them"
        return Exported("control_step", about, (forward, tokenizer, inverse), step, examples)

    def _sight(self, name: str) -> Exported:
        network = self.bundle.module(name, PatchNetwork)
        info = info_of(self.bundle)
        side, views = info.frame_size_px or IMAGE_PX, max(1, len(info.cameras))

        def images(seed: int) -> Tensors:
            shape = (self.batch, views, side, side, 3)
            return {"images": torch.randint(256, shape, dtype=torch.uint8, generator=_generator(seed, name))}

        about = "uint8 RGB images → patch tokens"
        return Exported(name, about, (network,), lambda x: {"vision": network(x["images"])}, images)

    def _features(self, forward: ForwardDynamics, seed: int) -> Tensors:
        sizes, generator = forward.dimensions, _generator(seed, "features")
        patches = (self.batch, sizes["views"], sizes["patches"], sizes["vision_width"])
        words = (self.batch, sizes["text_tokens"], sizes["text_width"])
        found = {"vision": torch.randn(patches, generator=generator)}
        if forward.config.goal != "text":
            found["goal"] = torch.randn(patches, generator=generator)
        if forward.config.goal != "image":
            found["text"] = torch.randn(words, generator=generator)
        return found

    def _body(self, inverse: InverseDynamics, seed: int, vision: str) -> Tensors:
        sizes, generator = inverse.dimensions, _generator(seed, "body")
        patches = (self.batch, sizes["views"], sizes["patches"], sizes["vision_width"])
        return {
            vision: torch.randn(patches, generator=generator),
            "proprio": torch.randn(self.batch, sizes["proprio_width"], generator=generator),
        }

    def _tokens(self, forward: ForwardDynamics, seed: int) -> Tensor:
        shape = (self.batch, forward.tokens)
        return torch.randint(forward.codebook.codebook_size, shape, generator=_generator(seed, "tokens"))

    def _codes(self, tokenizer: MotionTokenizer, seed: int) -> Tensor:
        shape = (self.batch, tokenizer.tokens)
        return torch.randint(tokenizer.codebook_size, shape, generator=_generator(seed, "tokens"))

    @torch.no_grad()
    def _midway(self, forward: ForwardDynamics, seed: int) -> Tensors:
        """What a decoding loop holds after as many steps as the seed says."""
        cache, tokens = first_cache(forward, _features(self._features(forward, seed))), self._tokens(forward, seed)
        before = torch.zeros_like(tokens[:, :1])
        steps = seed % forward.tokens
        for place in range(steps):
            _, cache = next_scores(forward, before, torch.tensor(place), cache)
            before = tokens[:, place : place + 1]
        return {"before": before, "place": torch.tensor(steps), "cache": cache}


def _step(forward: ForwardDynamics, x: Mapping[str, Tensor]) -> Tensors:
    scores, cache = next_scores(forward, x["before"], x["place"], x["cache"])
    return {"scores": scores, "next_cache": cache}


def _features(x: Mapping[str, Tensor]) -> Features:
    vision = x["vision"]
    text = x["text"] if "text" in x else vision.new_zeros(len(vision), 1, 1)
    return Features(vision=vision, text=text, goal=x.get("goal"))


def _generator(seed: int, name: str) -> torch.Generator:
    return rng.torch_generator(seed, "export", name)
