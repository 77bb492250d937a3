"""What a policy is made of, from a bundle or from a saved policy's ``config.json``, and back to a bundle."""

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pydantic
from torch import nn

from amplify.encoders import TEXT_ENCODERS, VISION_ENCODERS
from amplify.encoders.text import SentenceEncoder, TextNetwork
from amplify.encoders.vision import PatchEncoder, PatchNetwork
from amplify.errors import BundleError, pick
from amplify.evaluate.loading import published
from amplify.forward import ForwardDynamics
from amplify.hub.names import PREFIX
from amplify.hub.resolve import hub_bundle
from amplify.inverse import InverseDynamics
from amplify.policy import AmplifyPolicy, Bundle, load_bundle, save_bundle
from amplify.policy.bundle import MODELS
from amplify.policy.info import BundleInfo, info_of
from amplify.protocols import TextEncoder, VisionEncoder
from amplify.tokens import MotionTokenizer
from amplify.train.recipes import bundle_of

Model = TypeVar("Model", bound=nn.Module)
MOTION = ("tokenizer", "forward")
EYES_AND_EARS = ("vision_encoder", "text_encoder")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a policy is made of.

    Args:
        models: By their names in a bundle.
        info: What surrounds them.
        parents: Path → hash of the bundles that they come from.
    """

    models: dict[str, nn.Module]
    info: BundleInfo
    parents: dict[str, str] = field(default_factory=dict)

    @property
    def tokenizer(self) -> MotionTokenizer:
        """Gives tokens their meaning."""
        return self._model("tokenizer", MotionTokenizer)

    @property
    def forward(self) -> ForwardDynamics:
        """Foresees tokens."""
        return self._model("forward", ForwardDynamics)

    @property
    def inverse(self) -> InverseDynamics:
        """Makes them happen."""
        return self._model("inverse", InverseDynamics)

    def _model(self, name: str, kind: type[Model]) -> Model:
        model = self.models[name]
        assert isinstance(model, kind)
        return model

    def described(self) -> dict[str, Any]:
        """All but the weights, as JSON values."""
        models = {
            name: {"config": model.config.model_dump(mode="json"), "dimensions": model.dimensions}  # type: ignore[union-attr]
            for name, model in self.models.items()
        }
        # Once through JSON, so that a policy that was just made has the same description as one that was loaded.
        return json.loads(json.dumps({"models": models, "meta": self.info.meta, "parents": self.parents}))

    def acting(self, device: str) -> AmplifyPolicy:
        """The policy in our own terms, which shares the models.

        Args:
            device: Where the models are.

        Raises:
            AmplifyError: The encoders that the models were trained with cannot be made.
        """
        eyes, own = self.models.get("vision_encoder"), self.models.get("inverse_vision_encoder")
        return AmplifyPolicy(
            tokenizer=self.tokenizer,
            forward=self.forward,
            inverse=self.inverse,
            vision=self._vision(eyes, device),
            text=self._text(),
            cameras=self.info.cameras,
            optional=self.info.optional_cameras,
            inverse_vision=None if own is None else self._vision(own, device),
        )

    def _vision(self, network: nn.Module | None, device: str) -> VisionEncoder:
        if isinstance(network, PatchNetwork):
            return PatchEncoder(network=network, device=device)
        if self.info.vision_encoder is None:
            raise BundleError("the bundle names no image encoder", remedy="take one that 'amplify train forward' wrote")
        encoder = published(self.info.vision_encoder, VISION_ENCODERS, kind="vision encoder")
        return PatchEncoder(encoder.config, name=encoder.name, device=device)

    def _text(self) -> TextEncoder:
        network = self.models.get("text_encoder")
        if isinstance(network, TextNetwork):
            # Ears work where sentences come from, whatever the policy moves to.
            return SentenceEncoder(network=copy.deepcopy(network).cpu())
        if self.info.text_encoder is None:
            raise BundleError("the bundle names no text encoder", remedy="take one that 'amplify train forward' wrote")
        return published(self.info.text_encoder, TEXT_ENCODERS, kind="text encoder")


def bundle_folder(named: str) -> Path:
    """The folder of a bundle.

    Args:
        named: The folder, or the run that wrote it, or ``hub:owner/name``.

    Raises:
        AmplifyError: There is none.
    """
    return bundle_of(hub_bundle(named) if named.startswith(PREFIX) else Path(named).expanduser())


def described_in(folder: Path, *, needed: Sequence[str]) -> dict[str, Any]:
    """The models of a bundle as its ``config.json`` describes them, without their weights.

    Raises:
        BundleError: It lacks one that is needed.
    """
    try:
        models = dict(json.loads((folder / "config.json").read_text())["models"])
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{folder / 'config.json'} describes no models", got=repr(error)) from None
    _require(models, needed, str(folder))
    return models


def of_bundle(named: str, *, acts: bool) -> Parts:
    """The parts that a bundle holds.

    Args:
        named: See `bundle_folder`.
        acts: With its inverse dynamics; if not, what foresees motion alone.

    Raises:
        AmplifyError: The bundle is damaged, or lacks one.
    """
    bundle = load_bundle(bundle_folder(named))
    needed = (*MOTION, "inverse") if acts else MOTION
    _require(bundle.models, needed, str(bundle.path))
    wanted = (*needed, *EYES_AND_EARS, *(("inverse_vision_encoder",) if acts else ()))
    models = {name: bundle.models[name] for name in wanted if name in bundle.models}
    goal = bundle.module("forward", ForwardDynamics).config.goal
    if goal != "text":
        raise BundleError(
            f"the forward model of {bundle.path} is shown its goal as an image, and LeRobot has a sentence only",
            got=f"goal {goal!r}",
            allowed="'text'",
        )
    return Parts(models=models, info=info_of(bundle), parents={str(bundle.path): bundle.hash})


def of_description(described: Mapping[str, Any]) -> Parts:
    """The parts that a saved policy describes, with weights still to be filled in.

    Raises:
        AmplifyError: They are not of this version.
    """
    try:
        models = {name: _built(name, **of) for name, of in described["models"].items()}
        info = BundleInfo.model_validate(described["meta"])
        parents = {str(path): str(digest) for path, digest in described["parents"].items()}
    except (AttributeError, KeyError, TypeError, RuntimeError, pydantic.ValidationError) as error:
        raise BundleError("the architecture in config.json is not of this version", got=str(error)) from None
    _require(models, (*MOTION, "inverse"), "the architecture in config.json")
    return Parts(models=models, info=info, parents=parents)


def to_bundle(parts: Parts, out: Path, stats: Mapping[str, Any]) -> None:
    """Writes the parts as a bundle.

    Raises:
        BundleError: The path is taken by something that is not a bundle.
    """
    parents = [
        Bundle(path=Path(path), models={}, meta={}, stats={}, parents={}, hash=digest)
        for path, digest in parts.parents.items()
    ]
    save_bundle(out, parts.models, parts.info.meta, stats, parents=parents)


def _built(name: str, *, config: Mapping[str, Any], dimensions: Mapping[str, Any]) -> nn.Module:
    model, settings = pick(name, MODELS, kind="bundle model")
    sizes = {key: tuple(value) if isinstance(value, list) else value for key, value in dimensions.items()}
    return model(settings.model_validate(config), **sizes).eval()


def _require(models: Mapping[str, Any], needed: Sequence[str], where: str) -> None:
    missing = [name for name in needed if name not in models]
    if missing:
        remedy = "--policy.motion_bundle learns inverse dynamics" if missing == ["inverse"] else None
        raise BundleError(
            f"{where} holds no {', '.join(missing)} model",
            got=", ".join(models) or "no models",
            allowed=", ".join(needed),
            remedy=remedy or "take one that 'amplify train forward' or 'amplify train inverse' wrote",
        )
