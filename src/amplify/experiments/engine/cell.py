"""A cell: one piece of a study, whose result depends on its frozen configuration alone."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from amplify.config import Config
from amplify.experiments.engine.store import Store


class Cell(Config, ABC):
    """Something to record, train or measure, with everything that it needs nested inside.

    Two cells with equal settings are the same cell: arms and studies that share one compute it once. Subclasses narrow
    ``kind`` to a literal of their own.

    Args:
        kind: What is done; part of the key.
    """

    kind: str
    divides: ClassVar[bool] = False
    """Whether its work can be divided among several workers, without any difference in the result."""

    @property
    def key(self) -> str:
        """Names the cell's folder: its kind and a fingerprint of its settings and of all that it needs."""
        settings = self.model_dump_json(serialize_as_any=True)
        return f"{self.kind}-{hashlib.sha256(settings.encode()).hexdigest()[:12]}"

    @property
    def needs(self) -> tuple["Cell", ...]:
        """The cells that must be finished before: those among its settings, at any depth of plain settings."""
        found = [cell for name in type(self).model_fields for cell in _cells_in(getattr(self, name))]
        return tuple({cell.key: cell for cell in (*found, *self.also_needs)}.values())

    @property
    def also_needs(self) -> tuple["Cell", ...]:
        """Further cells, made from the settings (the tracks of a recording, say)."""
        return ()

    @abstractmethod
    def run(self, store: Store) -> Mapping[str, Any]:
        """Does the work in ``store.folder(self.key)`` and returns figures, as JSON values.

        It may be interrupted and called again, and then goes on from what it finds in its folder.
        """


def _cells_in(value: Any) -> Iterator[Cell]:
    if isinstance(value, Cell):
        yield value
    elif isinstance(value, Config):
        for name in type(value).model_fields:
            yield from _cells_in(getattr(value, name))
        if isinstance(value, NeedsCells):
            yield from value.also_needs
    elif isinstance(value, tuple):
        for item in value:
            yield from _cells_in(item)


class NeedsCells(Config, ABC):
    """Plain settings that make further cells necessary for the cell that holds them."""

    @property
    @abstractmethod
    def also_needs(self) -> tuple[Cell, ...]:
        """Those cells."""


def closure(goals: Sequence[Cell]) -> list[Cell]:
    """The goals and everything that they need, each once, needs first."""
    ordered: dict[str, Cell] = {}

    def add(cell: Cell) -> None:
        if cell.key not in ordered:
            for need in cell.needs:
                add(need)
            ordered[cell.key] = cell

    for goal in goals:
        add(goal)
    return list(ordered.values())
