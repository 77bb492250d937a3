"""Does a policy understand, or does it know sentences by heart? The same states, told in other words."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from amplify.errors import UsageError, pick
from amplify.evaluate.futures import plain
from amplify.evaluate.rollout import PolicySpec, RolloutConfig, RolloutResult, evaluate_policies
from amplify.evaluate.success import paired_difference, success_table
from amplify.policy.bundle import load_bundle
from amplify.policy.info import info_of
from amplify.protocols import Benchmark
from amplify.sim.benchmarks import BENCHMARKS

OWN, PARAPHRASES, WRONG = "own", "paraphrases", "wrong"


def wordings(config: RolloutConfig, known: Sequence[str]) -> dict[str, RolloutConfig]:
    """The same rollouts told three ways: the task's own sentence, paraphrases nobody trained on, something else.

    Args:
        config: Where and how often to act.
        known: Instructions of training, whose paraphrases are left out.

    Raises:
        UsageError: A task has no paraphrase that was not trained on.
        UnknownNameError: There is no such benchmark or task.
    """
    benchmark: Benchmark = pick(config.benchmark, BENCHMARKS, kind="benchmark")()
    heard = set(map(plain, known))
    unseen: list[tuple[str, str]] = []
    for task in config.tasks:
        fresh = [(task, sentence) for sentence in benchmark.paraphrases(task) if plain(sentence) not in heard]
        if not fresh:
            raise UsageError(f"no unseen paraphrase of the instruction of {task}", got=benchmark.instruction(task))
        unseen += fresh
    wrong = [(task, benchmark.wrong_instruction(task)) for task in config.tasks]
    return {
        OWN: config,
        PARAPHRASES: config.model_copy(update={"instructions": tuple(unseen), "films": 0}),
        WRONG: config.model_copy(update={"instructions": tuple(wrong), "films": 0}),
    }


def evaluate_wordings(
    spec: PolicySpec,
    config: RolloutConfig,
    *,
    workers: int | None = None,
    films: Path | None = None,
    finished: Path | None = None,
    device: str = "cpu",
    compile: bool = False,
) -> dict[str, Any]:
    """Success by wording, from the same initial states, and differences to the task's own sentence.

    Args:
        spec: The policy.
        config: Where and how often to act.
        workers: Processes; all cores by default.
        films: Folder for mp4 files of the first rollouts, told their own sentence.
        finished: Folder that keeps the results of finished rollouts.
        device: Where the policy computes.
        compile: See `amplify.evaluate.loading.Loader`.

    Raises:
        UsageError: A task has no paraphrase that was not trained on.
        AmplifyError: The bundle, a task or the renderer cannot be used.
    """
    told = wordings(config, info_of(load_bundle(spec.bundle)).instructions)
    results: list[RolloutResult] = []
    options: dict[str, Any] = {"workers": workers, "films": films, "finished": finished}
    options |= {"device": device, "compile": compile}
    for wording, rollouts in told.items():
        named = spec.model_copy(update={"label": wording})
        results += evaluate_policies([named], rollouts, **options)
    return by_wording(results, told, seed=config.seed)


def by_wording(results: Sequence[RolloutResult], told: dict[str, RolloutConfig], *, seed: int) -> dict[str, Any]:
    """Rollouts as JSON values, by wording.

    Args:
        results: Labelled with their wording.
        told: What was said in each.
        seed: Of the bootstrap.
    """
    gaps = {name: paired_difference(results, name, OWN, seed=seed) for name in (PARAPHRASES, WRONG)}
    sentences = {
        name: {task: [s for t, s in told[name].instructions if t == task] for task in told[name].tasks} for name in gaps
    }
    return {
        "success": success_table(results),
        "difference_to_own": {name: [gap.mean, gap.low, gap.high] for name, gap in gaps.items()},
        "sentences": sentences,
    }
