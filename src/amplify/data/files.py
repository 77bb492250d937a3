"""Files that appear whole or not at all."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from amplify.data.aside import aside_of
from amplify.data.remote import present, sent


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """A path to write to; the file gets its real name when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = aside_of(path)
    try:
        yield aside
        os.replace(aside, path)
        sent(path)
    finally:
        aside.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Writes indented JSON atomically."""
    with written_aside(path) as aside:
        aside.write_text(json.dumps(value, indent=2) + "\n")


def place(source: Path, target: Path) -> None:
    """The same bytes at a second place, by hard link where the file system can; replaces what is there."""
    with written_aside(target) as aside:
        present(source)
        aside.unlink(missing_ok=True)
        try:
            os.link(source, aside)
        except OSError:
            shutil.copyfile(source, aside)
