"""Which episodes of a source count."""

import difflib
import fnmatch
import logging
import re
from collections import defaultdict
from collections.abc import Sequence

from amplify import rng
from amplify.data.dataset import Dataset, EpisodeInfo
from amplify.data.mixture.source import Source
from amplify.data.sidecar import set_aside_episodes
from amplify.errors import DataError, UsageError

logger = logging.getLogger(__name__)


def chosen_episodes(
    source: Source, dataset: Dataset, folders: Sequence[str] = (), *, quiet: bool = False
) -> list[EpisodeInfo]:
    """The episodes of a source, in the dataset's order or, where the source numbers them, in that order.

    Args:
        source: Says which.
        dataset: Opened.
        folders: Sidecar folders that are needed: episodes that were set aside there are left out.
        quiet: Whether to leave out warnings of what was set aside.

    Raises:
        DataError: An episode that is named does not exist, or none is left.
        UsageError: A task filter is no regular expression, or fits no episode.
    """
    usable = {info.index: info for info in dataset.episodes}
    broken = {problem.episode_index: problem.reason for problem in dataset.problems}
    for folder in folders:
        broken |= set_aside_episodes(dataset.root, folder)
    wanted = sorted({*usable, *broken}) if source.episodes is None else source.episodes
    unknown = [index for index in wanted if index not in usable and index not in broken]
    if unknown:
        raise DataError(f"no such episode in {source.path}", got=unknown[0], allowed=f"{min(usable)} … {max(usable)}")
    for index in wanted:
        if index in broken and not quiet:
            logger.warning("%s: episode %d set aside: %s", source.path, index, broken[index])
    chosen = [usable[index] for index in wanted if index not in broken]
    if not chosen:
        raise DataError(f"no usable episode chosen from {source.path}", remedy="choose others, or record again")
    return _part(source, _of_tasks(source, chosen), quiet=quiet)


def evenly(episodes: Sequence[EpisodeInfo], *, seed: int | None = None) -> list[EpisodeInfo]:
    """The episodes in an order of which every beginning has all tasks in about their proportions.

    Args:
        episodes: Tasks are told by their instructions.
        seed: Draws the order within and between tasks; None keeps that of the episodes.
    """
    ordered = list(episodes)
    if seed is not None:
        order = rng.numpy_generator(seed, "episodes").permutation(len(ordered))
        ordered = [ordered[i] for i in order]
    of_task: dict[str, list[EpisodeInfo]] = defaultdict(list)
    for info in ordered:
        of_task[info.instruction].append(info)
    ranked = [
        ((rank + 0.5) / len(group), place, info)
        for place, group in enumerate(of_task.values())
        for rank, info in enumerate(group)
    ]
    return [info for _, _, info in sorted(ranked, key=lambda row: row[:2])]


def _part(source: Source, episodes: list[EpisodeInfo], *, quiet: bool) -> list[EpisodeInfo]:
    if source.fraction is None and source.count is None:
        return episodes
    number = source.count or max(1, round(len(episodes) * (source.fraction or 1)))
    if number > len(episodes) and not quiet:
        logger.warning("%s has %d of the %d episodes that were asked for", source.path, len(episodes), number)
    kept = {info.index for info in evenly(episodes, seed=source.seed if source.order == "seeded" else None)[:number]}
    return [info for info in episodes if info.index in kept]


def _of_tasks(source: Source, episodes: list[EpisodeInfo]) -> list[EpisodeInfo]:
    if not source.tasks:
        return episodes
    names = {name for info in episodes for name in _names(info)}
    fitting: set[str] = set()
    for pattern in source.tasks:
        found = {name for name in names if _fits(pattern, name)}
        if not found:
            near = difflib.get_close_matches(pattern, names, n=3, cutoff=0.5)
            said = sorted({info.instruction for info in episodes})
            shown = [*said[:12], *([f"… ({len(said)} in all)"] if len(said) > 12 else [])]
            raise UsageError(
                f"no task of {source.path} fits the filter",
                got=repr(pattern),
                allowed=", ".join(shown),
                remedy=f"did you mean {' or '.join(map(repr, near))}?"
                if near
                else "name an instruction, a glob ('open*') or a regular expression ('/open|close/')",
            )
        fitting |= found
    return [info for info in episodes if fitting.intersection(_names(info))]


def _names(info: EpisodeInfo) -> set[str]:
    recorded = info.info.get("task")
    return {info.instruction} | ({recorded} if isinstance(recorded, str) else set())


def _fits(pattern: str, name: str) -> bool:
    if len(pattern) > 2 and pattern.startswith("/") and pattern.endswith("/"):
        try:
            return re.search(pattern[1:-1], name, re.IGNORECASE) is not None
        except re.error as error:
            raise UsageError("no regular expression", got=pattern, remedy=f"mend it: {error}") from error
    return fnmatch.fnmatchcase(name.casefold(), pattern.casefold())
