"""The control step and the prediction of tracks, ours beside the plain formulation."""

from collections.abc import Callable
from functools import partial

import torch

from amplify.bench import reference_style
from amplify.bench.models import BenchInputs, BenchModels
from amplify.bench.reference_style import PlainDecoder
from amplify.bench.timing import Part
from amplify.forward import ForwardDynamics
from amplify.inverse import InverseDynamics
from amplify.tokens import MotionTokenizer
from amplify.types import ActionChunk, MotionTokens, TrackWindow

PLAIN_ACT, PLAIN_PREDICT = "act_reference_style", "predict_reference_style"


class ControlStep:
    """Images and proprioception → actions, and images → tracks; the instruction is already encoded.

    Args:
        models: The models.
        inputs: What they see.
        forward: In place of the models' own (another precision); theirs by default.
        inverse: Likewise.
    """

    def __init__(
        self,
        models: BenchModels,
        inputs: BenchInputs,
        *,
        forward: ForwardDynamics | None = None,
        inverse: InverseDynamics | None = None,
    ):
        self.models, self.inputs = models, inputs
        self.forward, self.inverse = forward or models.forward, inverse or models.inverse

    @torch.inference_mode()
    def tokens(self, draft: MotionTokens | None = None) -> MotionTokens:
        """What should move."""
        features = self.inputs.features(self.models.encoder.encode(self.inputs.images))
        return self.forward.generate(features, draft=draft)

    @torch.inference_mode()
    def act(self, draft: MotionTokens | None = None, *, generator: torch.Generator | None = None) -> ActionChunk:
        """The actions that make it move.

        Args:
            draft: See `ForwardDynamics.generation`.
            generator: Draws the actions; the likeliest without one, where the head has them.
        """
        features = self.inputs.features(self.models.encoder.encode(self.inputs.images))
        tokens = self.forward.generate(features, draft=draft)
        motion = self.models.tokenizer.embed(tokens, self.inverse.config.motion)
        return self.inverse.act(features, self.inputs.proprio, motion, generator=generator)

    @torch.inference_mode()
    def predict(self, draft: MotionTokens | None = None) -> TrackWindow:
        """Where the points of the grid will go."""
        return self.models.tokenizer.decode(self.tokens(draft), self.inputs.queries, mode="argmax")
