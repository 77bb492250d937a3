"""Observations that lerobot's environment and ours both meet."""

import numpy as np

CAMERA, SIDE, WIDTH = "corner2", 128, 4
SENTENCES = ("open the drawer", "close the drawer")


def observation(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (2, h, w, 3) and proprioceptions (2, p) of two robots."""
    draw = np.random.default_rng(number)
    pictures = draw.integers(0, 256, (2, SIDE, SIDE, 3), dtype=np.uint8)
    return pictures, draw.normal(size=(2, WIDTH)).astype(np.float32)
