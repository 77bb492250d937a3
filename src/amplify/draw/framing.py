"""Between an image of any shape and the square frame that a model sees."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from amplify.draw.layout import Image
from amplify.errors import pick

FITS: dict[str, Callable[[int, int], int]] = {"crop": min, "pad": max}
"""The square's side from the image's width and height: the middle of the image, or all of it."""
SURROUND = 0.45
"""Brightness of what lies outside of the model's frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Framing:
    """Where the square lies on the image, centred, in pixels of the image.

    Args:
        width: Of the image.
        height: Of the image.
        fit: One of `FITS`; "crop" sees the middle square, "pad" everything, with the edges repeated beside it.
    """

    width: int
    height: int
    fit: str

    @classmethod
    def of(cls, image: Image, fit: str = "crop") -> "Framing":
        """The framing of an image of any size and aspect.

        Raises:
            UnknownNameError: No such fit.
        """
        pick(fit, FITS, kind="fit")
        return cls(width=image.shape[1], height=image.shape[0], fit=fit)

    @property
    def side(self) -> int:
        """Of the square."""
        return FITS[self.fit](self.width, self.height)

    @property
    def left_top(self) -> tuple[int, int]:
        """The square's corner; negative where it begins outside of the image."""
        return (self.width - self.side) // 2, (self.height - self.side) // 2

    def square(self, image: Image) -> Image:
        """The square part of the image, in its own pixels."""
        left, top = self.left_top
        x, y = max(0, -left), max(0, -top)
        rest_x, rest_y = max(0, self.side - self.width - x), max(0, self.side - self.height - y)
        padded = np.pad(image, ((y, rest_y), (x, rest_x), (0, 0)), mode="edge")
        left, top = max(0, left), max(0, top)
        return np.ascontiguousarray(padded[top : top + self.side, left : left + self.side])

    def put_back(self, image: Image, square: Image) -> Image:
        """The image with another square part; what lies outside of the square is darker."""
        left, top = self.left_top
        x, y = max(0, -left), max(0, -top)
        part = square[y : y + self.height, x : x + self.width]
        picture = np.rint(image * SURROUND).astype(np.uint8)
        left, top = max(0, left), max(0, top)
        picture[top : top + part.shape[0], left : left + part.shape[1]] = part
        return picture

    def on_image(self, points: Float[Tensor, "*b 2"]) -> Bool[Tensor, "*b"]:
        """Whether points, normalised in the square, lie on the image and not on the repeated edges beside it."""
        share = torch.tensor([min(1.0, self.width / self.side), min(1.0, self.height / self.side)])
        return (points.abs() <= share.to(points)).all(dim=-1)


def resized(image: Image, side_px: int) -> Image:
    """A square image at another size, smoothed where it shrinks."""
    if image.shape[0] == side_px:
        return image.copy()
    method = cv2.INTER_AREA if side_px < image.shape[0] else cv2.INTER_CUBIC
    return np.ascontiguousarray(cv2.resize(image, (side_px, side_px), interpolation=method))
