"""Closed-loop success: policies act in a benchmark's tasks, from initial states fixed by seeds."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal, Protocol, runtime_checkable

from pydantic import Field, NonNegativeInt, PositiveInt

from amplify import rng
from amplify.config import Config, GrownConfig
from amplify.data.files import write_json
from amplify.errors import DataError, UsageError, WorkerError, pick
from amplify.evaluate.acting import rollout
from amplify.evaluate.loading import Loader
from amplify.jobs import Once, map_jobs
from amplify.nn.device import computing_device
from amplify.policy.bundle import load_bundle
from amplify.policy.controller import ControllerConfig
from amplify.protocols import Benchmark
from amplify.sim.benchmarks import BENCHMARKS


class PolicySpec(Config):
    """One policy to evaluate.

    Args:
        label: The method's name in results ("amplify").
        bundle: The bundle's folder.
        kind: Which of the bundle's policies: "amplify" or "behaviour-cloning".
        variant: Distinguishes training seeds of one method.
        precision: Of the weights while acting: "float32", "bfloat16" or "int8".
    """

    label: str
    bundle: Path
    kind: str = "amplify"
    variant: int = 0
    precision: str = "float32"


class RolloutConfig(GrownConfig):
    """Where and how often to act.

    Args:
        benchmark: A registered benchmark.
        tasks: Its tasks by name.
        rollouts: Initial states a task; every policy meets the same ones.
        seed: Of the initial states.
        controller: Replanning and ensembling.
        copies: Environments stepped together in one process.
        films: Rollouts a task and method that are filmed.
        max_decisions: Step limit; the benchmark's own by default.
        instructions: Pairs of a task and a sentence that policies are given there in place of the task's own (a
            wrong one, a paraphrase); of several sentences of a task, initial states take one each, in turn.
        initial_states: Numbers of the benchmark's official initial states, where it has such: then these are met, and
            ``rollouts`` does not count. By default the first so many.
        size_px: Width and height of images; the benchmark's own by default.
        quality: Of images, "fast" or "full"; the benchmark's own by default.
    """

    later: ClassVar[tuple[str, ...]] = ("initial_states", "size_px", "quality")

    benchmark: str = "metaworld"
    tasks: tuple[str, ...]
    rollouts: int = Field(default=20, ge=1)
    seed: int = 0
    controller: ControllerConfig = ControllerConfig()
    copies: int = Field(default=10, ge=1)
    films: int = 0
    max_decisions: int | None = None
    instructions: tuple[tuple[str, str], ...] = ()
    initial_states: tuple[NonNegativeInt, ...] = ()
    size_px: PositiveInt | None = None
    quality: Literal["fast", "full"] | None = None

    @property
    def episodes(self) -> int:
        """Initial states a task."""
        return len(self.initial_states) or self.rollouts


@dataclass(frozen=True, slots=True)
class RolloutResult:
    """One finished rollout."""

    label: str
    variant: int
    task: str
    index: int
    seed: int
    success: bool
    decisions: int


@dataclass(frozen=True, slots=True)
class _Job:
    config: RolloutConfig
    policies: tuple[PolicySpec, ...]
    task: str
    indices: tuple[int, ...]
    films: Path | None


@runtime_checkable
class Numbered(Protocol):
    """A benchmark with official initial states: a seed is the number of one."""

    def initial_states(self, task: str) -> int:
        """How many the task has."""
        ...


@runtime_checkable
class Restyled(Protocol):
    """A benchmark that can be seen in other images."""

    def seen(self, size_px: int | None, quality: Literal["fast", "full"] | None) -> Benchmark:
        """The same tasks in images of another size or quality; None keeps what is."""
        ...


def benchmark_of(config: RolloutConfig) -> Benchmark:
    """Where the rollouts take place.

    Raises:
        UnknownNameError: There is no such benchmark.
        UsageError: Its images are as they are.
        MissingDependencyError: It is not installed.
    """
    benchmark: Benchmark = pick(config.benchmark, BENCHMARKS, kind="benchmark")()
    if config.size_px is None and config.quality is None:
        return benchmark
    if not isinstance(benchmark, Restyled):
        raise UsageError(f"images of {config.benchmark} have one size and quality", remedy="leave both out")
    return benchmark.seen(config.size_px, config.quality)


def task_names(benchmark: Benchmark, tasks: Sequence[str]) -> tuple[str, ...]:
    """Names of tasks, each once.

    Args:
        benchmark: Whose they are.
        tasks: Names, or numbers in the benchmark's order, from 0; none takes all.

    Raises:
        UnknownNameError: There is no such task.
    """
    known = tuple(benchmark.tasks())
    for task in tasks:
        benchmark.instruction(task)
    return tuple(dict.fromkeys(known[int(task)] if task.isdecimal() else task for task in tasks)) or known


def initial_state_seeds(config: RolloutConfig, task: str) -> list[int]:
    """The seeds of a task's initial states.

    Where the benchmark has official initial states they are those' numbers; elsewhere they are disjoint from every
    recording's by construction of `amplify.rng`.

    Raises:
        UsageError: The benchmark has no such initial states.
    """
    benchmark: Benchmark = pick(config.benchmark, BENCHMARKS, kind="benchmark")()
    if isinstance(benchmark, Numbered):
        there = benchmark.initial_states(task)
        numbers = list(config.initial_states) or list(range(config.rollouts))
        if max(numbers) >= there:
            raise UsageError(
                f"{task} has too few official initial states",
                got=f"{len(numbers)}, the last of them number {max(numbers)}",
                allowed=f"0…{there - 1}",
                remedy="choose some of them with --initial-states",
            )
        return numbers
    if config.initial_states:
        raise UsageError(
            f"{config.benchmark} has no numbered initial states", remedy="use --rollouts and --seed in their place"
        )
    return [rng.derive(config.seed, "rollout", config.benchmark, task, i) for i in range(config.rollouts)]


def evaluate_policies(
    policies: Sequence[PolicySpec],
    config: RolloutConfig,
    *,
    workers: int | None = None,
    films: Path | None = None,
    finished: Path | None = None,
    device: str = "cpu",
    compile: bool = False,
) -> list[RolloutResult]:
    """Rolls every policy out from the same initial states, in parallel processes.

    Args:
        policies: What to evaluate.
        config: Where.
        workers: Processes; all cores by default.
        films: Folder for mp4 files of the first rollouts.
        finished: Folder that keeps the results of finished rollouts: those of the same weights, settings and initial
            states that are there are not done again.
        device: Where policies compute.
        compile: See `amplify.evaluate.loading.Loader`.

    Raises:
        WorkerError: A batch of rollouts took its worker with it again and again; the others are finished.
        AmplifyError: A bundle, a task or the renderer cannot be used.
    """
    computing_device(device)
    benchmark = benchmark_of(config)
    for task in config.tasks:
        benchmark.instruction(task)
    for task in config.tasks:
        initial_state_seeds(config, task)
    # All of a task before the next: a process keeps the scene that it has built.
    jobs = [
        _Job(config, tuple(policies), task, tuple(range(first, min(first + config.copies, config.episodes))), films)
        for task in config.tasks
        for first in range(0, config.episodes, config.copies)
    ]
    weights = {} if finished is None else {spec: load_bundle(spec.bundle).hash for spec in policies}
    kept = {job: None if finished is None else finished / f"{_key(job, weights)}.json" for job in jobs}
    results = [result for path in kept.values() for result in _kept(path)]
    todo = [job for job, path in kept.items() if path is None or not path.is_file()]
    lost: list[WorkerError] = []
    shared = Once(partial(Loader, device, compile=compile))
    for done in map_jobs(partial(_run, shared), todo, workers=workers, label="rollouts", unit="batch"):
        if isinstance(done.error, WorkerError):
            lost.append(done.error)
        elif done.error:
            raise done.error
        elif path := kept[done.item]:
            write_json(path, [asdict(result) for result in done.result or []])
        results += done.result or []
    if lost:
        raise lost[0]
    return sorted(results, key=lambda r: (r.label, r.variant, r.task, r.index))


def _key(job: _Job, weights: Mapping[PolicySpec, str]) -> str:
    """Hexadecimal digits that change with whatever changes the results of a batch of rollouts."""
    same = {"tasks": (), "rollouts": 1, "initial_states": (), "films": 0 if job.films is None else job.config.films}
    policies = [(weights[spec], spec.model_copy(update={"bundle": Path()}).fingerprint) for spec in job.policies]
    parts = (job.config.model_copy(update=same).fingerprint, policies, job.task, _states(job))
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]


def _states(job: _Job) -> tuple[int, ...] | tuple[tuple[int, int], ...]:
    numbers = job.config.initial_states
    return tuple((i, numbers[i]) for i in job.indices) if numbers else job.indices


def _kept(path: Path | None) -> list[RolloutResult]:
    if path is None or not path.is_file():
        return []
    try:
        return [RolloutResult(**row) for row in json.loads(path.read_text())]
    except (ValueError, TypeError) as error:
        raise DataError(f"damaged results of rollouts: {path}", got=error, remedy="remove the file") from error


def _run(shared: Once[Loader], job: _Job) -> list[RolloutResult]:
    benchmark = benchmark_of(job.config)
    seeds = [initial_state_seeds(job.config, job.task)[i] for i in job.indices]
    env = benchmark.make(job.task, len(seeds))
    told = [sentence for task, sentence in job.config.instructions if task == job.task]
    loader = shared()
    results: list[RolloutResult] = []
    try:
        for spec in job.policies:
            policy = loader.policy(spec.bundle, spec.kind, precision=spec.precision)
            film = None
            if job.films is not None and spec.variant == 0 and job.indices[0] < job.config.films:
                film = loader.film(spec.bundle, copies=job.config.films)
            success, decisions = rollout(
                env,
                policy,
                seeds,
                job.config.controller,
                film=film,
                max_decisions=job.config.max_decisions,
                instructions=[told[i % len(told)] for i in job.indices] if told else None,
            )
            if film is not None and job.films is not None:
                film.write(partial(_film_path, job.films, spec.label, job.task), success)
            results += [
                RolloutResult(spec.label, spec.variant, job.task, i, seed, bool(s), int(d))
                for i, seed, s, d in zip(job.indices, seeds, success, decisions)
            ]
    finally:
        env.close()
    return results


def _film_path(folder: Path, label: str, task: str, index: int, success: bool) -> Path:
    return folder / f"{label}-{task}-{index}-{'success' if success else 'failure'}.mp4"
