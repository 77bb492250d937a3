"""ATM as a policy: predicted tracks of a few points guide the actions."""

import torch
from jaxtyping import Float
from torch import Tensor

from amplify.baselines import TrackGuidedPolicy, TrackTransformer
from amplify.policy.amplify import FeaturePolicy
from amplify.protocols import TextEncoder, VisionEncoder
from amplify.types import Features, Plan


class AtmPolicy(FeaturePolicy):
    """The any-point transformer says where points will go, the track-guided policy makes the robot move them.

    Args:
        predictor: Image and instruction → tracks.
        model: Image, proprioception, instruction and tracks → actions.
        vision: Frozen eyes.
        text: Frozen ears.
        cameras: See `FeaturePolicy`.
        optional: See `FeaturePolicy`.
    """

    def __init__(
        self,
        *,
        predictor: TrackTransformer,
        model: TrackGuidedPolicy,
        vision: VisionEncoder,
        text: TextEncoder,
        cameras: tuple[str, ...] = (),
        optional: tuple[str, ...] = (),
    ):
        super().__init__(vision, text, cameras, optional)
        self.predictor, self.model = predictor.eval(), model.eval()

    @property
    def device(self) -> torch.device:
        """Where both models are."""
        return self.model.queries.device

    def plan_from_features(
        self,
        features: Features,
        proprio: Float[Tensor, "b p"],
        *,
        previous: Plan | None = None,
        generator: torch.Generator | None = None,
    ) -> Plan:
        """Tracks first, then the actions that cause them."""
        tracks = self.predictor.predict(features, self.model.queries[None])
        return Plan(actions=self.model.act(features, proprio, tracks, generator=generator), tokens=None)
