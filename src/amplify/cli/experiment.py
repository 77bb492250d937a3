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
    videos: int | None = None,
    demos: int | None = None,
    rollouts: int | None = None,
    training_seeds: int | None = None,
    device: str = "cpu",
    workers: int | None = None,
) -> dict[str, Any]:
    """Answers a question with everything that a fair answer needs, and writes OUT/STUDY/report.html and report.json.

    Args:
        study: "zero-shot" (tasks of which only videos were seen), "few-shot" (2, 5 and 10 demonstrations a task, with
            baselines and controls), "embodiment" (action-free videos of a floating hand), "tracks" (tokens, regression
            and diffusion at equal processor time), "trackers" (what better tracks are worth), "encoders" (fine-tuned
            eyes, unseen wordings), "ablation" (one option changed at a time), "beyond" (tokens of a moving camera,
            likelihood of a given motion), "libero-smoke" (two tasks of LIBERO-Object, in minutes), "libero-object" (ten
            tasks: AMPLIFY and behaviour cloning), "libero-zero-shot" (actions of LIBERO-90, videos of LIBERO-Object) or
            "libero-spatial-zero-shot" (the same with LIBERO-Spatial).
        out: Folder of all experiments; finished cells in it are shared, and the same command resumes.
        budget: "smoke" (its figures mean nothing), "laptop" or "long".
        seed: Of recording, training and evaluation.
        tracker: What is learned from: "flow" (pixels alone) or "ground-truth" (the simulator's geometry); by default
            the study's own choice.
        videos: Action-free videos a task, in place of the budget's number.
        demos: Demonstrations a task, in place of the budget's number.
        rollouts: Initial states a task that policies act from, in place of the budget's number.
        training_seeds: Policies trained with other seeds, in place of the budget's number.
        device: Where models are trained: "cpu", "cuda", "cuda:1". Figures of another device differ in rounding.
        workers: Processes; all cores by default.
    """
    from amplify.errors import UsageError, pick
    from amplify.experiments.engine.study import run_study
    from amplify.experiments.studies import STUDIES
    from amplify.sim.gl import ensure_gl
    from amplify.train.loop import trained_on

    kind = pick(study, STUDIES, kind="study")
    numbers = {"videos": videos, "demos": demos, "rollouts": rollouts, "training_seeds": training_seeds}
    for name, number in numbers.items():
        if number is not None and number < 1:
            raise UsageError(f"--{name.replace('_', '-')}: too few", got=number, allowed="1 or more")
    changes = {name: number for name, number in numbers.items() if number is not None}
    config = kind.configured(budget, seed=seed, tracker=tracker or kind.tracker, **changes)
    config = trained_on(config, device)
    ensure_gl()
    return run_study(kind(config), out, workers=workers)
