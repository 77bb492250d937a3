import pytest
import torch

from amplify.baselines import (
    BehaviourCloning,
    TrackDiffusion,
    TrackDiffusionConfig,
    TrackGuidedPolicy,
    TrackTransformer,
    TrackTransformerConfig,
)
from amplify.forward import ForwardConfig, ForwardDynamics
from amplify.inverse import InverseConfig, InverseDynamics
from amplify.tokens import MotionTokenizer, TokenizerConfig
from amplify.types import Observation

SMALL = {"width": 16, "heads": 2}
SIZES = {"vision_width": 6, "patches": 4, "views": 1}


@pytest.fixture
def models():
    """One of everything that a bundle can hold, tiny."""
    torch.manual_seed(0)
    tokenizer = MotionTokenizer(TokenizerConfig.quickstart(points=4, decoder_hidden=8, levels=(5, 4), **SMALL))
    with torch.no_grad():
        tokenizer.velocity_scale_px.fill_(2.5)
    inverse = InverseConfig.quickstart(layers=1, **SMALL)
    acting = SIZES | {"proprio_width": 3, "action_width": 2}
    return {
        "tokenizer": tokenizer,
        "forward": ForwardDynamics(
            ForwardConfig.quickstart(layers=1, **SMALL), levels=(5, 4), tokens=15, text_width=5, **SIZES
        ),
        "inverse": InverseDynamics(inverse, code_width=tokenizer.embedding_width(inverse.motion), tokens=15, **acting),
        "behaviour_cloning": BehaviourCloning(inverse, text_width=5, **acting),
        "track_transformer": TrackTransformer(
            TrackTransformerConfig.quickstart(layers=1, **SMALL), steps=15, text_width=5, **SIZES
        ),
        "track_diffusion": TrackDiffusion(
            TrackDiffusionConfig.quickstart(layers=1, **SMALL), steps=15, text_width=5, **SIZES
        ),
        "track_policy": TrackGuidedPolicy(inverse, points=4, steps=15, text_width=5, **acting),
    }


class FakeVision:
    """Means of the four quarters of an image."""

    name, patches, width = "fake", 4, 6

    def encode(self, images):
        x = images.float().mean(dim=(-3, -2)) / 255
        return torch.cat((x, x), dim=-1)[..., None, :] * torch.arange(1.0, 5)[:, None]


class FakeText:
    """Letters counted; remembers what it was asked."""

    name, tokens, width = "fake", 1, 5

    def __init__(self):
        self.asked = []

    def encode(self, sentences):
        self.asked += sentences
        return torch.stack([torch.tensor([[float(s.count(c)) for c in "aeiou"]]) for s in sentences])


@pytest.fixture
def vision():
    return FakeVision()


@pytest.fixture
def text():
    return FakeText()


@pytest.fixture
def observe():
    """Observations of a batch of environments, each with its own image."""

    def make(*instructions, seed=0):
        generator = torch.Generator().manual_seed(seed)
        batch = len(instructions)
        images = torch.randint(0, 256, (batch, 1, 8, 8, 3), dtype=torch.uint8, generator=generator)
        proprio = torch.randn(batch, 3, generator=generator)
        return Observation(images=images, cameras=("front",), proprio=proprio, instruction=instructions)

    return make
