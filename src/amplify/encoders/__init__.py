"""Eyes and ears: published networks, offline from packages or through the transformers library.

Weights are loaded when first used. What an encoder says of itself (``settings``) makes the same one again.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from amplify.encoders.text import SentenceEncoder
    from amplify.encoders.vision import PatchEncoder

Setting = str | int | float | bool


def _eyes(network: str, settings: Mapping[str, Setting] | None = None) -> "PatchEncoder":
    from amplify.encoders.vision import PatchEncoder, VisionConfig

    given: dict[str, Any] = {**(settings or {}), "network": network}
    return PatchEncoder(VisionConfig.of(**given))


def _ears(network: str, settings: Mapping[str, Setting] | None = None) -> "SentenceEncoder":
    from amplify.encoders.text import SentenceEncoder, TextConfig

    given: dict[str, Any] = {**(settings or {}), "network": network}
    return SentenceEncoder(TextConfig.of(**given))


VISION_ENCODERS: dict[str, "Callable[..., PatchEncoder]"] = {
    name: partial(_eyes, name) for name in ("efficientnet-lite0", "resnet18", "dinov2", "dinov3", "siglip")
}
"""Image encoders by the name of their network; each entry makes one, with its default settings or with those given."""

TEXT_ENCODERS: dict[str, "Callable[..., SentenceEncoder]"] = {name: partial(_ears, name) for name in ("minilm", "t5")}
"""Sentence encoders, likewise."""
