"""``amplify bench libero`` and ``oracle``: how fast LIBERO is evaluated, and how often its scripted oracle succeeds."""

from pathlib import Path
from typing import Annotated, Any

import tyro

from amplify.cli.track import refuse_set_aside
from amplify.errors import UsageError, pick


def libero(
    *,
    suite: str = "libero_goal",
    task: str = "0",
    episodes: int = 5,
    decisions: int | None = None,
    replan_every: int = 1,
    size: int = 128,
    frames: int = 20,
    workers: int = 2,
    seed: int = 0,
    out: Path | None = None,
) -> dict[str, Any]:
    """Measures evaluation in LIBERO beside LIBERO's own loop, with a policy that costs nothing; images and tracks too.

    Args:
        suite: Of the task.
        task: Its name or number.
        episodes: Rollouts of each worker; LIBERO's own loop (one environment, hard resets, its own images) does one.
        decisions: Of an episode; the suite's step limit by default.
        replan_every: Decisions that one plan, and so one pair of images, serves.
        size: Width and height of images in pixels.
        frames: Times each image is drawn, and frames that are tracked.
        workers: Processes that evaluate at a time.
        seed: Of the actions.
        out: JSON file for the figures.
    """
    from amplify.bench.libero import LiberoBench, bench_libero
    from amplify.data.files import write_json
    from amplify.sim.gl import ensure_gl

    given = (episodes, 1 if decisions is None else decisions, replan_every, size, frames, workers)
    if min(given) < 1:
        options = "--episodes, --decisions, --replan-every, --size, --frames, --workers"
        raise UsageError("a number below 1", got=given, allowed=f"1 or more for {options}")
    ensure_gl()
    report = bench_libero(
        LiberoBench(
            suite=suite,
            task=task,
            episodes=episodes,
            decisions=decisions,
            replan_every=replan_every,
            size_px=size,
            frames=frames,
            workers=workers,
            seed=seed,
        )
    )
    if out is not None:
        write_json(out, report)
    return report


def oracle(
    suite: Annotated[str, tyro.conf.Positional],
    /,
    *,
    tasks: tuple[str, ...] = (),
    initial_states: tuple[str, ...] = ("10-19",),
    body: str = "panda",
    attempts: int = 5,
    noise: float = 0.08,
    out: Path | None = None,
    workers: int | None = None,
    strict: bool = False,
    seed: int = 0,
) -> dict[str, Any]:
    """Counts how often LIBERO's scripted oracle succeeds, by task, with 95 % intervals; goes on where it stopped.

    Args:
        suite: "libero_object", "libero_spatial", "libero_goal", "libero_10", "libero_90" or a variant of LIBERO-PRO.
        tasks: Names, or numbers and ranges of them ("0-4"), in LIBERO's order; all of the suite by default.
        initial_states: Numbers and ranges of official initial states.
        body: Whose arm acts: "panda", "ur5e", "iiwa" or "hand".
        attempts: Simulated attempts at an episode before it counts as failed.
        noise: Standard deviation of what disturbs the hand, in action units.
        out: Folder that keeps what has been tried and gets the table as results.md.
        workers: Processes; all cores by default.
        strict: Whether a task without any success ends the command with exit code 1.
        seed: Of all that varies.
    """
    from pydantic import ValidationError

    from amplify.bench.oracle import OracleBench, bench_oracle, table
    from amplify.cli.numbers import names_or_numbers, numbers
    from amplify.errors import DataError
    from amplify.sim.libero import tasks as libero
    from amplify.sim.libero.bodies import BODIES
    from amplify.sim.libero.oracle import OracleConfig

    pick(body, BODIES, kind="body")
    names = names_or_numbers(tasks, option="--tasks")
    chosen = [libero.find_task(suite, name) for name in names] if names else list(libero.suite_tasks(suite))
    states = numbers(initial_states, option="--initial-states")
    for task in chosen:
        available = len(libero.initial_states(task))
        if not states or max(states) >= available:
            raise UsageError(f"{task.scene} has no such initial state", got=states, allowed=f"0…{available - 1}")
    try:
        config = OracleBench.model_validate(
            {"states": states, "body": body, "seed": seed, "oracle": OracleConfig(attempts=attempts, noise=noise)}
        )
    except ValidationError as error:
        raise UsageError("these settings cannot be used", got=error) from error
    summary = bench_oracle(chosen, config, out=out, workers=workers)
    if out is not None:
        (out / "results.md").write_text(table(summary) + "\n")
    refuse_set_aside({"dataset": suite, "set_aside": summary["set_aside"]}, strict=strict)
    unsolved = [name for name, row in summary["tasks"].items() if not row["successes"]]
    if unsolved and strict:
        raise DataError("tasks without any success", got=", ".join(unsolved), remedy="leave --strict out")
    return summary
