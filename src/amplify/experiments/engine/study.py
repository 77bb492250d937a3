"""A study: a question, the cells that answer it, and the page that shows the answer."""

import json
import os
import platform
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from amplify.evaluate.report import Section, Table, write_page
from amplify.experiments.defaults import versions
from amplify.experiments.engine.cell import Cell
from amplify.experiments.engine.run import compute, seconds_of
from amplify.experiments.engine.store import Store
from amplify.experiments.lab import LabConfig, lab_config
from amplify.experiments.stopwatch import Stopwatch
from amplify.jobs import cores


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a study found.

    Args:
        verdict: The answer in a few sentences, computed from the figures.
        figures: All figures, as JSON values.
        sections: Tables and pictures of them.
    """

    verdict: str
    figures: Mapping[str, Any]
    sections: Sequence[Section] = field(default_factory=tuple)


class Study(ABC):
    """A question with its arms.

    Args:
        config: What all arms share.
    """

    name: ClassVar[str]
    question: ClassVar[str]
    tracker: ClassVar[str] = "flow"

    def __init__(self, config: LabConfig):
        self.config = config

    @classmethod
    def configured(cls, budget: str, **changes: Any) -> LabConfig:
        """The settings of a budget, with changes.

        Raises:
            UnknownNameError: There is no such budget or tracker.
        """
        return lab_config(budget, **{"tracker": cls.tracker, **changes})

    @abstractmethod
    def goals(self) -> Sequence[Cell]:
        """The measurements that answer the question."""

    @abstractmethod
    def evidence(self, store: Store) -> Evidence:
        """The answer, once all goals are finished."""


def run_study(study: Study, out: Path, *, workers: int | None = None) -> dict[str, Any]:
    """Finishes every cell of a study and writes OUT/NAME/report.html and report.json.

    Cells lie in OUT/cells and are shared by all studies of the same folder.

    Args:
        study: The question.
        out: The folder, resumable.
        workers: Processes; all cores by default.

    Raises:
        AmplifyError: A cell failed; the same call goes on from there.
    """
    store, watch = Store(out), Stopwatch()
    compute(study.goals(), store, workers=workers)
    evidence = study.evidence(store)
    spent = seconds_of(study.goals(), store)
    verdict = evidence.verdict
    if study.config.budget == "smoke":
        verdict = "A smoke run: everything works, and no figure on this page means anything.\n" + verdict
    folder = out / study.name
    folder.mkdir(parents=True, exist_ok=True)
    report = {
        "study": study.name,
        "question": study.question,
        "verdict": verdict,
        "budget": study.config.budget,
        "seed": study.config.seed,
        "figures": evidence.figures,
        "seconds": spent,
        "cores": cores(),
        "versions": versions(),
        "settings": study.config.model_dump(mode="json"),
    }
    aside = folder / ".report.json.partial"
    aside.write_text(json.dumps(report, indent=1, default=str) + "\n")
    os.replace(aside, folder / "report.json")
    write_page(
        folder / "report.html",
        title=f"{study.question} ({study.config.budget} budget, seed {study.config.seed})",
        verdict=verdict,
        sections=[*evidence.sections, _time(spent), _settings(report)],
    )
    return {
        "report": str(folder / "report.html"),
        "verdict": verdict,
        "budget": study.config.budget,
        "seed": study.config.seed,
        "cpu_minutes_of_all_cells": sum(row["cpu"] for row in spent.values()) / 60,
        "wall_minutes_of_this_call": watch.seconds()["wall"] / 60,
    }


def _time(spent: Mapping[str, Mapping[str, float]]) -> Section:
    rows = [[kind, int(row["cells"]), f"{row['cpu']:.0f}", f"{row['wall']:.0f}"] for kind, row in spent.items()]
    rows.append(["all", *[f"{sum(row[name] for row in spent.values()):.0f}" for name in ("cells", "cpu", "wall")]])
    caption = "Cells run side by side, one core each; those shared with other studies are counted here too."
    return Section(
        heading="Time",
        tables=[Table(header=["cell", "number", "CPU seconds", "wall seconds"], rows=rows, caption=caption)],
        text=f"{cores()} core(s), {platform.machine()}.",
    )


def _settings(report: Mapping[str, Any]) -> Section:
    shown = {"versions": report["versions"], "settings": report["settings"]}
    return Section(heading="Settings and versions", preformatted=json.dumps(shown, indent=1))
