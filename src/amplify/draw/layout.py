"""Images for viewing: enlarged, labelled, side by side."""

from collections.abc import Sequence
from functools import cache
from typing import Any, Literal

import cv2
import numpy as np
from jaxtyping import UInt8

from amplify.errors import UsageError, pick

Image = UInt8[np.ndarray, "_ _ 3"]
INK, PAPER = (28, 32, 38), (255, 255, 255)
SMALLEST_PX = 12
"""Height of letters below which a long label is cut rather than made smaller."""


def enlarged(image: Image, factor: float | int) -> Image:
    """The image at ``factor`` times its size, smooth, for viewing."""
    method = cv2.INTER_CUBIC if factor >= 1 else cv2.INTER_AREA
    return np.ascontiguousarray(cv2.resize(image, None, fx=factor, fy=factor, interpolation=method))


def label(
    image: Image,
    text: str,
    *,
    corner: Literal["top left", "top right", "bottom left", "bottom right"] = "top left",
    size_px: int | None = None,
    colour: tuple[int, int, int] = PAPER,
) -> Image:
    """The image with a line of text on a soft dark plate in a corner.

    A long text gets smaller letters, and ends in an ellipsis where it would become too small to read.

    Args:
        image: The frame to draw on; it is not changed.
        text: One line, any script that DejaVu Sans has.
        corner: Where.
        size_px: Height of the letters; by default a fixed share of the image.
        colour: Of the text.
    """
    from PIL import Image as Pillow
    from PIL import ImageDraw

    vertical, horizontal = pick(corner, {c: c.split() for c in _CORNERS}, kind="corner")
    size_px = size_px or max(9, round(min(image.shape[:2]) / 18))
    pad = round(0.45 * size_px)
    text, size_px = _fitting(text, size_px, image.shape[1] - 4 * pad)
    font = _font(size_px)
    canvas = Pillow.fromarray(image).convert("RGB")
    pen = ImageDraw.Draw(canvas, "RGBA")
    left, _, right, _ = font.getbbox(text)
    wide, high = right - left + 2 * pad, round(1.2 * size_px) + pad
    x = pad if horizontal == "left" else image.shape[1] - wide - pad
    y = pad if vertical == "top" else image.shape[0] - high - pad
    pen.rounded_rectangle((x, y, x + wide, y + high), radius=pad, fill=(12, 16, 22, 150))
    pen.text((x + pad - left, y + high / 2), text, font=font, fill=colour, anchor="lm")
    return np.asarray(canvas).copy()


def title(image: Image, text: str, *, size_px: int | None = None) -> Image:
    """The image under a white strip with centred text.

    Args:
        image: It is not changed.
        text: One line.
        size_px: Height of the letters; by default a fixed share of the image.
    """
    from PIL import Image as Pillow
    from PIL import ImageDraw

    size_px = size_px or max(9, round(min(image.shape[:2]) / 16))
    strip = Pillow.new("RGB", (image.shape[1], 2 * size_px), PAPER)
    ImageDraw.Draw(strip).text(
        (image.shape[1] / 2, size_px), text, font=_font(size_px), fill=INK, anchor="mm", align="center"
    )
    return np.concatenate([np.asarray(strip), image])


def panels(
    images: Sequence[Image],
    titles: Sequence[str] | None = None,
    *,
    gap_px: int = 8,
) -> Image:
    """Images side by side on white, brought to the height of the first.

    Args:
        images: At least one.
        titles: One for each image, above it.
        gap_px: Between images.
    """
    return sheet(images, columns=len(images), titles=titles, gap_px=gap_px)


def sheet(
    images: Sequence[Image],
    *,
    columns: int,
    titles: Sequence[str] | None = None,
    gap_px: int = 8,
) -> Image:
    """A contact sheet on white, row by row; every image is brought to the height of the first.

    Args:
        images: At least one.
        columns: Images a row; the last row may be shorter.
        titles: One for each image, above it.
        gap_px: Between images.

    Raises:
        UsageError: There is no image, or not one title for each.
    """
    if not len(images) or columns < 1:
        raise UsageError("a sheet needs an image and a column", got=f"{len(images)} images, {columns} columns")
    if titles is not None and len(titles) != len(images):
        raise UsageError("a sheet needs one title an image", got=f"{len(titles)} titles, {len(images)} images")
    height = images[0].shape[0]
    cells = [image if image.shape[0] == height else enlarged(image, height / image.shape[0]) for image in images]
    if titles is not None:
        cells = [title(cell, text) for cell, text in zip(cells, titles)]
    widths = [max(cell.shape[1] for cell in cells[c::columns]) for c in range(min(columns, len(cells)))]
    rows = -(-len(cells) // columns)
    height = max(cell.shape[0] for cell in cells)
    canvas = np.full((rows * (height + gap_px) - gap_px, sum(widths) + gap_px * (len(widths) - 1), 3), 255, np.uint8)
    for index, cell in enumerate(cells):
        row, column = divmod(index, columns)
        y, x = row * (height + gap_px), sum(widths[:column]) + gap_px * column
        canvas[y : y + cell.shape[0], x : x + cell.shape[1]] = cell
    return canvas


def png(image: Image) -> bytes:
    """The image as a PNG file."""
    # OpenCV's own choice favours speed: files twice as large.
    effort = [cv2.IMWRITE_PNG_COMPRESSION, 6, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_DEFAULT]
    return cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), effort)[1].tobytes()


_CORNERS = ("top left", "top right", "bottom left", "bottom right")


def _fitting(text: str, size_px: int, room_px: int) -> tuple[str, int]:
    """The text and the height of its letters, so that it is no longer than there is room."""

    def length(text: str, size_px: int) -> float | int:
        left, _, right, _ = _font(size_px).getbbox(text)
        return right - left

    while length(text, size_px) > room_px and size_px > SMALLEST_PX:
        size_px -= 1
    if length(text, size_px) <= room_px:
        return text, size_px
    while len(text) > 1 and length(text + "…", size_px) > room_px:
        text = text[:-1].rstrip()
    return text + "…", size_px


@cache
def _font(size_px: int) -> Any:
    from pathlib import Path

    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf"), size_px)
