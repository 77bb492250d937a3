"""``amplify experiment``: studies with their controls, from recording to the report, at a chosen budget."""

from pathlib import Path
from typing import Annotated, Any

import tyro


def experiment(
    study: Annotated[str, tyro.conf.Positional],
    *,
    out: Path = Path("runs/experiments"),
    budget: str = "laptop",
    seed: int = 0,
    tracker: str | None = None,
    workers: int | None = None,
) -> dict[str, Any]:
    """Answers a question with everything that a fair answer needs, and writes OUT/STUDY/report.html and report.json.

    Args:
        study: "zero-shot" (tasks of which only videos were seen), "few-shot" (2, 5 and 10 demonstrations a task, with
            baselines and controls), "embodiment" (action-free videos of a floating hand), "tracks" (tokens, regression
            and diffusion at equal processor time), "trackers" (what better tracks are worth), "encoders" (fine-tuned
            eyes, unseen wordings), "ablation" (one option changed at a time) or "beyond" (tokens of a moving camera,
            likelihood of a given motion).
        out: Folder of all experiments; finished cells in it are shared, and the same command resumes.
        budget: "smoke" (its figures mean nothing), "laptop" or "long".
        seed: Of recording, training and evaluation.
        tracker: What is learned from: "flow" (pixels alone) or "ground-truth" (the simulator's geometry); by default
            the study's own choice.
        workers: Processes; all cores by default.
    """
    from amplify.errors import pick
    from amplify.experiments.engine.study import run_study
    from amplify.experiments.lab import lab_config
    from amplify.experiments.studies import STUDIES
    from amplify.sim.gl import ensure_gl

    kind = pick(study, STUDIES, kind="study")
    config = lab_config(budget, seed=seed, tracker=tracker or kind.tracker)
    ensure_gl()
    return run_study(kind(config), out, workers=workers)
