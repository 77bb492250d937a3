"""What the names of video files say: which episode, which camera, which instruction."""

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from amplify.errors import DataError, UsageError

CAMERA = "camera"
"""Name of the one camera where no rule names any."""
SAID = ("instruction", "sentence", "text", "task", "label", "language", "caption")
TAKE = re.compile(r"(?:ep|episode|take|demo|video|vid|img|clip|trial)?\d*", re.IGNORECASE)
NAMED = ("file", "video", "name", "path", "filename", "id")


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraRule:
    """Which files show what one camera saw.

    Args:
        camera: Its name.
        pattern: "_front" at the end of a file's name, "front_" at its beginning, "front/" a folder on the way to it,
            or a path without its ending in which ``*`` is what names the episode.
    """

    camera: str
    pattern: str

    @classmethod
    def parse(cls, text: str) -> "CameraRule":
        """The rule "camera=pattern".

        Raises:
            UsageError: It is none.
        """
        camera, equals, pattern = text.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", camera) or not pattern.strip("/*"):
            raise UsageError(
                "--cameras: no naming rule",
                got=text,
                allowed="front=_front, front=front_, front=front/ or front=*/front",
            )
        return cls(camera=camera, pattern=pattern)

    def episode(self, path: str) -> str | None:
        """The episode that a file belongs to, or None if another camera saw it.

        Args:
            path: Relative, with ``/``, without the file's ending.
        """
        if "*" in self.pattern:
            before, after = self.pattern.split("*", 1)
            fits = path.startswith(before) and path.endswith(after) and len(path) > len(before) + len(after)
            return path[len(before) : len(path) - len(after)] if fits else None
        folder, _, name = path.rpartition("/")
        if self.pattern.endswith("/"):
            parts = folder.split("/")
            wanted = self.pattern.strip("/").split("/")
            for at in range(len(parts) - len(wanted) + 1):
                if parts[at : at + len(wanted)] == wanted:
                    return "/".join([*parts[:at], *parts[at + len(wanted) :], name])
            return None
        if self.pattern[-1] in "_-." and name.startswith(self.pattern):
            rest = name.removeprefix(self.pattern)
        elif name.endswith(self.pattern):
            rest = name.removesuffix(self.pattern)
        else:
            return None
        return (f"{folder}/{rest}" if folder else rest) if rest else None


def grouped(files: Sequence[str], rules: Sequence[CameraRule]) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """Of each episode the file of each camera; and the files and episodes that cannot be used, with reasons.

    Args:
        files: Relative paths with ``/``.
        rules: Of the cameras; without any, each file is an episode.
    """
    episodes: dict[str, dict[str, str]] = {}
    set_aside: dict[str, str] = {}
    for file in files:
        stem = str(PurePosixPath(file).with_suffix(""))
        found = [(rule.camera, name) for rule in rules if (name := rule.episode(stem)) is not None]
        if not rules:
            found = [(CAMERA, stem)]
        if len(found) != 1:
            set_aside[file] = "its name fits no camera" if not found else "its name fits several cameras"
            continue
        (camera, name) = found[0]
        if camera in episodes.setdefault(name, {}):
            set_aside[file] = f"a second video of camera {camera} for the episode {name!r}"
        else:
            episodes[name][camera] = file
    cameras = [rule.camera for rule in rules] or [CAMERA]
    for name, views in list(episodes.items()):
        missing = [camera for camera in cameras if camera not in views]
        if missing:
            set_aside[name] = f"no video of camera {', '.join(missing)}"
            del episodes[name]
    return episodes, set_aside


def sentence_of(episode: str) -> str:
    """The instruction that an episode's name spells; numbers at its end count takes. Empty if there are no words.

    Args:
        episode: A relative path without the file's ending. Where its last part has no words, the folder's name counts.
    """
    for part in reversed(episode.split("/")):
        words = [word for word in re.split(r"[\s_\-.]+", part) if word]
        while words and re.fullmatch(
            r"(?:ep|episode|take|demo|video|vid|img|clip|trial)?\d*", words[-1], re.IGNORECASE
        ):
            words.pop()
        if words:
            return " ".join(words)
    return ""


def read_instructions(path: Path) -> dict[str, str]:
    """Sentences by file name, from a CSV or JSON file.

    JSON: an object ``{"name": "sentence"}``, or a list of objects that have a name (``file``, ``id``, …) and a
    sentence (``instruction``, ``label``, …). CSV: the same words as headings, or two columns without headings.

    Raises:
        DataError: It cannot be read, or holds something else.
    """
    try:
        content = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read the instructions in {path}", got=str(error)) from error
    pairs = _pairs_of_json(content, path) if path.suffix.lower() == ".json" else _pairs_of_csv(content)
    said = {name.strip(): sentence.strip() for name, sentence in pairs if name.strip() and sentence.strip()}
    if not said:
        raise DataError(
            f"no instructions in {path}",
            allowed='CSV lines "file,instruction", or JSON {"file": "instruction"}',
        )
    return said


def instruction_in(said: Mapping[str, str], files: Sequence[str], episode: str) -> str | None:
    """The sentence for an episode, by its name or that of one of its files, with or without folders and ending.

    Args:
        said: Of `read_instructions`.
        files: Relative paths of its videos.
        episode: Its name.
    """
    names = [episode, *files]
    names += [str(PurePosixPath(name).with_suffix("")) for name in files]
    names += [PurePosixPath(name).name for name in names]
    return next((said[name] for name in names if name in said), None)


def _pairs_of_json(content: str, path: Path) -> list[tuple[str, str]]:
    try:
        found: Any = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON", got=str(error)[:300]) from error
    if isinstance(found, dict):
        return [(name, sentence) for name, sentence in found.items() if isinstance(sentence, str)]
    rows = [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []
    return [(_first(row, NAMED), _first(row, SAID)) for row in rows]


def _pairs_of_csv(content: str) -> list[tuple[str, str]]:
    lines = content.splitlines()
    first = lines[0] if lines else ""
    mark = max(",;\t", key=first.count)
    rows = [row for row in csv.reader(io.StringIO(content), delimiter=mark) if len(row) >= 2]
    if not rows:
        return []
    headings = [heading.strip().lower() for heading in rows[0]]
    if any(heading in SAID for heading in headings):
        return [(_first(row, NAMED), _first(row, SAID)) for row in (dict(zip(headings, cells)) for cells in rows[1:])]
    return [(row[0], row[1]) for row in rows]


def _first(row: Mapping[str, Any], names: Sequence[str]) -> str:
    return next((str(row[name]) for name in names if row.get(name) not in (None, "")), "")
