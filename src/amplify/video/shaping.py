"""From frames of any size to frames of one size."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt8

from amplify.errors import pick

FITS: dict[str, Callable[[float, float], tuple[float, float]]] = {
    "crop": lambda x, y: (max(x, y), max(x, y)),
    "pad": lambda x, y: (min(x, y), min(x, y)),
    "stretch": lambda x, y: (x, y),
}
"""By how much a frame is scaled in x and y, from the scales that would make its width and its height fit: "crop" cuts
off what is too much, "pad" adds black, "stretch" changes the aspect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shaping:
    """How frames get one size.

    Args:
        width: Of every frame, in pixels.
        height: Of every frame, in pixels.
        fit: One of `FITS`.
    """

    width: int
    height: int
    fit: str = "crop"

    def scaled(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of a frame after scaling, before its sides are cut or filled.

        Args:
            width: Before.
            height: Before.

        Raises:
            UnknownNameError: No such fit.
        """
        x, y = pick(self.fit, FITS, kind="fit")(self.width / width, self.height / height)
        return max(1, round(width * x)), max(1, round(height * y))

    def cut(self, image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "height width 3"]:
        """A scaled frame with its middle kept and its sides cut off or filled with black."""
        for axis, size in ((0, self.height), (1, self.width)):
            more = image.shape[axis] - size
            if more > 0:
                image = np.take(image, range(more // 2, more // 2 + size), axis=axis)
            elif more < 0:
                room = [(0, 0)] * 3
                room[axis] = (-more // 2, -more - -more // 2)
                image = np.pad(image, room)
        return np.ascontiguousarray(image)

    def image(self, image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "height width 3"]:
        """A frame of any size at the one size, smoothed where it shrinks."""
        height, width = image.shape[:2]
        if (width, height) == (self.width, self.height):
            return np.ascontiguousarray(image)
        size = self.scaled(width, height)
        method = cv2.INTER_AREA if size[0] < width else cv2.INTER_CUBIC
        return self.cut(cv2.resize(np.ascontiguousarray(image), size, interpolation=method))
