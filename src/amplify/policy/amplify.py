"""Policies made of frozen encoders and trained models: pure functions of an observation."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from amplify.baselines import BehaviourCloning
from amplify.errors import DataError
from amplify.forward import ForwardDynamics
from amplify.inverse import InverseDynamics
from amplify.protocols import TextEncoder, VisionEncoder
from amplify.tokens import MotionTokenizer
from amplify.types import Features, Observation, Plan


class FeaturePolicy(ABC):
    """A policy on frozen features; each instruction is encoded once.

    Args:
        vision: Frozen eyes.
        text: Frozen ears.
    """

    def __init__(self, vision: VisionEncoder, text: TextEncoder):
        self.vision, self.text = vision, text
        self._sentences: dict[str, Tensor] = {}

    def features(self, observation: Observation) -> Features:
        """Image and instruction features of a batch of observations."""
        new = [s for s in dict.fromkeys(observation.instruction) if s not in self._sentences]
        if new:
            self._sentences.update(zip(new, self.text.encode(new)))
        text = torch.stack([self._sentences[s] for s in observation.instruction])
        return Features(vision=self.vision.encode(observation.images), text=text)

    def plan(
        self, observation: Observation, *, previous: Plan | None = None, generator: torch.Generator | None = None
    ) -> Plan:
        """What to do next, for every element of the batch.

        Args:
            observation: With proprioception, environment units.
            previous: Not used: each plan is made afresh.
            generator: Draws tokens and actions; None takes the likeliest.

        Raises:
            DataError: The observation has no proprioception.
        """
        if observation.proprio is None:
            raise DataError("this policy needs proprioception and the observation has none")
        return self.plan_from_features(self.features(observation), observation.proprio, generator=generator)

    @abstractmethod
    def plan_from_features(
        self, features: Features, proprio: Float[Tensor, "b p"], *, generator: torch.Generator | None = None
    ) -> Plan:
        """As `plan`, for features that are already computed (several policies can share them)."""


class AmplifyPolicy(FeaturePolicy):
    """Forward dynamics says what should move, inverse dynamics makes the robot move it.

    Args:
        forward: Image and instruction → motion tokens.
        tokenizer: Gives the tokens' codes.
        inverse: Image, proprioception and codes → actions.
        vision: Frozen eyes.
        text: Frozen ears.
    """

    def __init__(
        self,
        *,
        forward: ForwardDynamics,
        tokenizer: MotionTokenizer,
        inverse: InverseDynamics,
        vision: VisionEncoder,
        text: TextEncoder,
    ):
        super().__init__(vision, text)
        # Dropout must never reach a robot, whatever the models were last used for.
        self.forward, self.tokenizer, self.inverse = forward.eval(), tokenizer.eval(), inverse.eval()

    def plan_from_features(
        self, features: Features, proprio: Float[Tensor, "b p"], *, generator: torch.Generator | None = None
    ) -> Plan:
        """Tokens first, then the actions that cause them."""
        drawn = generator is not None
        tokens = self.forward.generate(features, generator=generator) if drawn else self.forward.plan(features)
        motion = self.tokenizer.embed(tokens, self.inverse.config.motion)
        actions = self.inverse.act(features, proprio, motion, generator=generator)
        return Plan(actions=actions, tokens=tokens)


class BehaviourCloningPolicy(FeaturePolicy):
    """The baseline: actions straight from image, proprioception and instruction.

    Args:
        model: The trained model.
        vision: Frozen eyes.
        text: Frozen ears.
    """

    def __init__(self, *, model: BehaviourCloning, vision: VisionEncoder, text: TextEncoder):
        super().__init__(vision, text)
        self.model = model.eval()

    def plan_from_features(
        self, features: Features, proprio: Float[Tensor, "b p"], *, generator: torch.Generator | None = None
    ) -> Plan:
        """Actions without tokens."""
        return Plan(actions=self.model.act(features, proprio, generator=generator), tokens=None)
