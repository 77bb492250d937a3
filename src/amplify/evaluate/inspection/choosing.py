"""Which episodes an inspection looks at: all, or seeded ones spread evenly over tasks."""

from collections.abc import Mapping

from amplify import rng
from amplify.data.dataset import EpisodeInfo
from amplify.data.mixture.choosing import evenly


def chosen(instructions: Mapping[int, str], count: int, *, seed: int) -> tuple[int, ...]:
    """Numbers of the episodes, in order.

    Args:
        instructions: Of all episodes, by number.
        count: How many at most; 0 for all.
        seed: Of those that are drawn.
    """
    if not count or len(instructions) <= count:
        return tuple(sorted(instructions))
    episodes = [EpisodeInfo(index=index, length=1, instruction=text) for index, text in instructions.items()]
    return tuple(sorted(info.index for info in evenly(episodes, seed=rng.derive(seed, "inspect"))[:count]))
