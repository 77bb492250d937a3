"""Computes what is not finished yet, side by side where cells do not need each other."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from amplify.experiments.engine.cell import Cell, closure
from amplify.experiments.engine.store import Store
from amplify.experiments.stopwatch import Stopwatch
from amplify.jobs import Node, run_graph


def compute(goals: Sequence[Cell], store: Store, *, workers: int | None = None) -> None:
    """Finishes the goals and all that they need; finished cells are left alone.

    Args:
        goals: What is wanted, most wanted first.
        store: Where finished cells lie.
        workers: Processes of one numeric thread each; all cores by default.

    Raises:
        AmplifyError: That of the first cell that failed; all finished ones are kept.
        UsageError: Another process uses the store.
    """
    with store.lock():
        # A finished goal needs nothing any more, so that what it was made of may be deleted to save disk space.
        waiting = _unfinished(goals, store)
        keys = {cell.key for cell in waiting}
        nodes = [
            Node(
                cell.key,
                partial(_finish, cell, store.root),
                tuple(n.key for n in cell.needs if n.key in keys),
                cell.divides,
            )
            for cell in waiting
        ]
        if nodes:
            for _ in run_graph(nodes, workers=workers, label="cells"):
                pass


def _unfinished(goals: Sequence[Cell], store: Store) -> list[Cell]:
    wanted: dict[str, Cell] = {}

    def add(cell: Cell) -> None:
        if cell.key in wanted or store.has(cell.key):
            return
        for need in cell.needs:
            add(need)
        wanted[cell.key] = cell

    for goal in goals:
        add(goal)
    return list(wanted.values())


def _finish(cell: Cell, root: Path) -> None:
    store, watch = Store(root), Stopwatch()
    result = cell.run(store)
    settings = json.loads(cell.model_dump_json(serialize_as_any=True))
    store.finish(cell.key, settings, json.loads(json.dumps(dict(result), default=str)), watch.seconds())


def seconds_of(goals: Sequence[Cell], store: Store) -> dict[str, dict[str, float]]:
    """Seconds by kind of cell, over the goals and all that they needed: ``{kind: {cells, wall, cpu}}``."""
    rows: dict[str, dict[str, float]] = {}
    for cell in closure(goals):
        if store.has(cell.key):
            row = rows.setdefault(cell.kind, {"cells": 0.0, "wall": 0.0, "cpu": 0.0})
            spent = store.seconds(cell.key)
            row["cells"] += 1
            row["wall"] += spent["wall"]
            row["cpu"] += spent["cpu"]
    return rows
