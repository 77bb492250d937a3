"""The folder of finished cells, shared by all studies."""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from amplify.errors import DataError, UsageError

RESULT = "result.json"


class Store:
    """Finished cells by key: ``ROOT/cells/KEY/result.json`` is written last, so a cell that has it is whole.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path):
        self.root = root

    def folder(self, key: str) -> Path:
        """Where a cell keeps its files."""
        return self.root / "cells" / key

    def has(self, key: str) -> bool:
        """Whether the cell is finished."""
        return (self.folder(key) / RESULT).is_file()

    def result(self, key: str) -> dict[str, Any]:
        """The figures of a finished cell.

        Raises:
            DataError: It is not finished, or its file is damaged.
        """
        return self._read(key)["result"]

    def seconds(self, key: str) -> dict[str, float]:
        """``wall`` and ``cpu`` seconds of a finished cell's last attempt."""
        return self._read(key)["seconds"]

    def finish(
        self, key: str, settings: Mapping[str, Any], result: Mapping[str, Any], seconds: Mapping[str, float]
    ) -> None:
        """Writes a cell's result, aside first."""
        folder = self.folder(key)
        folder.mkdir(parents=True, exist_ok=True)
        content = {"settings": dict(settings), "seconds": dict(seconds), "result": dict(result)}
        aside = folder / f".{RESULT}.partial"
        aside.write_text(json.dumps(content, indent=1, default=str) + "\n")
        os.replace(aside, folder / RESULT)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keeps the store to this process.

        Raises:
            UsageError: Another process uses it.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / ".lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise UsageError(
                    f"another experiment is writing to {self.root}", remedy="wait for it, or choose another --out"
                ) from None
            yield

    def _read(self, key: str) -> dict[str, Any]:
        path = self.folder(key) / RESULT
        try:
            content = json.loads(path.read_text())
            return {name: content[name] for name in ("settings", "seconds", "result")}
        except FileNotFoundError:
            raise DataError(
                f"{key} is not finished", remedy="run the experiment again; it goes on from there"
            ) from None
        except (ValueError, KeyError, TypeError):
            raise DataError(f"{path} is damaged", remedy=f"delete {path.parent} and run the experiment again") from None
