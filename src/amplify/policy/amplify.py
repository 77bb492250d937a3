"""Policies made of frozen encoders and trained models: pure functions of an observation."""

from abc import ABC, abstractmethod
from dataclasses import replace

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from amplify.baselines import BehaviourCloning
from amplify.errors import DataError, UsageError
from amplify.forward import ForwardDynamics
from amplify.inverse import InverseDynamics
from amplify.nn.precision import converted
from amplify.policy.compiled import CompiledPlanner
from amplify.protocols import TextEncoder, VisionEncoder
from amplify.tokens import MotionTokenizer
from amplify.types import Features, MotionTokens, Observation, Plan

SENTENCES = 4096
"""Instructions whose features are kept."""


class FeaturePolicy(ABC):
    """A policy on frozen features; each instruction is encoded once.

    Args:
        vision: Frozen eyes.
        text: Frozen ears.
        cameras: Names of the views in training, in order, which observations must have; empty takes any.
        optional: Those of them that observations may lack, because some source of training did.
    """

    def __init__(
        self,
        vision: VisionEncoder,
        text: TextEncoder,
        cameras: tuple[str, ...] = (),
        optional: tuple[str, ...] = (),
    ):
        self.vision, self.text, self.cameras, self.optional = vision, text, cameras, optional
        self._sentences: dict[str, Tensor] = {}
        self._goal: tuple[Tensor, Tensor] | None = None

    def features(self, observation: Observation) -> Features:
        """Features of image, instruction and, where there is one, goal image of a batch of observations."""
        if len(self._sentences) > SENTENCES:
            self._sentences.clear()  # who asks may ask for anything, for as long as a server runs
        new = [s for s in dict.fromkeys(observation.instruction) if s not in self._sentences]
        if new:
            self._sentences.update(zip(new, self.text.encode(new)))
        text = torch.stack([self._sentences[s] for s in observation.instruction])
        goal = None if observation.goal is None else self._goal_features(observation.goal)
        vision = self.vision.encode(observation.images)
        if not self.cameras or observation.cameras == self.cameras:
            return Features(vision=vision, text=text, goal=goal)
        present = torch.tensor([name in observation.cameras for name in self.cameras])
        return Features(
            vision=self.in_place(vision, observation),
            text=text,
            goal=None if goal is None else self.in_place(goal, observation),
            present=present.expand(len(vision), -1),
        )

    def in_place(self, features: Float[Tensor, "b c p d"], observation: Observation) -> Float[Tensor, "b v p d"]:
        """Features of the cameras that there are in the order of training, zero for those that are not."""
        if not self.cameras:
            return features
        there = {name: features[:, number] for number, name in enumerate(observation.cameras)}
        absent = torch.zeros_like(features[:, 0])
        return torch.stack([there.get(name, absent) for name in self.cameras], dim=1)

    def _goal_features(self, images: UInt8[Tensor, "b v h w 3"]) -> Tensor:
        # A goal stays the same for a whole episode.
        if self._goal is None or not torch.equal(self._goal[0], images):
            self._goal = (images.clone(), self.vision.encode(images))
        return self._goal[1]

    def plan(
        self, observation: Observation, *, previous: Plan | None = None, generator: torch.Generator | None = None
    ) -> Plan:
        """What to do next, for every element of the batch.

        Args:
            observation: With proprioception, environment units.
            previous: The newest plan of each element, a guess that may save time; the plan is the same without.
            generator: Draws tokens and actions; None takes the likeliest.

        Raises:
            DataError: The observation has no proprioception, or one that is not finite numbers, or it is of another
                shape than the models were made for.
        """
        if observation.proprio is None:
            raise DataError("this policy needs proprioception and the observation has none")
        if self.cameras and not self._fits(observation.cameras):
            optional = f" ({', '.join(self.optional)} may be missing)" if self.optional else ""
            raise DataError(
                "the observation is of other cameras than the policy was trained with",
                got=", ".join(observation.cameras),
                allowed=", ".join(self.cameras) + optional,
                remedy="give the same views in the same order",
            )
        if not observation.proprio.isfinite().all():
            raise DataError("proprioception that is not finite numbers", got=observation.proprio.tolist())
        features, proprio = self.features(observation).to(self.device), observation.proprio.to(self.device)
        return self.plan_from_features(features, proprio, previous=previous, generator=generator)

    def _fits(self, cameras: tuple[str, ...]) -> bool:
        expected = tuple(name for name in self.cameras if name in cameras or name not in self.optional)
        return cameras == expected and len(cameras) > 0

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where the models are: observations may come from elsewhere."""

    @abstractmethod
    def plan_from_features(
        self,
        features: Features,
        proprio: Float[Tensor, "b p"],
        *,
        previous: Plan | None = None,
        generator: torch.Generator | None = None,
    ) -> Plan:
        """As `plan`, for features that are already computed (several policies can share them)."""


class AmplifyPolicy(FeaturePolicy):
    """Forward dynamics says what should move, inverse dynamics makes the robot move it.

    A forward model that foresees token by token (``at_once`` 0) takes the tokens of the previous plan as its draft,
    moved on by the decisions since then; one that foresees all at once has no use for a draft. Measured on three of the
    quick-start's models read token by token, held-out videos, a plan a frame: 1.5 to 1.8 of 15 tokens stand before the
    first that does not, and 7.6 to 8.1 passes are needed instead of 15 (8.0 to 8.4 where the draft is not moved on).
    A draft that is right at 60 % of the places instead of 48 % saves 0.4 passes more: no model was made to predict it.
    That is for one environment; several together wait for the slowest, and get no draft.

    Args:
        forward: Image and instruction → motion tokens.
        tokenizer: Gives the tokens' codes.
        inverse: Image, proprioception and codes → actions.
        vision: Frozen eyes.
        text: Frozen ears.
        cameras: See `FeaturePolicy`.
        optional: See `FeaturePolicy`.
        inverse_vision: The eyes that inverse dynamics learned with; those of forward dynamics by default.
        precision: Of the weights of forward and inverse dynamics, one of `amplify.nn.precision.PRECISIONS`. On the
            same videos "bfloat16" keeps 99 % of the tokens and "int8" 97 %.
        compile: Fuse kernels: half a minute at the first plan of each batch size, and 1.1 to 1.8 times as fast then.
            On a CUDA device plans without drawing are CUDA graphs in any case, see
            `amplify.policy.compiled.CompiledPlanner`.

    Raises:
        UnknownNameError: No such precision.
        UsageError: ``compile`` without a CUDA device, or "int8" on one.
    """

    def __init__(
        self,
        *,
        forward: ForwardDynamics,
        tokenizer: MotionTokenizer,
        inverse: InverseDynamics,
        vision: VisionEncoder,
        text: TextEncoder,
        cameras: tuple[str, ...] = (),
        optional: tuple[str, ...] = (),
        inverse_vision: VisionEncoder | None = None,
        precision: str = "float32",
        compile: bool = False,
    ):
        super().__init__(vision, text, cameras, optional)
        self.inverse_vision = inverse_vision
        # Dropout must never reach a robot, whatever the models were last used for.
        self.forward = converted(forward.eval(), precision)
        self.tokenizer, self.inverse = tokenizer.eval(), converted(inverse.eval(), precision)
        cuda = self.device.type == "cuda"
        if compile and not cuda:
            raise UsageError("only for a CUDA device plans are compiled", got=self.device, remedy="leave --compile out")
        self._graphs = CompiledPlanner(self.forward, self._acted, fused=compile) if cuda else None

    @property
    def device(self) -> torch.device:
        """Where forward and inverse dynamics are."""
        return self.forward.start_token.device

    def features(self, observation: Observation) -> Features:
        """As for every policy, with those of the eyes of inverse dynamics where it has its own."""
        features = super().features(observation)
        if self.inverse_vision is None:
            return features
        seen = self.inverse_vision.encode(observation.images)
        return replace(features, inverse_vision=self.in_place(seen, observation))

    def plan_from_features(
        self,
        features: Features,
        proprio: Float[Tensor, "b p"],
        *,
        previous: Plan | None = None,
        generator: torch.Generator | None = None,
    ) -> Plan:
        """Tokens first, then the actions that cause them."""
        if generator is not None:
            return self._acted(self.forward.generate(features, generator=generator), features, proprio, generator)
        if self._graphs is not None and self.device.type == "cuda":
            return self._graphs(features, proprio, self._draft(previous))
        draft = self._draft(previous) if len(proprio) == 1 else None
        return self._acted(self.forward.plan(features, draft), features, proprio)

    def _acted(
        self, tokens: MotionTokens, features: Features, proprio: Tensor, generator: torch.Generator | None = None
    ) -> Plan:
        motion = self.tokenizer.embed(tokens, self.inverse.config.motion)
        if features.inverse_vision is not None:
            features = replace(features, vision=features.inverse_vision)
        return Plan(actions=self.inverse.act(features, proprio, motion, generator=generator), tokens=tokens)

    def _draft(self, previous: Plan | None) -> MotionTokens | None:
        if previous is None or previous.tokens is None:
            return None
        indices, steps = previous.tokens.indices, self.tokenizer.config.steps
        if previous.age is None:
            return previous.tokens
        at = (torch.arange(steps, device=indices.device) + previous.age[:, None]).clamp_max(steps - 1)
        strings = indices.unflatten(1, (-1, steps))  # (b, strings of a view, steps)
        moved_on = strings.gather(2, at.to(indices.device)[:, None].expand_as(strings))
        return MotionTokens(indices=moved_on.flatten(1))


class BehaviourCloningPolicy(FeaturePolicy):
    """The baseline: actions straight from image, proprioception and instruction.

    Args:
        model: The trained model.
        vision: Frozen eyes.
        text: Frozen ears.
        cameras: See `FeaturePolicy`.
        optional: See `FeaturePolicy`.
    """

    def __init__(
        self,
        *,
        model: BehaviourCloning,
        vision: VisionEncoder,
        text: TextEncoder,
        cameras: tuple[str, ...] = (),
        optional: tuple[str, ...] = (),
    ):
        super().__init__(vision, text, cameras, optional)
        self.model = model.eval()

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.decoder.no_image.device

    def plan_from_features(
        self,
        features: Features,
        proprio: Float[Tensor, "b p"],
        *,
        previous: Plan | None = None,
        generator: torch.Generator | None = None,
    ) -> Plan:
        """Actions without tokens."""
        return Plan(actions=self.model.act(features, proprio, generator=generator), tokens=None)
