"""What every network that sees has in common: image in, maps of features out, and where its weights come from."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor, nn

Architecture = Mapping[str, Any]
"""Sizes of a network, as JSON values; empty where there is one size only."""

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Trunk(nn.Module, ABC):
    """A network without its classifier.

    The class says what the network expects (``input_px``, ``grid``: sizes that it is used with by default; ``mean``,
    ``std``: of its pixels, 0..1) and which weights it has by default.
    """

    weights: ClassVar[str]
    input_px: ClassVar[int]
    grid: ClassVar[int]
    mean: ClassVar[tuple[float, float, float]] = IMAGENET_MEAN
    std: ClassVar[tuple[float, float, float]] = IMAGENET_STD
    network: nn.Module

    @classmethod
    @abstractmethod
    def architecture(cls, weights: str) -> dict[str, Any]:
        """The sizes of the network that has these weights, without loading them.

        Args:
            weights: Name or folder.
        """

    @classmethod
    @abstractmethod
    def version(cls, weights: str) -> str:
        """What changes with the weights."""

    @classmethod
    @abstractmethod
    def state(cls, weights: str) -> dict[str, Tensor]:
        """The weights, by parameter."""

    @classmethod
    @abstractmethod
    def channels(cls, architecture: Architecture) -> dict[int, int]:
        """Channels of the maps, by stride in pixels."""

    @abstractmethod
    def __init__(self, architecture: Architecture):
        super().__init__()

    @abstractmethod
    def forward(self, x: Float[Tensor, "b 3 h w"]) -> dict[int, Float[Tensor, "b c _ _"]]:
        """The maps, by stride."""
