"""``amplify quickstart``: the whole loop in one command."""

from pathlib import Path
from typing import Any


def quickstart(
    *,
    out: Path,
    preset: str = "full",
    seed: int = 0,
    tracker: str = "flow",
    workers: int | None = None,
) -> dict[str, Any]:
    """Video → tracks → tokens → dynamics → a robot that moves; the same command again goes on where it stopped.

    Records six Meta-World tasks, learns motion from 30 action-free videos a task and control from 5 labelled
    demonstrations a task, acts, compares itself with behaviour cloning, and writes OUT/report.html, OUT/report.json
    and OUT/bundle.

    Args:
        out: Folder of the run.
        preset: "full" (about ten minutes on two cores) or "smoke" (a minute; its figures mean nothing).
        seed: Of everything.
        tracker: "flow" learns from pixels alone; "ground-truth" uses the simulator's geometry.
        workers: Processes; all cores by default.
    """
    from amplify.sim.gl import ensure_gl

    ensure_gl()
    from amplify.experiments.quickstart.run import configured
    from amplify.experiments.quickstart.run import quickstart as run

    return run(configured(preset, seed=seed, tracker=tracker), out, workers=workers)
