"""What a dataset says of itself: episodes, instructions, splits, sidecars, and the room that it takes."""

import os
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amplify.data.health import episode_rows, instruction_of
from amplify.data.info import read_info, spec_of
from amplify.data.layout import DatasetSpec
from amplify.data.sidecar import FOLDER, TEXT_FILE, Header, episode_path, read_sidecar, set_aside_episodes
from amplify.errors import SidecarError


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What the tables of a dataset say.

    Args:
        root: Its folder.
        info: The content of info.json.
        spec: What every episode has.
        lengths: Frames of every episode, by number.
        instructions: Of every episode, by number.
    """

    root: Path
    info: dict[str, Any]
    spec: DatasetSpec
    lengths: dict[int, int]
    instructions: dict[int, str]

    @property
    def frames(self) -> int:
        """Of all episodes."""
        return sum(self.lengths.values())

    @property
    def hours(self) -> float:
        """Of all episodes."""
        return self.frames / self.spec.fps / 3600

    @property
    def tasks(self) -> Counter[str]:
        """How many episodes have each instruction."""
        return Counter(self.instructions.values())

    @property
    def splits(self) -> dict[str, str]:
        """Names and ranges of episodes, as info.json has them."""
        splits = self.info.get("splits")
        return {str(name): str(span) for name, span in splits.items()} if isinstance(splits, dict) else {}


def read_contents(root: Path) -> Contents:
    """The tables of a dataset; no file of an episode is opened.

    Raises:
        DataError: There is no dataset of this format, or its tables are damaged.
    """
    info = read_info(root)
    rows = episode_rows(root)
    return Contents(
        root=root,
        info=info,
        spec=spec_of(info, root),
        lengths={row["episode_index"]: row["length"] for row in rows},
        instructions={row["episode_index"]: instruction_of(row) for row in rows},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SidecarState:
    """A sidecar folder.

    Args:
        folder: Its name.
        header: What one of its files says; None where none can be read, or none has such a header.
        episodes: Episodes that have a file in it.
        missing: Episodes that have none and were not set aside; empty for instructions, of which there is one file.
        set_aside: Why there is none, by episode.
    """

    folder: str
    header: Header | None
    episodes: int
    missing: tuple[int, ...]
    set_aside: dict[int, str]

    @property
    def kind(self) -> str:
        """ "tracks", "features", "text" or another."""
        return self.folder.split("-")[0]


def sidecars_of(root: Path, indices: Collection[int]) -> list[SidecarState]:
    """All sidecar folders of a dataset.

    Args:
        root: The dataset's folder.
        indices: Of its episodes.
    """
    parent = root / FOLDER
    names = sorted(path.name for path in parent.iterdir() if path.is_dir()) if parent.is_dir() else []
    return [_state(root, name, sorted(indices)) for name in names]


def _state(root: Path, folder: str, indices: list[int]) -> SidecarState:
    text = root / FOLDER / folder / TEXT_FILE
    if text.is_file():
        return SidecarState(folder=folder, header=_header(text), episodes=len(indices), missing=(), set_aside={})
    there = [index for index in indices if episode_path(root, folder, index).is_file()]
    set_aside = set_aside_episodes(root, folder)
    return SidecarState(
        folder=folder,
        header=_header(episode_path(root, folder, there[0])) if there and "-" in folder else None,
        episodes=len(there),
        missing=tuple(index for index in sorted(set(indices) - set(there)) if index not in set_aside),
        set_aside=set_aside,
    )


def _header(path: Path) -> Header | None:
    try:
        return read_sidecar(path, remedy="").header
    except SidecarError:
        return None


def disk_bytes(root: Path) -> dict[str, int]:
    """Bytes of the files of a dataset, by the folder in it ("videos", "data", "meta", "sidecars", …) and in "total"."""
    sizes: Counter[str] = Counter()
    for folder, _, files in os.walk(root):
        part = Path(folder).relative_to(root).parts
        sizes[part[0] if part else "other"] += sum(_size(os.path.join(folder, name)) for name in files)
    return {**dict(sorted(sizes.items(), key=lambda item: -item[1])), "total": sum(sizes.values())}


def _size(path: str) -> int:
    # A file may vanish while others write beside it.
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0
