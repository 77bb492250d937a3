import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import SerializeAsAny

from amplify.config import Config
from amplify.errors import AmplifyError, DataError, UsageError
from amplify.experiments.engine.cell import Cell, NeedsCells, closure
from amplify.experiments.engine.run import compute, seconds_of
from amplify.experiments.engine.store import Store


class Number(Cell):
    kind: Literal["number"] = "number"
    value: int

    def run(self, store: Store) -> Mapping[str, Any]:
        note(store, self.key)
        if self.value < 0:
            raise AmplifyError(f"{self.value} is negative")
        return {"value": self.value}


class Doubled(Number):
    kind: Literal["doubled"] = "doubled"  # type: ignore[assignment]


class Halved(NeedsCells):
    of: int

    @property
    def also_needs(self) -> tuple[Cell, ...]:
        return (Number(value=self.of // 2),)


class Terms(Config):
    cells: tuple[SerializeAsAny[Number], ...]
    halved: Halved | None = None


class Sum(Cell):
    kind: Literal["sum"] = "sum"
    terms: Terms

    def run(self, store: Store) -> Mapping[str, Any]:
        note(store, self.key)
        return {"sum": sum(store.result(cell.key)["value"] for cell in self.needs)}


def note(store: Store, key: str) -> None:
    store.root.mkdir(parents=True, exist_ok=True)
    with (store.root / "ran").open("a") as file:
        file.write(key + "\n")


def ran(store: Store) -> list[str]:
    return (store.root / "ran").read_text().split()


def total(*values: int, halved: int | None = None) -> Sum:
    numbers = tuple(Number(value=value) for value in values)
    return Sum(terms=Terms(cells=numbers, halved=None if halved is None else Halved(of=halved)))


def test_needs_are_found_at_any_depth_and_equal_cells_are_one():
    cells = closure([total(1, 2), total(2, 3, halved=8)])
    assert [cell.kind for cell in cells] == ["number", "number", "sum", "number", "number", "sum"]
    assert Number(value=4).key in {cell.key for cell in cells}


def test_the_key_names_every_setting_of_every_nested_cell():
    assert total(1, 2).key != total(1, 3).key
    assert total(1, halved=2).key != total(1, halved=4).key
    assert total(1, 2).key == total(1, 2).key
    plain, doubled = Number(value=1), Doubled(value=1)
    assert Sum(terms=Terms(cells=(plain,))).key != Sum(terms=Terms(cells=(doubled,))).key


@pytest.mark.parametrize("workers", [0, 2])
def test_cells_run_once_and_after_their_needs(tmp_path: Path, workers: int):
    store, goals = Store(tmp_path), [total(1, 2), total(2, 3, halved=8)]
    compute(goals, store, workers=workers)
    assert [store.result(goal.key)["sum"] for goal in goals] == [3, 9]
    order = ran(store)
    assert len(order) == len(set(order)) == 6
    assert order.index(goals[0].key) > order.index(Number(value=1).key)
    compute(goals, store, workers=workers)
    assert len(ran(store)) == 6
    assert seconds_of(goals, store)["number"]["cells"] == 4


def test_a_failed_cell_keeps_the_others_and_the_next_call_goes_on(tmp_path: Path):
    store = Store(tmp_path)
    with pytest.raises(AmplifyError, match="-5 is negative"):
        compute([Number(value=1), total(2, -5), Number(value=7)], store, workers=0)
    assert store.has(Number(value=1).key)
    assert not store.has(Number(value=-5).key)
    compute([Number(value=1), Number(value=7)], store, workers=0)
    assert ran(store).count(Number(value=1).key) == 1


def test_a_finished_goal_needs_nothing(tmp_path: Path):
    store, goal = Store(tmp_path), total(1, 2)
    compute([goal], store, workers=0)
    (store.folder(Number(value=1).key) / "result.json").unlink()
    compute([goal], store, workers=0)
    assert len(ran(store)) == 3


def test_damaged_and_missing_results_are_named(tmp_path: Path):
    store, cell = Store(tmp_path), Number(value=1)
    with pytest.raises(DataError, match="not finished"):
        store.result(cell.key)
    compute([cell], store, workers=0)
    path = store.folder(cell.key) / "result.json"
    assert json.loads(path.read_text())["settings"] == {"kind": "number", "value": 1}
    path.write_text(path.read_text()[:20])
    with pytest.raises(DataError, match="damaged"):
        store.result(cell.key)


def test_two_runs_in_one_store_are_refused(tmp_path: Path):
    store = Store(tmp_path)
    with store.lock(), pytest.raises(UsageError, match="another experiment"):
        compute([Number(value=1)], store, workers=0)
    compute([Number(value=1)], store, workers=0)
