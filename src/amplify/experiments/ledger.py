"""Which stages of a run are finished, how long each took, and what it returned: what makes a run resumable."""

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from amplify.config import Config
from amplify.errors import UsageError
from amplify.experiments.memory import MemoryWatch

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
            self._state = {"config": asked, "stages": {}}
            self._save()

    def run(self, stage: str, function: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """The stage's result: stored if it finished before, else computed now.

        Seconds of interrupted attempts are added up, so that a resumed run does not look faster than it was.
        """
        row = self._state["stages"].setdefault(stage, {"seconds": 0.0, "done": False, "result": {}})
        if row["done"]:
            return row["result"]
        began = time.perf_counter()
        watch = MemoryWatch()
        try:
            with watch:
                row["result"] = json.loads(json.dumps(dict(function()), default=str))
            row["done"] = True
        finally:
            row["seconds"] += time.perf_counter() - began
            row["peak_memory_gb"] = max(row.get("peak_memory_gb", 0.0), watch.peak_gb)
            self._save()
        return row["result"]

    @property
    def seconds(self) -> dict[str, float]:
        """Wall-clock seconds of each stage, all attempts together."""
        return {name: row["seconds"] for name, row in self._state["stages"].items()}

    @property
    def peak_memory_gb(self) -> float:
        """The largest memory any stage needed, worker processes included."""
        return max((row.get("peak_memory_gb", 0.0) for row in self._state["stages"].values()), default=0.0)

    def _save(self) -> None:
        aside = self._path.with_suffix(".partial")
        aside.write_text(json.dumps(self._state, indent=1))
        os.replace(aside, self._path)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "…"
