"""Tracks on images."""

from typing import Literal

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from amplify.coords import EVALUATION_SIZE_PX, displacements_to_pixels, points_to_pixels
from amplify.draw.layout import PAPER, Image, enlarged
from amplify.errors import pick

RESTING_PX = 1.0
"""Points whose path is shorter than this (of a 128×128 frame) are drawn as faint dots."""
FASTEST_PX = 4.0
"""Pixels a frame (of a 128×128 frame) at which the speed colours end."""


def draw_tracks(
    image: Image,
    points: Float[Tensor, "t n 2"],
    *,
    visible: Bool[Tensor, "t n"] | None = None,
    colour: Literal["direction", "speed"] | tuple[int, int, int] = "direction",
    scale: float | int = 1.0,
    dim: float = 0.0,
) -> Image:
    """The image with a tail for every moving point, fading out towards its past, and faint dots for resting ones.

    Args:
        image: The frame to draw on; it is not changed.
        points: Normalised positions in order of time; the last one is the head of the tail.
        visible: Segments that end at an invisible point are drawn fainter.
        colour: By the direction of each segment (a colour wheel: right red, down yellow-green, left cyan, up
            violet), by its speed, or one RGB colour for all.
        scale: Enlarges the image first; lines stay fine.
        dim: Share of brightness taken from the image, so that tracks stand out.
    """
    picture = enlarged(image, scale) if scale != 1 else image.copy()
    height, width = picture.shape[:2]
    px = points_to_pixels(points.detach().cpu().float(), (width, height)).numpy()  # (t, n, 2)
    steps_px = displacements_to_pixels(points.detach().cpu().float().diff(dim=0), EVALUATION_SIZE_PX).numpy()
    resting = np.linalg.norm(steps_px, axis=-1).sum(axis=0) < RESTING_PX
    seen = np.ones(px.shape[:2], bool) if visible is None else visible.cpu().numpy()
    colours = _segment_colours(steps_px, colour)
    unit = max(1.0, min(height, width) / 256)

    paint = np.zeros_like(picture)
    opacity = np.zeros((height, width), np.uint8)
    for n in np.flatnonzero(resting):
        _dot(paint, opacity, px[-1, n], PAPER, radius=0.9 * unit, alpha=90.0 if seen[-1, n] else 30.0)
    segments = len(px) - 1
    for t in range(segments):  # oldest first: the bright end of a tail lies on top
        alpha = 255 * (0.15 + 0.85 * ((t + 1) / segments) ** 1.5)
        for n in np.flatnonzero(~resting):
            strength = alpha if seen[t + 1, n] else 0.3 * alpha
            _line(paint, opacity, px[t, n], px[t + 1, n], colours[t, n], width=unit, alpha=strength)
    for n in np.flatnonzero(~resting):
        _dot(paint, opacity, px[-1, n], colours[-1, n], radius=1.5 * unit, alpha=255.0 if seen[-1, n] else 80.0)

    share = opacity[..., None].astype(np.float32) / 255
    blended = picture * (1 - dim) * (1 - share) + paint * share
    return np.clip(np.rint(blended), 0, 255).astype(np.uint8)


def draw_track_video(
    frames: UInt8[np.ndarray, "t h w 3"],
    points: Float[Tensor, "t n 2"],
    *,
    visible: Bool[Tensor, "t n"] | None = None,
    tail: int = 12,
    scale: float | int = 1.0,
    colour: Literal["direction", "speed"] | tuple[int, int, int] = "direction",
) -> UInt8[np.ndarray, "t hh ww 3"]:
    """Each frame with the tails of the points up to then.

    Args:
        frames: The video.
        points: Normalised positions, one row a frame.
        visible: As in `draw_tracks`.
        tail: Steps of the past that are shown.
        scale: Enlarges the frames.
        colour: As in `draw_tracks`.
    """
    pictures = []
    for t, frame in enumerate(frames):
        past = slice(max(0, t - tail), t + 1)
        shown = None if visible is None else visible[past]
        pictures.append(draw_tracks(frame, points[past], visible=shown, colour=colour, scale=scale))
    return np.stack(pictures)


_SUBPIXEL_BITS = 4


def _segment_colours(
    steps_px: Float[np.ndarray, "s n 2"], colour: str | tuple[int, int, int]
) -> UInt8[np.ndarray, "s n 3"]:
    shape = steps_px.shape[:2]
    if len(steps_px) == 0 or steps_px.shape[1] == 0:
        return np.zeros((*shape, 3), np.uint8)
    if not isinstance(colour, str):
        return np.broadcast_to(np.array(colour, np.uint8), (*shape, 3))
    pick(colour, {"direction": None, "speed": None}, kind="track colour")
    if colour == "direction":
        # The direction of the path so far, not of the last step: hues do not flicker with pixel noise.
        path = np.cumsum(steps_px, axis=0)
        turn = np.arctan2(path[..., 1], path[..., 0]) / (2 * np.pi) % 1
        hsv = np.stack([turn * 255, np.full(shape, 190), np.full(shape, 255)], axis=-1).astype(np.uint8)
        return cv2.cvtColor(hsv.reshape(1, -1, 3), cv2.COLOR_HSV2RGB_FULL).reshape(*shape, 3)
    share = np.clip(np.linalg.norm(steps_px, axis=-1) / FASTEST_PX, 0, 1)
    levels = (share * 255).astype(np.uint8)
    return cv2.applyColorMap(levels.reshape(1, -1), cv2.COLORMAP_TURBO)[..., ::-1].reshape(*shape, 3)


def _fixed(point: np.ndarray) -> tuple[int, int]:
    # OpenCV takes subpixel coordinates as integers; far away ones would overflow.
    x, y = np.clip(point, -4096, 4096 * 4) * (1 << _SUBPIXEL_BITS)
    return round(float(x)), round(float(y))


def _line(paint, opacity, start, end, colour, *, width: float, alpha: float) -> None:
    ends = _fixed(start), _fixed(end)
    thick = max(1, round(width))
    # The colour reaches further than the opacity, so that smoothed edges do not turn dark.
    cv2.line(paint, *ends, tuple(map(int, colour)), thick + 3, cv2.LINE_8, _SUBPIXEL_BITS)
    cv2.line(opacity, *ends, int(alpha), thick, cv2.LINE_AA, _SUBPIXEL_BITS)


def _dot(paint, opacity, centre, colour, *, radius: float, alpha: float) -> None:
    at = _fixed(centre)
    cv2.circle(paint, at, round((radius + 1.5) * 16), tuple(map(int, colour)), -1, cv2.LINE_8, _SUBPIXEL_BITS)
    cv2.circle(opacity, at, round(radius * 16), int(alpha), -1, cv2.LINE_AA, _SUBPIXEL_BITS)
