"""From a bundle's folder to a policy that can act: encoders by name, each built once a process."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from amplify.baselines.behaviour_cloning import BehaviourCloning
from amplify.baselines.track_policy import TrackGuidedPolicy
from amplify.baselines.track_transformer import TrackTransformer
from amplify.encoders import TEXT_ENCODERS, VISION_ENCODERS
from amplify.errors import BundleError, pick
from amplify.evaluate.film import Film
from amplify.forward.dynamics import ForwardDynamics
from amplify.inverse.dynamics import InverseDynamics
from amplify.policy.amplify import AmplifyPolicy, BehaviourCloningPolicy
from amplify.policy.atm import AtmPolicy
from amplify.policy.bundle import Bundle, load_bundle
from amplify.policy.info import EncoderInfo, info_of
from amplify.protocols import Policy, TextEncoder, VisionEncoder
from amplify.tokens.tokenizer import MotionTokenizer
from amplify.tracks.queries import uniform_grid


def _amplify(bundle: Bundle, vision: VisionEncoder, text: TextEncoder) -> Policy:
    return AmplifyPolicy(
        forward=bundle.module("forward", ForwardDynamics),
        tokenizer=bundle.module("tokenizer", MotionTokenizer),
        inverse=bundle.module("inverse", InverseDynamics),
        vision=vision,
        text=text,
    )


def _behaviour_cloning(bundle: Bundle, vision: VisionEncoder, text: TextEncoder) -> Policy:
    return BehaviourCloningPolicy(model=bundle.module("behaviour_cloning", BehaviourCloning), vision=vision, text=text)


def _atm(bundle: Bundle, vision: VisionEncoder, text: TextEncoder) -> Policy:
    return AtmPolicy(
        predictor=bundle.module("track_transformer", TrackTransformer),
        model=bundle.module("track_policy", TrackGuidedPolicy),
        vision=vision,
        text=text,
    )


POLICIES: dict[str, Callable[[Bundle, VisionEncoder, TextEncoder], Policy]] = {
    "amplify": _amplify,
    "behaviour-cloning": _behaviour_cloning,
    "atm": _atm,
}
"""Kinds of policy that a bundle can hold."""


class Loader:
    """Builds policies from bundles and shares what they have in common."""

    def __init__(self) -> None:
        self._bundles: dict[Path, Bundle] = {}
        self._vision: dict[str, VisionEncoder] = {}
        self._text: dict[str, TextEncoder] = {}

    def bundle(self, path: Path) -> Bundle:
        """The bundle in a folder, read once.

        Raises:
            BundleError: It is damaged or of another kind.
        """
        if path not in self._bundles:
            self._bundles[path] = load_bundle(path)
        return self._bundles[path]

    def policy(self, path: Path, kind: str) -> Policy:
        """The policy of a kind that a bundle holds.

        Raises:
            BundleError: The bundle does not say which encoders it was trained with.
            UnknownNameError: There is no such kind, or no such encoder.
        """
        vision, text = self.encoders(path)
        return pick(kind, POLICIES, kind="policy")(self.bundle(path), vision, text)

    def encoders(self, path: Path) -> tuple[VisionEncoder, TextEncoder]:
        """The eyes and ears that a bundle's models were trained with.

        Raises:
            BundleError: The bundle does not say which they are.
            UnknownNameError: There is no such encoder.
        """
        info = info_of(self.bundle(path))
        vision, text = info.vision_encoder, info.text_encoder
        if vision is None or text is None:
            raise BundleError(
                f"{path} names no encoders, so it sees and hears nothing",
                remedy="train forward or inverse dynamics first",
            )
        return self._eyes(vision), self._ears(text)

    def film(self, path: Path, *, copies: int) -> Film:
        """A film that draws what the bundle's policy foresees; plain for a policy without tokens."""
        bundle = self.bundle(path)
        tokenizer = bundle.module("tokenizer", MotionTokenizer) if "tokenizer" in bundle.models else None
        return Film(copies, tokenizer, uniform_grid(info_of(bundle).grid or 1))

    def _eyes(self, info: EncoderInfo) -> VisionEncoder:
        if info.name not in self._vision:
            self._vision[info.name] = _built(info, VISION_ENCODERS, kind="vision encoder")
        return self._vision[info.name]

    def _ears(self, info: EncoderInfo) -> TextEncoder:
        if info.name not in self._text:
            self._text[info.name] = _built(info, TEXT_ENCODERS, kind="text encoder")
        return self._text[info.name]


def _built(info: EncoderInfo, registry: Mapping[str, Callable[[], Any]], *, kind: str) -> Any:
    """The encoder that a bundle names; encoders load their weights when first used, so making all is cheap."""
    encoder = pick(info.name, {made.name: made for made in (make() for make in registry.values())}, kind=kind)
    if info.settings and dict(info.settings) != dict(encoder.settings):
        raise BundleError(
            f"the bundle was trained with other settings of {info.name}",
            got=info.settings,
            allowed=dict(encoder.settings),
            remedy="use the version of amplify-robot that the bundle's config.json names",
        )
    return encoder
