from dataclasses import asdict
from pathlib import Path

import pytest

from amplify.evaluate.rollout import RolloutResult
from amplify.experiments.arms import Arm, Outcomes, points_text
from amplify.experiments.cells.data import Data
from amplify.experiments.engine.store import Store
from amplify.experiments.lab import Lab, lab_config
from amplify.metrics.statistics import Interval


def arm(
    store: Store, lab: Lab, method: str, condition: str, seeds: list[dict[str, list[int]]], *, dropout: float
) -> Arm:
    """An arm whose rollouts are already in the store: for each training seed the outcomes by task."""
    runs = []
    for seed, tasks in enumerate(seeds):
        cells = []
        for task, successes in tasks.items():
            cell = lab.rollouts(lab.cloning(Data(parts=()), seed, dropout=dropout), tasks=(task,))
            rows = [RolloutResult("any", 0, task, i, i, bool(s), 9) for i, s in enumerate(successes)]
            store.finish(cell.key, {}, {"episodes": [asdict(row) for row in rows]}, {"wall": 1.0, "cpu": 1.0})
            cells.append(cell)
        runs.append(tuple(cells))
    return Arm(method=method, condition=condition, runs=tuple(runs))


@pytest.fixture
def outcomes(tmp_path: Path) -> Outcomes:
    store, lab = Store(tmp_path), Lab(lab_config("smoke"))
    ours = [
        {"drawer-open": [1, 1, 1, 0], "door-open": [1, 1, 1, 1]},
        {"drawer-open": [1, 1, 1, 1], "door-open": [1, 1, 1, 1]},
    ]
    theirs = [{"drawer-open": [0, 0, 0, 0], "door-open": [1, 1, 1, 0]}] * 2
    arms = [
        arm(store, lab, "ours", "few", ours, dropout=0.1),
        arm(store, lab, "theirs", "few", theirs, dropout=0.2),
        arm(store, lab, "ours", "none", ours[:1], dropout=0.3),
    ]
    return Outcomes(arms, store, seed=0)


def test_seeds_and_cells_are_put_together(outcomes: Outcomes):
    row = outcomes.success("ours", "few")
    assert row is not None
    assert (row["mean"], row["rollouts"], row["by_seed"]) == (15 / 16, 16, [7 / 8, 1.0])
    assert outcomes.success("theirs", "none") is None


def test_there_is_no_ratio_to_nothing(tmp_path: Path):
    store, lab = Store(tmp_path), Lab(lab_config("smoke"))
    arms = [
        arm(store, lab, "ours", "few", [{"drawer-open": [1, 1, 1, 0]}], dropout=0.1),
        arm(store, lab, "theirs", "few", [{"drawer-open": [0, 0, 0, 0]}], dropout=0.2),
    ]
    outcomes = Outcomes(arms, store, seed=0)
    assert outcomes.figures("ours")["few"]["ours against"]["theirs"]["ratio"] is None
    tables = [table for section in outcomes.sections("ours", text="") for table in section.tables]
    (times,) = [row[-1] for table in tables if table.header[-1] == "ratio" for row in table.rows]
    assert times is None


def test_comparisons_are_computed_where_both_were_run(outcomes: Outcomes):
    figures = outcomes.figures("ours")
    versus = figures["few"]["ours against"]["theirs"]
    assert versus["difference"] == pytest.approx(15 / 16 - 3 / 8)
    assert versus["ratio"] == pytest.approx(2.5)
    assert versus["difference_ci95"][0] < versus["difference"] < versus["difference_ci95"][1]
    assert figures["none"]["ours against"] == {}


def test_sections_show_every_method_and_condition(outcomes: Outcomes):
    shown, figures = outcomes.sections("ours")
    overall, versus, few, none = figures.tables
    assert overall.header == ["method", "few", "none"]
    assert [row[0] for row in overall.rows] == ["ours", "theirs"]
    assert overall.cells[1][2] == "–"
    assert versus.rows[0][:2] == ["few", "theirs"]
    assert few.header == ["task", "ours", "theirs"]
    assert none.header == ["task", "ours"]
    assert shown.pictures[0].png.startswith(b"\x89PNG")


def test_points():
    assert points_text(Interval(0.125, -0.02, 0.3)) == "+12 [-2, +30]"
