"""Small videos with known motion."""

import cv2
import numpy as np

from amplify.types import Clip

SPRITE_PX = 40


def texture(generator: np.random.Generator, height: int, width: int, blur_px: float = 2.0, grey: bool = False):
    noise = generator.standard_normal((height, width, 1 if grey else 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), blur_px).reshape(height, width, -1)
    return np.clip(128 + 30 * smooth / smooth.std(), 0, 255) * np.ones(3, np.float32)


def shifted(picture, x: float, y: float, size: tuple[int, int]):
    return cv2.warpAffine(picture.astype(np.float32), np.array([[1, 0, x], [0, 1, y]], np.float32), size)


def moving_sprite(
    velocity=(2.0, 1.0), *, start=(20.0, 20.0), frames=17, size=(128, 128), grey=False, noise=0.0, seed=0
) -> Clip:
    """A textured square of 40 px that moves over a textured background at rest."""
    generator = np.random.default_rng(seed)
    background = texture(generator, size[1], size[0], grey=grey)
    sprite = texture(generator, SPRITE_PX, SPRITE_PX, grey=grey)
    pictures = []
    for t in range(frames):
        x, y = start[0] + velocity[0] * t, start[1] + velocity[1] * t
        share = shifted(np.ones((SPRITE_PX, SPRITE_PX)), x, y, size)[..., None]
        picture = background * (1 - share) + shifted(sprite, x, y, size) * share
        pictures.append(picture + generator.normal(0, noise, picture.shape))
    return Clip(frames=np.clip(np.rint(pictures), 0, 255).astype(np.uint8), fps=20.0, camera="front")


def moving_camera(velocity=(1.5, -1.0), *, frames=10, size=(128, 128), seed=0) -> Clip:
    """A textured plane that moves as a whole."""
    wide, high = size[0] + 80, size[1] + 80
    plane = texture(np.random.default_rng(seed), high, wide)
    pictures = [shifted(plane, velocity[0] * t - 40, velocity[1] * t - 40, size) for t in range(frames)]
    return Clip(frames=np.clip(np.rint(pictures), 0, 255).astype(np.uint8), fps=20.0, camera="front")
