"""How often the scripted expert reaches the goals of LIBERO's tasks, and in how many attempts."""

import functools
import hashlib
import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import NonNegativeInt

from amplify.config import Config
from amplify.data.files import write_json
from amplify.errors import DataError
from amplify.jobs import map_jobs
from amplify.metrics.statistics import wilson
from amplify.rng import numpy_generator
from amplify.sim.libero.config import DEFAULT_BODY, Body, LiberoConfig
from amplify.sim.libero.oracle import OracleConfig, solve
from amplify.sim.libero.simulation import Simulation
from amplify.sim.libero.tasks import LiberoTask, find_task

logger = logging.getLogger(__name__)


class OracleBench(Config):
    """What is attempted.

    Args:
        states: Numbers of official initial states.
        body: Whose arm acts.
        oracle: How it acts.
        seed: Of everything in which performances differ.
    """

    states: tuple[NonNegativeInt, ...]
    body: Body = DEFAULT_BODY
    oracle: OracleConfig = OracleConfig()
    seed: int = 0


class Trial(Config):
    """One task from one initial state."""

    suite: str
    task: int
    body: Body
    state: NonNegativeInt
    seed: int
    oracle: OracleConfig


def bench_oracle(
    tasks: Sequence[LiberoTask], config: OracleBench, *, out: Path | None = None, workers: int | None = None
) -> dict[str, Any]:
    """Counts of success by task, with 95 % intervals, and why the others failed.

    Args:
        tasks: From `suite_tasks` or `find_task`.
        config: States, seed, limits.
        out: Folder that keeps what has been tried, so that the same call goes on; nothing is kept by default.
        workers: Processes; all cores by default.

    Raises:
        DataError: A result in the folder cannot be read.
    """
    started = time.monotonic()
    trials = [
        Trial(
            suite=task.suite,
            task=task.index,
            body=config.body,
            state=state,
            seed=config.seed,
            oracle=config.oracle,
        )
        for task in tasks
        for state in config.states
    ]
    done = {trial: found for trial in trials if out is not None and (found := _kept(out, trial)) is not None}
    errors: dict[str, str] = {}
    missing = [trial for trial in trials if trial not in done]
    for outcome in map_jobs(attempt, missing, workers=workers, label="attempting", unit="state"):
        if outcome.result is None:
            errors[f"{outcome.item.suite}/{outcome.item.task} state {outcome.item.state}"] = str(outcome.error)
            continue
        done[outcome.item] = outcome.result
        if out is not None:
            write_json(_path(out, outcome.item), outcome.result)
    rows = {
        task.scene: _row([done[t] for t in trials if (t.suite, t.task) == (task.suite, task.index) and t in done])
        for task in tasks
    }
    results = [done[trial] for trial in trials if trial in done]
    return {
        "body": config.body,
        "states": list(config.states),
        "tasks": rows,
        "all": _row(results),
        "set_aside": errors,
        "seconds": round(time.monotonic() - started, 1),
    }


def attempt(trial: Trial) -> dict[str, Any]:
    """The outcome of one trial."""
    simulation = _simulation(trial.suite, trial.task, trial.body)
    simulation.reset(trial.state)
    generator = numpy_generator(trial.seed, "oracle", trial.suite, trial.task, trial.state)
    started = time.process_time()
    found = solve(simulation, generator, trial.oracle)
    return {
        "success": found.success,
        "attempts": found.attempts,
        "decisions": len(found.actions),
        "decisions_simulated": found.decisions_simulated,
        "cpu_s": round(time.process_time() - started, 2),
        "failures": list(found.failures),
    }


def table(summary: dict[str, Any]) -> str:
    """The counts as a Markdown table."""
    lines = ["| task | success | 95 % | first attempt | decisions |", "|---|---|---|---|---|"]
    for name, row in [*summary["tasks"].items(), ("all", summary["all"])]:
        low, high = row["interval"]
        decisions = "–" if row["decisions"] is None else f"{row['decisions']:.0f}"
        counts = f"{row['successes']}/{row['trials']} | {low:.2f}–{high:.2f} | {row['first_attempt']}"
        lines.append(f"| {name} | {counts} | {decisions} |")
    return "\n".join(lines)


def _row(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    kept = [result for result in results if result["success"]]
    interval = wilson(len(kept), len(results))
    reasons = [result["failures"][-1] for result in results if not result["success"] and result["failures"]]
    return {
        "successes": len(kept),
        "trials": len(results),
        "rate": interval.mean if results else None,
        "interval": (round(interval.low, 3), round(interval.high, 3)),
        "first_attempt": sum(result["attempts"] == 1 for result in kept),
        "attempts": round(sum(r["attempts"] for r in results) / len(results), 2) if results else None,
        "decisions": sum(result["decisions"] for result in kept) / len(kept) if kept else None,
        "cpu_s": round(sum(r["cpu_s"] for r in results) / len(results), 2) if results else None,
        "failures": sorted(set(reasons)),
    }


def _path(out: Path, trial: Trial) -> Path:
    settings = hashlib.sha256(f"{trial.seed} {trial.oracle.model_dump_json()}".encode()).hexdigest()[:8]
    name = trial.suite if trial.body == DEFAULT_BODY else f"{trial.suite}-{trial.body}"
    return out / f"{name}-{trial.task:02d}-{trial.state:02d}-{settings}.json"


def _kept(out: Path, trial: Trial) -> dict[str, Any] | None:
    path = _path(out, trial)
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise DataError(f"{path} cannot be read", got=error, remedy="remove the file and run again") from error


@functools.lru_cache(maxsize=1)
def _simulation(suite: str, task: int, body: Body) -> Simulation:
    return Simulation(find_task(suite, task), LiberoConfig(body=body))
