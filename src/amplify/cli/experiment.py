"""``amplify experiment``: studies with their controls, from recording to the report, at a chosen budget."""

from pathlib import Path
from typing import Any

OUT = Path("runs/experiments")


def zero_shot(
    *, out: Path = OUT, budget: str = "laptop", seed: int = 0, tracker: str = "flow", workers: int | None = None
) -> dict[str, Any]:
    """Tasks of which only videos were seen: success without one action of theirs, beside behaviour cloning.

    Args:
        out: Folder of all experiments; finished cells in it are shared, and the same command resumes.
        budget: "smoke" (its figures mean nothing), "laptop" or "long".
        seed: Of recording, training and evaluation.
        tracker: "flow" learns from pixels alone; "ground-truth" uses the simulator's geometry.
        workers: Processes; all cores by default.
    """
    return _run("zero-shot", out, budget, workers, seed=seed, tracker=tracker)


def few_shot(
    *, out: Path = OUT, budget: str = "laptop", seed: int = 0, tracker: str = "flow", workers: int | None = None
) -> dict[str, Any]:
    """2, 5 and 10 demonstrations a task: AMPLIFY, behaviour cloning, ATM and two controls.

    Args:
        out: Folder of all experiments; finished cells in it are shared, and the same command resumes.
        budget: "smoke" (its figures mean nothing), "laptop" or "long".
        seed: Of recording, training and evaluation.
        tracker: "flow" learns from pixels alone; "ground-truth" uses the simulator's geometry.
        workers: Processes; all cores by default.
    """
    return _run("few-shot", out, budget, workers, seed=seed, tracker=tracker)


def embodiment(
    *, out: Path = OUT, budget: str = "laptop", seed: int = 0, tracker: str = "flow", workers: int | None = None
) -> dict[str, Any]:
    """Action-free videos of a floating hand: what they bring to a robot with few demonstrations.

    Args:
        out: Folder of all experiments; finished cells in it are shared, and the same command resumes.
        budget: "smoke" (its figures mean nothing), "laptop" or "long".
        seed: Of recording, training and evaluation.
        tracker: "flow" learns from pixels alone; "ground-truth" uses the simulator's geometry.
        workers: Processes; all cores by default.
    """
    return _run("embodiment", out, budget, workers, seed=seed, tracker=tracker)


def tracks(
    *, out: Path = OUT, budget: str = "laptop", seed: int = 0, tracker: str = "ground-truth", workers: int | None = None
) -> dict[str, Any]:
    """Track prediction at equal processor time: motion tokens, regression, diffusion, and what knows nothing.

    Args:
        out: Folder of all experiments; finished cells in it are shared, and the same command resumes.
        budget: "smoke" (its figures mean nothing), "laptop" or "long".
        seed: Of recording, training and evaluation.
        tracker: What all models learn from: "ground-truth" compares models, "flow" adds the tracker's errors.
        workers: Processes; all cores by default.
    """
    return _run("tracks", out, budget, workers, seed=seed, tracker=tracker)


def ablation(
    *, out: Path = OUT, budget: str = "laptop", seed: int = 0, tracker: str = "ground-truth", workers: int | None = None
) -> dict[str, Any]:
    """One option of training or decoding changed at a time, with its effect on tracks or success.

    Args:
        out: Folder of all experiments; finished cells in it are shared, and the same command resumes.
        budget: "smoke" (its figures mean nothing), "laptop" or "long".
        seed: Of recording, training and evaluation.
        tracker: What all models learn from: "ground-truth" compares models, "flow" adds the tracker's errors.
        workers: Processes; all cores by default.
    """
    return _run("ablation", out, budget, workers, seed=seed, tracker=tracker)


def _run(name: str, out: Path, budget: str, workers: int | None, *, seed: int, tracker: str) -> dict[str, Any]:
    from amplify.sim.gl import ensure_gl

    ensure_gl()
    from amplify.experiments.engine.study import run_study
    from amplify.experiments.lab import lab_config
    from amplify.experiments.studies import STUDIES

    return run_study(STUDIES[name](lab_config(budget, seed=seed, tracker=tracker)), out, workers=workers)
