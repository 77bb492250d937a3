"""Videos of a square that travels as it is told, and demonstrations whose actions move it."""

from pathlib import Path

import numpy as np

from amplify.data.dataset import DatasetSpec, DatasetWriter, Episode

LENGTH, SIDE = 20, 64
TOLD = {"push it right": (2, 0), "push it down": (0, 2)}


def write(root: Path, *, count: int, actions: bool, first: int = 0, camera: str = "front") -> Path:
    """Episodes of 20 frames, the sentences in turns; each begins elsewhere and has a texture of its own."""
    spec = DatasetSpec(
        fps=10,
        cameras=(camera,),
        width=SIDE,
        height=SIDE,
        proprio_names=("x", "y") if actions else None,
        action_names=("dx", "dy") if actions else None,
        robot_type="square",
    )
    writer, keys = DatasetWriter(root, spec), []
    for number in range(first, first + count):
        generator = np.random.default_rng(number)
        instruction = list(TOLD)[number % 2]
        step = np.array(TOLD[instruction])
        places = generator.integers(0, 12, size=2) + np.arange(LENGTH)[:, None] * step
        ground = generator.integers(60, 120, size=(SIDE, SIDE, 1)).repeat(3, axis=2).astype(np.uint8)
        patch = generator.integers(130, 255, size=(14, 14, 3)).astype(np.uint8)
        frames = np.stack([ground] * LENGTH)
        for frame, (x, y) in zip(frames, places):
            frame[y : y + 14, x : x + 14] = patch
        episode = Episode(
            instruction=instruction,
            frames={camera: frames},
            proprio=places.astype(np.float32) if actions else None,
            actions=np.tile(step, (LENGTH, 1)).astype(np.float32) if actions else None,
            scene=None,
            info={},
        )
        writer.write_episode(f"e{number}", episode)
        keys.append(f"e{number}")
    writer.finalize(keys)
    return root
