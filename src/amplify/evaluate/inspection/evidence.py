"""Everything that an inspection read, gathered over all cores."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from operator import add
from pathlib import Path

from amplify.data.dataset import Dataset
from amplify.data.sidecar import folders, remedy_for
from amplify.errors import UsageError
from amplify.evaluate.inspection.checking import Checked, EpisodeCheck, check
from amplify.evaluate.inspection.choosing import chosen
from amplify.evaluate.inspection.columns import ColumnSums, Steps
from amplify.evaluate.inspection.config import InspectionConfig
from amplify.evaluate.inspection.contents import Contents, SidecarState, disk_bytes, read_contents, sidecars_of
from amplify.evaluate.inspection.motion import MotionSums
from amplify.evaluate.inspection.seeing import Look, Seen, looks, see
from amplify.jobs import map_jobs

CHUNKS = 16
"""Pieces that the episodes to check come in; every piece reads the table of episodes once."""
MOST_COPIES = 200
"""Episodes that could be copies of others whose frames are compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What an inspection read.

    Args:
        config: What was asked for.
        contents: What the dataset says of itself.
        disk: Bytes by folder.
        sidecars: All folders of them.
        tracks: The sidecar folder whose motion was measured; empty where there is none.
        checks: Of every episode that was checked and is whole.
        broken: Why the others are not, by episode.
        seen: Of every episode whose video was read.
        unseen: Why the video of others could not be read, by episode.
        copies: Groups of episodes that are equal.
        motion: By camera and instruction.
    """

    config: InspectionConfig
    contents: Contents
    disk: dict[str, int]
    sidecars: list[SidecarState]
    tracks: str
    checks: list[EpisodeCheck]
    broken: dict[int, str]
    seen: list[Seen]
    unseen: dict[int, str]
    copies: list[tuple[int, ...]]
    motion: dict[tuple[str, str], MotionSums]

    @property
    def usable(self) -> int:
        """Episodes that were checked and can be used."""
        return len(self.checks) - len(self.unseen)

    def column(self, name: str) -> tuple[ColumnSums, list[Steps]] | None:
        """Sums over all checked episodes of a column, and its steps in each; None where there is no such column."""
        parts = [one.sums[name] for one in self.checks if name in one.sums]
        return (reduce(add, parts), [one.steps[name] for one in self.checks]) if parts else None

    def motion_by(self, part: int | None) -> dict[str, MotionSums]:
        """Motion by camera (0), by instruction (1), or of all together (None, under "all")."""
        groups: dict[str, list[MotionSums]] = defaultdict(list)
        for key, sums in self.motion.items():
            groups["all" if part is None else key[part]].append(sums)
        return {name: reduce(add, group) for name, group in groups.items()}


def gather(root: Path, config: InspectionConfig, *, pictures: int = 0, workers: int | None = None) -> Evidence:
    """Reads a dataset as far as the configuration says.

    Args:
        root: The dataset's folder.
        config: How much to look at.
        pictures: Of how many episodes pictures are made.
        workers: Processes; all cores by default.

    Raises:
        DataError: There is no dataset, or its tables are damaged.
        UsageError: There are no tracks of the name that was asked for.
    """
    contents = read_contents(root)
    tracks = _tracks_folder(root, config)
    sidecars = sidecars_of(root, contents.lengths)
    checks, broken = _checked(contents, config, workers)
    good = {one.index: contents.instructions[one.index] for one in checks}
    dataset, seen, unseen = None, [], {}
    if good:
        to_see = chosen(good, config.seen, seed=config.seed)
        dataset = Dataset.open(root, columns=False, only=frozenset(to_see))
        seen, unseen = _seen(dataset, contents, config, tracks, pictures, workers)
    motion: dict[tuple[str, str], list[MotionSums]] = defaultdict(list)
    for one in seen:
        for camera, sums in one.motion.items():
            motion[camera, contents.instructions[one.index]].append(sums)
    return Evidence(
        config=config,
        contents=contents,
        disk=disk_bytes(root),
        sidecars=sidecars,
        tracks=tracks,
        checks=checks,
        broken=broken,
        seen=seen,
        unseen=unseen,
        copies=_copies(root, contents, checks, seen, unseen),
        motion={key: reduce(add, parts) for key, parts in motion.items()},
    )


def _tracks_folder(root: Path, config: InspectionConfig) -> str:
    there = folders(root, "tracks")
    if config.tracks and config.tracks not in there:
        raise UsageError(
            f"no tracks of this name in {root}",
            got=config.tracks,
            allowed=", ".join(there) or "none: there are no tracks",
            remedy=remedy_for(root, config.tracks) + ", or leave --tracks out",
        )
    # The trackers that see pixels alone are what models are trained on.
    return config.tracks or next(iter(sorted(there, key=lambda name: ("ground-truth" in name, name))), "")


def _checked(
    contents: Contents, config: InspectionConfig, workers: int | None
) -> tuple[list[EpisodeCheck], dict[int, str]]:
    indices = chosen(contents.instructions, config.checked, seed=config.seed)
    size = max(8, math.ceil(len(indices) / CHUNKS))
    pieces = [indices[start : start + size] for start in range(0, len(indices), size)]
    parts: list[Checked] = []
    for done in map_jobs(partial(check, contents.root), pieces, workers=workers, label="check", unit="part"):
        if done.error is not None:
            raise done.error
        assert done.result is not None
        parts.append(done.result)
    checks = sorted((one for part in parts for one in part.episodes), key=lambda one: one.index)
    return checks, {index: reason for part in parts for index, reason in sorted(part.reasons.items())}


def _seen(
    dataset: Dataset, contents: Contents, config: InspectionConfig, tracks: str, pictures: int, workers: int | None
) -> tuple[list[Seen], dict[int, str]]:
    instructions = {episode.index: contents.instructions[episode.index] for episode in dataset.episodes}
    pictured = set(chosen(instructions, pictures, seed=config.seed)) if pictures else set()
    followed = set(chosen(instructions, config.followed, seed=config.seed)) if config.followed and not tracks else set()
    jobs = [
        Look(index=index, tracks=tracks, follow=index in followed, windows=config.windows, pictures=index in pictured)
        for index in instructions
    ]
    seen, unseen = [], {}
    for done in map_jobs(partial(see, dataset), jobs, workers=workers, label="look", unit="episode"):
        if done.error is not None:
            unseen[done.item.index] = done.error.what
        elif done.result is not None:
            seen.append(done.result)
    return sorted(seen, key=lambda one: one.index), unseen


def _copies(
    root: Path,
    contents: Contents,
    checks: Sequence[EpisodeCheck],
    seen: Sequence[Seen],
    unseen: Mapping[int, str],
) -> list[tuple[int, ...]]:
    """Groups of episodes with the same columns and the same first, middle and last frames."""
    known = {one.index: one.looks for one in seen}
    alike: dict[str, list[int]] = defaultdict(list)
    for one in checks:
        if one.index not in unseen:
            alike[one.identity].append(one.index)
    doubtful = [index for group in alike.values() if len(group) > 1 for index in group if index not in known]
    if doubtful:
        dataset = Dataset.open(root, columns=False, only=frozenset(doubtful[:MOST_COPIES]))
        known |= {episode.index: looks(dataset, episode.index) for episode in dataset.episodes}
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for one in checks:
        if one.index in known and one.index not in unseen:
            # Without columns, an identity is that of a file: copies in shared files are told by their frames.
            identity = one.identity if one.sums else str(contents.lengths[one.index])
            groups[identity, known[one.index]].append(one.index)
    return [tuple(group) for group in groups.values() if len(group) > 1]
