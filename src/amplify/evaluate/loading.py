"""From a bundle's folder to a policy that can act: encoders by name, each built once a process."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from amplify.baselines.behaviour_cloning import BehaviourCloning
from amplify.baselines.track_policy import TrackGuidedPolicy
from amplify.baselines.track_transformer import TrackTransformer
from amplify.encoders import TEXT_ENCODERS, VISION_ENCODERS
from amplify.encoders.text import SentenceEncoder, TextNetwork
from amplify.encoders.vision import PatchEncoder, PatchNetwork
from amplify.errors import BundleError, UsageError, pick
from amplify.evaluate.film import Film
from amplify.forward.dynamics import ForwardDynamics
from amplify.inverse.dynamics import InverseDynamics
from amplify.nn.precision import converted
from amplify.policy.amplify import AmplifyPolicy, BehaviourCloningPolicy
from amplify.policy.atm import AtmPolicy
from amplify.policy.bundle import Bundle, load_bundle
from amplify.policy.info import EncoderInfo, info_of
from amplify.protocols import Policy, TextEncoder, VisionEncoder
from amplify.tokens.tokenizer import MotionTokenizer
from amplify.tracks.queries import uniform_grid


def _amplify(
    bundle: Bundle, vision: VisionEncoder, text: TextEncoder, precision: str, *, compile: bool = False
) -> Policy:
    own = bundle.models.get("inverse_vision_encoder")
    return AmplifyPolicy(
        forward=bundle.module("forward", ForwardDynamics),
        tokenizer=bundle.module("tokenizer", MotionTokenizer),
        inverse=bundle.module("inverse", InverseDynamics),
        vision=vision,
        text=text,
        cameras=info_of(bundle).cameras,
        optional=info_of(bundle).optional_cameras,
        inverse_vision=_seeing(own, str(own.mean.device)) if isinstance(own, PatchNetwork) else None,
        precision=precision,
        compile=compile,
    )


def _seeing(network: PatchNetwork, device: str, name: str | None = None) -> PatchEncoder:
    return PatchEncoder(network=network, name=name, device=device, graphed=True)


def _behaviour_cloning(bundle: Bundle, vision: VisionEncoder, text: TextEncoder, precision: str) -> Policy:
    model = bundle.module("behaviour_cloning", BehaviourCloning)
    return BehaviourCloningPolicy(
        model=converted(model, precision),
        vision=vision,
        text=text,
        cameras=info_of(bundle).cameras,
        optional=info_of(bundle).optional_cameras,
    )


def _atm(bundle: Bundle, vision: VisionEncoder, text: TextEncoder, precision: str) -> Policy:
    return AtmPolicy(
        predictor=converted(bundle.module("track_transformer", TrackTransformer), precision),
        model=converted(bundle.module("track_policy", TrackGuidedPolicy), precision),
        vision=vision,
        text=text,
        cameras=info_of(bundle).cameras,
        optional=info_of(bundle).optional_cameras,
    )


POLICIES: dict[str, Callable[[Bundle, VisionEncoder, TextEncoder, str], Policy]] = {
    "amplify": _amplify,
    "behaviour-cloning": _behaviour_cloning,
    "atm": _atm,
}
"""Kinds of policy that a bundle can hold."""

_ACTS = {"inverse": "amplify", "behaviour_cloning": "behaviour-cloning", "track_policy": "atm"}
"""Of each model that gives actions, the kind of its policy."""


def kind_of(bundle: Bundle) -> str:
    """The kind of policy that a bundle holds.

    Raises:
        BundleError: It holds none.
    """
    found = [kind for model, kind in _ACTS.items() if model in bundle.models]
    if not found:
        raise BundleError(
            f"{bundle.path} holds no policy",
            got=", ".join(bundle.models) or "no models",
            allowed=f"a bundle with one of {', '.join(_ACTS)}",
            remedy="run 'amplify train inverse' first",
        )
    return found[0]


class Loader:
    """Builds policies from bundles and shares what they have in common.

    Args:
        device: Where models and eyes compute; ears stay on the CPU.
        compile: Whether the plans of AMPLIFY's policies are compiled, see `amplify.policy.amplify.AmplifyPolicy`.
    """

    def __init__(self, device: str = "cpu", *, compile: bool = False) -> None:
        self.device, self.compile = device, compile
        self._bundles: dict[Path, Bundle] = {}
        self._published: dict[str, Any] = {}
        self._own: dict[tuple[Path, str], Any] = {}

    def bundle(self, path: Path) -> Bundle:
        """The bundle in a folder, read once.

        Raises:
            BundleError: It is damaged or of another kind.
        """
        if path not in self._bundles:
            self._bundles[path] = load_bundle(path)
            for name, model in self._bundles[path].models.items():
                if name != "text_encoder":
                    model.to(self.device)
        return self._bundles[path]

    def policy(self, path: Path, kind: str, *, precision: str = "float32") -> Policy:
        """The policy of a kind that a bundle holds.

        Args:
            path: The bundle's folder.
            kind: One of `POLICIES`.
            precision: Of its weights, one of `amplify.nn.precision.PRECISIONS`.

        Raises:
            BundleError: The bundle does not say which encoders it was trained with.
            UnknownNameError: There is no such kind, encoder or precision.
            UsageError: It cannot be compiled.
        """
        make = pick(kind, POLICIES, kind="policy")
        vision, text = self.encoders(path)
        if not self.compile:
            return make(self.bundle(path), vision, text, precision)
        if make is not _amplify:
            raise UsageError("only AMPLIFY's plans are compiled", got=kind, remedy="leave --compile out")
        return _amplify(self.bundle(path), vision, text, precision, compile=True)

    def encoders(self, path: Path) -> tuple[VisionEncoder, TextEncoder]:
        """The eyes and ears that a bundle's models were trained with: its own where it holds them, else published ones.

        Raises:
            BundleError: The bundle does not say which they are.
            UnknownNameError: There is no such encoder.
            MissingDependencyError: Published weights are not here.
        """
        info = info_of(self.bundle(path))
        vision, text = info.vision_encoder, info.text_encoder
        if vision is None or text is None:
            raise BundleError(
                f"{path} names no encoders, so it sees and hears nothing",
                remedy="train forward or inverse dynamics first; a checkpoint that was imported without its encoders "
                "takes features, see amplify.policy",
            )
        return self._encoder(path, "vision_encoder", vision), self._encoder(path, "text_encoder", text)

    def film(self, path: Path, *, copies: int) -> Film:
        """A film that draws what the bundle's policy foresees; plain for a policy without tokens."""
        bundle = self.bundle(path)
        tokenizer = bundle.module("tokenizer", MotionTokenizer) if "tokenizer" in bundle.models else None
        return Film(copies, tokenizer, uniform_grid(info_of(bundle).grid or 1))

    def _encoder(self, path: Path, model: str, info: EncoderInfo) -> Any:
        network = self.bundle(path).models.get(model)
        if network is None:
            key = info.model_dump_json()
            if key not in self._published:
                vision = model == "vision_encoder"
                registry = VISION_ENCODERS if vision else TEXT_ENCODERS
                encoder = published(info, registry, kind=f"{'vision' if vision else 'text'} encoder")
                if isinstance(encoder, PatchEncoder):
                    encoder = PatchEncoder(encoder.config, name=encoder.name, device=self.device, graphed=True)
                self._published[key] = encoder
            return self._published[key]
        if (path, model) not in self._own:
            assert isinstance(network, PatchNetwork | TextNetwork)
            if isinstance(network, PatchNetwork):
                self._own[path, model] = _seeing(network, self.device, info.name)
            else:
                self._own[path, model] = SentenceEncoder(network=network, name=info.name)
        return self._own[path, model]


def published(info: EncoderInfo, registry: Mapping[str, Callable[..., Any]], *, kind: str) -> Any:
    """The encoder that a bundle names, with published weights.

    Args:
        info: Its name and settings.
        registry: Encoders by network.
        kind: What the registry holds, for messages.

    Raises:
        UnknownNameError: There is no such encoder.
        BundleError: This version makes another one with these settings, or it was fine-tuned and its weights are gone.
    """
    make = pick(str(info.settings.get("network", info.name)), registry, kind=kind)
    encoder = make(info.settings) if info.settings else make()
    if encoder.name != info.name or (info.settings and dict(info.settings) != dict(encoder.settings)):
        raise BundleError(
            f"the bundle was trained with another {kind} than its settings make",
            got=f"{info.name} {info.settings}",
            allowed=f"{encoder.name} {dict(encoder.settings)}",
            remedy="use the version of amplify-robot that the bundle's config.json names, or train again",
        )
    return encoder
