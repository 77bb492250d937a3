"""Training from images: the encoder runs within the step, and may learn with the model that it serves."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from amplify.config import Config
from amplify.encoders import VISION_ENCODERS
from amplify.encoders.augment import augmented
from amplify.encoders.pretrained import fingerprint
from amplify.encoders.vision import PatchEncoder, PatchNetwork
from amplify.errors import MissingDependencyError, UsageError, pick
from amplify.policy.info import EncoderInfo
from amplify.protocols import Stage
from amplify.train.loop import TrainConfig, fit
from amplify.types import Features, Sample


class Sight(Config):
    """How images are seen in training: by default as features that were computed once, by a frozen encoder.

    Anything else makes the encoder run within every step: slower, and on images that may be augmented.

    Args:
        fine_tune: The encoder's learning rate as a multiple of the model's; 0 keeps it frozen.
        shift: Largest random shift of an image, as a share of its side; 0.03 is 4 pixels of 128. Tracks are those of
            the image that was not shifted.
        colour: Strength of random changes of brightness, contrast and saturation, 0 to 1.
        memory_gb: Decoded video that may stay in memory, in 10⁹ bytes.
    """

    fine_tune: float = Field(default=0.0, ge=0)
    shift: float = Field(default=0.0, ge=0, le=0.25)
    colour: float = Field(default=0.0, ge=0, lt=1)
    memory_gb: float = Field(default=4.0, ge=0)

    @property
    def cached(self) -> bool:
        """Whether features that were computed once will do."""
        return not (self.fine_tune or self.shift or self.colour)


class Seeing(nn.Module):
    """A model and the eyes that learn with it.

    Args:
        model: What the stage trains.
        eyes: Always in evaluation mode: statistics of batch normalisation stay those of the published weights.
    """

    def __init__(self, model: nn.Module, eyes: PatchNetwork):
        super().__init__()
        self.model, self.eyes = model, eyes

    def train(self, mode: bool = True) -> "Seeing":
        """Switches the model between training and evaluation."""
        super().train(mode)
        self.eyes.eval()
        return self


class Sighted:
    """A stage whose batches hold pictures: they are augmented, and encoded with gradients where the eyes learn.

    Args:
        stage: Learns from features; its held-out windows are seen by the same eyes.
        eyes: The encoder.
        sight: How it sees.
    """

    def __init__(self, stage: Stage, eyes: PatchNetwork, sight: Sight):
        self.stage, self.eyes, self.sight = stage, eyes.eval().requires_grad_(sight.fine_tune > 0), sight
        self.name = stage.name
        self.module: nn.Module = Seeing(stage.module, eyes) if sight.fine_tune else stage.module

    @property
    def rates(self) -> dict[str, float]:
        """Learning rates of parts of the module, as multiples."""
        return {"eyes.": self.sight.fine_tune} if self.sight.fine_tune else {}

    def batch(self, step: int, generator: np.random.Generator, size: int) -> Sample:
        """Random windows with pictures."""
        return self.stage.batch(step, generator, size)

    def loss(self, batch: Sample, *, generator: torch.Generator) -> tuple[Tensor, dict[str, float | Tensor]]:
        """The stage's loss on what the eyes make of the pictures."""
        pictures = batch.pictures
        assert pictures is not None
        vision = self._seen(pictures.images, generator)
        goal = None if pictures.goal is None else self._seen(pictures.goal, generator)
        features = Features(vision=vision, text=pictures.text, goal=goal, present=pictures.present)
        return self.stage.loss(replace(batch, features=features, pictures=None), generator=generator)

    def validate(self) -> dict[str, float]:
        """The stage's own validation."""
        return self.stage.validate()

    def _seen(self, images: Tensor, generator: torch.Generator) -> Tensor:
        sight = self.sight
        return self.eyes(augmented(images, shift=sight.shift, colour=sight.colour, generator=generator))


def fit_seeing(
    stage: Stage,
    eyes: PatchNetwork | None,
    sight: Sight,
    config: TrainConfig,
    out: Path,
    *,
    identity: dict[str, Any],
) -> dict[str, float]:
    """Trains a stage, on cached features or through eyes; see `amplify.train.loop.fit`.

    Args:
        stage: What to train.
        eyes: The encoder of its pictures, trained in place where ``sight`` says so; None where features are cached.
        sight: How it sees.
        config: The budget.
        out: Folder of the run.
        identity: What else the result depends on.
    """
    if eyes is None:
        return fit(stage, config, out, identity=identity)
    sighted = Sighted(stage, eyes, sight)
    return fit(sighted, config, out, identity=identity, rates=sighted.rates)


def published_eyes(info: EncoderInfo) -> PatchNetwork:
    """The network that made a feature sidecar, with its published weights.

    Raises:
        UsageError: The sidecar was not made by an encoder of this package, or by one that was fine-tuned.
        AmplifyError: Its weights are not here.
    """
    if "network" not in info.settings:
        raise UsageError(
            "only an encoder of this package can see within training", got=info.name, allowed=", ".join(VISION_ENCODERS)
        )
    return PatchNetwork.pretrained(_published(info).config)


def require_published(info: EncoderInfo) -> None:
    """Refuses an encoder that was fine-tuned: a bundle that names it, and does not hold it, could never see again.

    Raises:
        UsageError: It is of this package and its weights are not published ones.
    """
    if "network" in info.settings:
        # Cached features can be learned from where published weights are not at hand, and then this cannot be told.
        with suppress(MissingDependencyError):
            _published(info)


def _published(info: EncoderInfo) -> PatchEncoder:
    encoder = pick(str(info.settings["network"]), VISION_ENCODERS, kind="vision encoder")(info.settings)
    if encoder.name != info.name:
        raise UsageError(
            f"the weights of {info.name} are not published ones",
            remedy="name the sidecar of a published encoder; only 'amplify train inverse' takes an encoder over from "
            "its parent",
        )
    return encoder


def tuned(info: EncoderInfo, eyes: PatchNetwork) -> EncoderInfo:
    """What a bundle says of eyes that learned: a name of their own, so that no other's features pass for theirs."""
    published = PatchEncoder(network=eyes).name
    return EncoderInfo(name=f"{published}-tuned-{fingerprint(eyes)[:8]}", settings=info.settings)
