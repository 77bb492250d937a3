"""Frozen eyes and ears, offline from packages; weights are loaded when first used."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from amplify.encoders.text import MiniLM
    from amplify.encoders.vision import EfficientNetLite0Patches


def _efficientnet_lite0() -> "EfficientNetLite0Patches":
    from amplify.encoders.vision import EfficientNetLite0Patches

    return EfficientNetLite0Patches()


def _minilm() -> "MiniLM":
    from amplify.encoders.text import MiniLM

    return MiniLM()


VISION_ENCODERS: dict[str, "Callable[[], EfficientNetLite0Patches]"] = {"efficientnet-lite0": _efficientnet_lite0}
"""Image encoders by name; each entry makes one with its default settings."""

TEXT_ENCODERS: dict[str, "Callable[[], MiniLM]"] = {"minilm": _minilm}
"""Sentence encoders by name."""
