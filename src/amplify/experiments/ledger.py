"""Which stages of a run are finished, how long each took, and what it returned: what makes a run resumable."""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from amplify.config import Config
from amplify.errors import UsageError
from amplify.experiments.memory import MemoryWatch
from amplify.experiments.stopwatch import Stopwatch
from amplify.jobs import Node, run_graph

FILE = "progress.json"


class Ledger:
    """The finished stages of one run folder.

    Args:
        out: The run's folder.
        config: Its settings; a folder holds one run only.

    Raises:
        UsageError: The folder holds a run of other settings.
    """

    def __init__(self, out: Path, config: Config):
        self._path = out / FILE
        asked = config.model_dump(mode="json")
        if self._path.exists():
            self._state = json.loads(self._path.read_text())
            stored = self._state["config"]
            if stored != asked:
                differing = sorted(k for k in stored.keys() | asked.keys() if stored.get(k) != asked.get(k))
                raise UsageError(
                    f"{out} holds a run of other settings",
                    got=", ".join(f"{k}={_short(asked.get(k))} (there: {_short(stored.get(k))})" for k in differing),
                    remedy=f"choose another --out, or delete {out}",
                )
        else:
            out.mkdir(parents=True, exist_ok=True)
            self._state = {"config": asked, "stages": {}, "wall_s": 0.0, "cpu_s": 0.0, "peak_memory_gb": 0.0}
            self._save()

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Counts time and memory; interrupted attempts add up, so that resuming makes no run look faster."""
        stopwatch, memory = Stopwatch(), MemoryWatch()
        try:
            with memory:
                yield
        finally:
            spent = stopwatch.seconds()
            self._state["wall_s"] += spent["wall"]
            self._state["cpu_s"] = self.cpu_s + spent["cpu"]
            self._state["peak_memory_gb"] = max(self._state["peak_memory_gb"], memory.peak_gb)
            self._save()

    def run(self, stage: str, function: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """The stage's result: stored if it finished before, else computed now."""
        if stage not in self._state["stages"]:
            self._finish(stage, _timed(function))
        return self.result(stage)

    def run_graph(self, nodes: Sequence[Node[Mapping[str, Any]]], *, workers: int | None = None) -> None:
        """Runs the stages that are not finished yet, side by side where they do not need each other."""
        done = self._state["stages"].keys()
        unfinished = [
            Node(n.name, partial(_timed, n.function), tuple(need for need in n.needs if need not in done), n.divides)
            for n in nodes
            if n.name not in done
        ]
        for name, outcome in run_graph(unfinished, workers=workers):
            self._finish(name, outcome)

    def result(self, stage: str) -> dict[str, Any]:
        """What a finished stage returned, as JSON values."""
        return self._state["stages"][stage]["result"]

    @property
    def seconds(self) -> dict[str, float]:
        """Wall-clock seconds of each stage's last attempt; stages may have run side by side."""
        return {name: row["seconds"] for name, row in self._state["stages"].items()}

    @property
    def cpu_seconds(self) -> dict[str, float]:
        """Processor seconds of each stage's last attempt."""
        return {name: row.get("cpu_s", 0.0) for name, row in self._state["stages"].items()}

    @property
    def wall_s(self) -> float:
        """Wall-clock seconds of all attempts that have ended."""
        return self._state["wall_s"]

    @property
    def cpu_s(self) -> float:
        """Processor seconds of all attempts that have ended, worker processes included."""
        return self._state.get("cpu_s", 0.0)

    @property
    def peak_memory_gb(self) -> float:
        """The largest memory that was in use at one time, worker processes included."""
        return self._state["peak_memory_gb"]

    def _finish(self, stage: str, outcome: tuple[Mapping[str, Any], Mapping[str, float]]) -> None:
        result, spent = outcome
        as_json = json.loads(json.dumps(dict(result), default=str))
        self._state["stages"][stage] = {"seconds": spent["wall"], "cpu_s": spent["cpu"], "result": as_json}
        self._save()

    def _save(self) -> None:
        aside = self._path.with_suffix(".partial")
        aside.write_text(json.dumps(self._state, indent=1))
        os.replace(aside, self._path)


def _timed(function: Callable[[], Mapping[str, Any]]) -> tuple[Mapping[str, Any], dict[str, float]]:
    stopwatch = Stopwatch()
    return function(), stopwatch.seconds()


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "…"
