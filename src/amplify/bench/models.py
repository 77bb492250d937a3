"""What is timed: the models of a preset with random weights, and inputs of the right sizes."""

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from amplify import rng
from amplify.config import Config
from amplify.encoders.text import TextConfig, TextNetwork
from amplify.encoders.vision import PatchEncoder, PatchNetwork, VisionConfig
from amplify.errors import pick
from amplify.forward import ForwardConfig, ForwardDynamics
from amplify.inverse import InverseConfig, InverseDynamics
from amplify.tokens import MotionTokenizer, TokenizerConfig
from amplify.tracks.queries import uniform_grid
from amplify.types import ActionChunk, Features, TrackWindow

IMAGE_PX = 128
"""Side of the images that the policy receives, as in LIBERO."""
WORDS = 32
"""Word pieces to which the reference fills up every instruction."""
PROPRIO, ACTIONS = 9, 7
"""Dimensions of LIBERO's arm: joints and gripper; end-effector displacement and gripper."""


class BenchSizes(Config):
    """The models of a preset and the encoder before them.

    Args:
        tokenizer: Tracks ↔ motion tokens.
        forward: Image and instruction → motion tokens.
        inverse: Image, proprioception and motion tokens → actions.
        input_px: Side at which the image encoder works.
        encoder_widths: Channels of its four stages.
        encoder_blocks: Residual blocks of each stage.
        text_width: Channels of the instruction's one token.
        text_layers: Blocks of the encoder of instructions.
        vocabulary: Word pieces that it knows.
    """

    tokenizer: TokenizerConfig
    forward: ForwardConfig
    inverse: InverseConfig
    input_px: int = 224
    encoder_widths: tuple[int, ...] = (64, 128, 256, 512)
    encoder_blocks: tuple[int, ...] = (2, 2, 2, 2)
    text_width: int = 512
    text_layers: int = 6
    vocabulary: int = 32128

    def text_encoder(self) -> TextNetwork:
        """A language model as the reference's T5-small, with random weights; one token a sentence."""
        architecture = {
            "d_model": self.text_width,
            "d_ff": 4 * self.text_width,
            "d_kv": 64,
            "num_heads": self.text_width // 64,
            "num_layers": self.text_layers,
            "vocab_size": self.vocabulary,
        }
        return TextNetwork(TextConfig.of("t5", tokens="first"), architecture=architecture)

    def image_encoder(self) -> PatchNetwork:
        """A residual network as the reference's ResNet-18, with random weights."""
        config = VisionConfig(
            network="resnet18", input_px=self.input_px, grid=self.input_px // 32, normalise=False, antialias=False
        )
        architecture = {
            "model_type": "resnet",
            "embedding_size": self.encoder_widths[0],
            "hidden_sizes": list(self.encoder_widths),
            "depths": list(self.encoder_blocks),
            "layer_type": "basic",
        }
        return PatchNetwork(config, architecture=architecture)

    @classmethod
    def named(cls, name: str, *, head: str = "gaussian") -> "BenchSizes":
        """The sizes "paper", "small" or "tiny", with an action head.

        Raises:
            UnknownNameError: No such preset.
        """
        pick(name, dict.fromkeys(("paper", "small", "tiny")), kind="configuration")
        changes: dict[str, Any] = {}
        if name == "tiny":
            encoders = {"encoder_widths": (8, 8, 16, 16), "encoder_blocks": (1, 1, 1, 1), "text_layers": 1}
            changes = {"input_px": 64, "vocabulary": 64, **encoders}
        return cls(
            tokenizer=getattr(TokenizerConfig, name)(),
            forward=getattr(ForwardConfig, name)(),
            inverse=getattr(InverseConfig, name)(head=head),
            **changes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchModels:
    """The models in evaluation mode.

    Args:
        sizes: Their sizes.
        plain_encoder: The image encoder as it comes.
        encoder: The same, made ready for frozen use.
        text_encoder: The encoder of instructions.
        tokenizer: Tracks ↔ motion tokens.
        forward: Image and instruction → motion tokens.
        inverse: Image, proprioception and motion tokens → actions.
    """

    sizes: BenchSizes
    plain_encoder: PatchNetwork
    encoder: PatchEncoder
    text_encoder: TextNetwork
    tokenizer: MotionTokenizer
    forward: ForwardDynamics
    inverse: InverseDynamics

    @classmethod
    def build(cls, sizes: BenchSizes, *, seed: int, device: torch.device) -> "BenchModels":
        """Models whose random weights depend on the seed alone."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(rng.derive(seed, "bench", "weights"))
            plain = sizes.image_encoder().to(device).eval().requires_grad_(False)
            tokenizer = MotionTokenizer(sizes.tokenizer)
            views = sizes.tokenizer.views
            shared = {"vision_width": plain.width, "patches": plain.patches, "views": views}
            forward = ForwardDynamics(
                sizes.forward,
                levels=sizes.tokenizer.levels,
                tokens=sizes.tokenizer.tokens,
                text_width=sizes.text_width,
                **shared,
            )
            inverse = InverseDynamics(
                sizes.inverse,
                code_width=tokenizer.embedding_width(sizes.inverse.motion),
                tokens=sizes.tokenizer.tokens,
                proprio_width=PROPRIO,
                action_width=ACTIONS,
                **shared,
            )
            text = sizes.text_encoder().to(device).eval().requires_grad_(False)
        return cls(
            sizes=sizes,
            plain_encoder=plain,
            encoder=PatchEncoder(network=deepcopy(plain), device=str(device)),
            text_encoder=text,
            tokenizer=tokenizer.to(device).eval(),
            forward=forward.to(device).eval(),
            inverse=inverse.to(device).eval(),
        )

    def read(self, words: Tensor) -> Tensor:
        """The instructions, encoded, (b, 1, e).

        Args:
            words: Their word pieces by number, (b, w).
        """
        return self.text_encoder(words, torch.ones_like(words))


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchInputs:
    """One batch of random observations and of the motion and actions that follow.

    Args:
        images: uint8 RGB, (b, v, h, w, 3).
        text: The encoded instructions, (b, 1, e).
        words: Instructions as word pieces, all of the length to which T5 fills them up, (b, w).
        proprio: (b, p).
        queries: Grid of query points, (v, n, 2).
        tracks: Half of the points move.
        actions: In [−1, 1].
    """

    images: Tensor
    text: Tensor
    words: Tensor
    proprio: Tensor
    queries: Tensor
    tracks: TrackWindow
    actions: ActionChunk

    @classmethod
    def random(cls, sizes: BenchSizes, batch: int, *, seed: int, device: torch.device) -> "BenchInputs":
        """Inputs that depend on the sizes, the batch and the seed alone."""
        generator = rng.torch_generator(seed, "bench", "inputs")
        config = sizes.tokenizer
        views, n = config.views, config.points
        queries = uniform_grid(round(n**0.5)).expand(views, n, 2)
        moves = torch.rand(batch, views, 1, n, 1, generator=generator) < 0.5
        steps = 0.03 * moves * torch.randn(batch, views, config.steps, n, 2, generator=generator)
        points = torch.cat((torch.zeros_like(steps[:, :, :1]), steps.cumsum(dim=2)), dim=2) + queries[:, None]
        known = torch.ones(points.shape[:-1], dtype=torch.bool)
        actions = torch.rand(batch, sizes.inverse.action_horizon, ACTIONS, generator=generator) * 2 - 1
        images = torch.randint(0, 256, (batch, views, IMAGE_PX, IMAGE_PX, 3), generator=generator, dtype=torch.uint8)
        return cls(
            images=images.to(device),
            text=torch.randn(batch, 1, sizes.text_width, generator=generator).to(device),
            words=torch.randint(sizes.vocabulary, (batch, WORDS), generator=generator).to(device),
            proprio=torch.randn(batch, PROPRIO, generator=generator).to(device),
            queries=queries.to(device),
            tracks=TrackWindow(points=points, visible=known, valid=known[..., 0]).to(device),
            actions=ActionChunk(actions=actions, valid=torch.ones_like(actions[..., 0], dtype=torch.bool)).to(device),
        )

    def features(self, vision: Tensor, text: Tensor | None = None) -> Features:
        """Features of the observations, given those of the images and, where they are encoded anew, of instructions."""
        return Features(vision=vision, text=self.text if text is None else text)
