"""Seeded randomness: every stream depends on (seed, name, indices) alone, never on workers or order."""

import hashlib

import numpy as np
import torch


def derive(seed: int, *keys: str | int) -> int:
    """A 63-bit seed for a named purpose.

    Args:
        seed: The run's seed.
        *keys: Names and indices ("record", task, episode); other keys give an independent stream.
    """
    digest = hashlib.sha256(repr((int(seed), *keys)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def numpy_generator(seed: int, *keys: str | int) -> np.random.Generator:
    """A NumPy generator of the stream named by the keys."""
    return np.random.default_rng(derive(seed, *keys))


def torch_generator(seed: int, *keys: str | int, device: str | torch.device = "cpu") -> torch.Generator:
    """A torch generator of the stream named by the keys."""
    generator = torch.Generator(device=device)
    generator.manual_seed(derive(seed, *keys))
    return generator
