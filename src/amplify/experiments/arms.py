"""Arms of a study that end in success rates: their outcomes, tables, plots and comparisons."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from amplify.draw import plot_bars
from amplify.evaluate.report import Picture, Section, Table
from amplify.evaluate.rollout import RolloutResult
from amplify.evaluate.success import paired_difference, success_ratio, success_table
from amplify.experiments.cells.rollouts import Rollouts
from amplify.experiments.engine.store import Store
from amplify.metrics.statistics import Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One method under one condition.

    Args:
        method: Its name in tables.
        condition: Under which it is measured ("2 demonstrations").
        runs: For each training seed its rollouts, which together cover all tasks.
    """

    method: str
    condition: str
    runs: tuple[tuple[Rollouts, ...], ...]

    def outcomes(self, store: Store) -> list[RolloutResult]:
        """Every rollout, labelled with the method, numbered by training seed."""
        return [
            outcome
            for seed, cells in enumerate(self.runs)
            for cell in cells
            for outcome in cell.outcomes(store, label=self.method, variant=seed)
        ]


class Outcomes:
    """All rollouts of a study's arms.

    Args:
        arms: Methods × conditions.
        store: Where their cells lie.
        seed: Of the bootstrap.
    """

    def __init__(self, arms: Sequence[Arm], store: Store, *, seed: int):
        self.seed = seed
        self.conditions = tuple(dict.fromkeys(arm.condition for arm in arms))
        self.methods = tuple(dict.fromkeys(arm.method for arm in arms))
        self._results: dict[str, list[RolloutResult]] = {condition: [] for condition in self.conditions}
        for arm in arms:
            self._results[arm.condition] += arm.outcomes(store)
        self._tables = {condition: success_table(results) for condition, results in self._results.items()}

    def success(self, method: str, condition: str) -> dict[str, Any] | None:
        """A row of `success_table`, None where the method was not run."""
        return self._tables[condition].get(method)

    def difference(self, ours: str, theirs: str, condition: str) -> Interval:
        """Paired difference of success; see `paired_difference`."""
        return paired_difference(self._results[condition], ours, theirs, seed=self.seed)

    def ratio(self, ours: str, theirs: str, condition: str) -> Interval:
        """Ratio of success; see `success_ratio`."""
        return success_ratio(self._results[condition], ours, theirs, seed=self.seed)

    def figures(self, ours: str) -> dict[str, Any]:
        """All of it as JSON values, with comparisons of one method against every other."""
        shown: dict[str, Any] = {}
        for condition, table in self._tables.items():
            versus = {}
            for theirs in table:
                if theirs != ours and ours in table:
                    gap, ratio = self.difference(ours, theirs, condition), self.ratio(ours, theirs, condition)
                    versus[theirs] = {
                        "difference": gap.mean,
                        "difference_ci95": [gap.low, gap.high],
                        "ratio": _finite(ratio.mean),
                        "ratio_ci95": [_finite(ratio.low), _finite(ratio.high)],
                    }
            shown[condition] = {"success": table, f"{ours} against": versus}
        return shown

    def sections(self, ours: str, *, text: str = "") -> list[Section]:
        """Bars first, then tables by condition, of the comparisons and by task."""
        return [
            Section(heading="Success in closed loop", text=text, pictures=[self._bars()]),
            Section(
                heading="Figures", tables=[self._overall(), self._versus(ours), *map(self._by_task, self.conditions)]
            ),
        ]

    def _bars(self) -> Picture:
        groups: dict[str, dict[str, Interval]] = {}
        dots: dict[str, dict[str, Sequence[float]]] = {}
        for condition in self.conditions:
            rows = {m: row for m in self.methods if (row := self.success(m, condition))}
            groups[condition] = {m: Interval(row["mean"], *row["ci95"]) for m, row in rows.items()}
            dots[condition] = {m: row["by_seed"] for m, row in rows.items()}
        return Picture(
            png=plot_bars(groups, y="success rate", dots=dots, limit=(0, 1), size_in=(9.0, 3.6)),
            caption="Mean over tasks with Wilson 95 % interval over all rollouts; dots are training seeds.",
        )

    def _overall(self) -> Table:
        rows = [[m, *[success_cell(self.success(m, c)) for c in self.conditions]] for m in self.methods]
        counts = sorted({row["rollouts"] for table in self._tables.values() for row in table.values()})
        caption = f"Success with Wilson 95 % interval; rollouts a cell: {', '.join(map(str, counts))}."
        return Table(header=["method", *self.conditions], rows=rows, caption=caption)

    def _versus(self, ours: str) -> Table:
        rows = []
        for condition, table in self._tables.items():
            for theirs in table:
                if theirs != ours and ours in table:
                    gap, ratio = self.difference(ours, theirs, condition), self.ratio(ours, theirs, condition)
                    times = f"{interval_text(ratio)} ×" if math.isfinite(ratio.mean) else None
                    rows.append([condition, theirs, points_text(gap), times])
        return Table(
            header=["condition", f"{ours} against", "difference, points", "ratio"],
            rows=rows,
            caption="Paired by initial state; hierarchical bootstrap over tasks and states, 95 %.",
        )

    def _by_task(self, condition: str) -> Table:
        table = self._tables[condition]
        tasks = sorted({task for row in table.values() for task in row["tasks"]})
        rows = [[task, *[success_cell(row["tasks"].get(task)) for row in table.values()]] for task in tasks]
        return Table(header=["task", *table], rows=rows, caption=f"By task: {condition}.")


def _finite(value: float) -> float | None:
    """JSON knows neither infinity nor NaN: a ratio to nothing is null."""
    return value if math.isfinite(value) else None


def success_cell(row: Mapping[str, Any] | None) -> str | None:
    """Mean and interval of a row of `success_table`."""
    if row is None:
        return None
    low, high = row["ci95"]
    return f"{row['mean']:.2f} [{low:.2f}, {high:.2f}]"


def interval_text(interval: Interval) -> str:
    """An interval with two decimals."""
    return f"{interval.mean:.2f} [{interval.low:.2f}, {interval.high:.2f}]"


def points_text(interval: Interval) -> str:
    """A difference of rates in percentage points."""
    return f"{100 * interval.mean:+.0f} [{100 * interval.low:+.0f}, {100 * interval.high:+.0f}]"
