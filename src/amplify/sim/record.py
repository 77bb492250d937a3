"""Recordings of scripted experts, or of play, as a LeRobot dataset; resumable, over several processes.

Which episodes are kept depends on the settings alone, never on the number of workers or on interruptions: attempts of
a task are made in rounds, each round as many as are still missing, and the failed ones are left out.
"""

import functools
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt, field_validator

from amplify.config import Config
from amplify.data.dataset import DatasetSpec, DatasetWriter, Episode
from amplify.errors import DataError, WorkerError
from amplify.jobs import map_jobs
from amplify.rng import derive, numpy_generator
from amplify.sim.gl import ensure_gl
from amplify.sim.metaworld.config import ACTION_NAMES, PROPRIO_NAMES, MetaWorldConfig
from amplify.sim.metaworld.episode import perform
from amplify.sim.metaworld.experts import RandomWaypoints, ScriptedExpert
from amplify.sim.metaworld.simulation import Simulation
from amplify.sim.metaworld.tasks import INSTRUCTIONS, task_name

ATTEMPTS_PER_EPISODE = 3
"""A task's recording is given up after this many attempts for each episode asked for."""

PLAY_INSTRUCTION = "play"
"""The task text of play, which asks for nothing: forward dynamics must not learn it as a goal."""


class RecordConfig(Config):
    """What is recorded.

    Args:
        tasks: Names or numbers; stored as short names without repeats.
        episodes: Successful episodes a task.
        seed: All initial states and noise derive from it.
        play: Random waypoints in the tasks' scenes in place of experts.
        noise: Standard deviation of the exploration noise on the executed hand motion, in action units; labels are
            clean.
        after_success: Decisions that are still recorded after success.
        actions: Whether actions and proprioception are stored; without, the dataset has no such columns.
        scene: Whether the pose of everything is stored, for exact tracks.
        simulator: Cameras, image size, action repeat, episode length, whose hand is seen.
    """

    tasks: tuple[str, ...]
    episodes: PositiveInt = 30
    seed: int = 0
    play: bool = False
    noise: NonNegativeFloat = 0.2
    after_success: NonNegativeInt = 6
    actions: bool = True
    scene: bool = True
    simulator: MetaWorldConfig = MetaWorldConfig()

    @field_validator("tasks")
    @classmethod
    def _short_names(cls, tasks: tuple[str, ...]) -> tuple[str, ...]:
        if not tasks:
            raise ValueError("at least one task is needed")
        return tuple(dict.fromkeys(task_name(task) for task in tasks))

    @property
    def dataset_spec(self) -> DatasetSpec:
        """What every episode of the dataset has."""
        return DatasetSpec(
            fps=self.simulator.fps,
            cameras=self.simulator.camera_names,
            width=self.simulator.render.width_px,
            height=self.simulator.render.height_px,
            proprio_names=PROPRIO_NAMES if self.actions else None,
            action_names=ACTION_NAMES if self.actions else None,
            robot_type=self.simulator.body,
        )


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at one episode."""

    config: RecordConfig
    out: Path
    task: str
    number: int

    @property
    def key(self) -> str:
        """Names the episode for resuming; begins with the settings' fingerprint, so that others are recognised."""
        return f"{self.config.fingerprint}-{self.task}-{self.number:05d}"

    @property
    def seed(self) -> int:
        """Fixes the initial state."""
        return derive(self.config.seed, "play" if self.config.play else "record", self.task, self.number)


def record(config: RecordConfig, out: Path, workers: int | None = None, *, strict: bool = False) -> dict[str, Any]:
    """A dataset at ``out``; what an interrupted run of the same settings left there is kept.

    Args:
        config: What to record.
        out: The dataset's folder.
        workers: Processes; all cores by default.
        strict: Whether too few successful episodes of one task are an error.

    Returns:
        Counts of kept and failed episodes, in all and a task; attempts that no worker survived.

    Raises:
        DataError: The folder holds other data; no expert succeeded; or, if strict, one did too rarely.
        RenderingError: No OpenGL back end works.
    """
    started = time.monotonic()
    ensure_gl()
    writer = DatasetWriter(out, config.dataset_spec)
    staged = writer.staged()
    foreign = [key for key in staged if not key.startswith(f"{config.fingerprint}-")]
    if foreign:
        raise DataError(
            f"{out} holds a recording with other settings",
            got=config.model_dump_json(),
            remedy="choose another folder with --out, or remove this one",
        )
    recorded, lost = 0, dict[str, str]()
    if not writer.finished:
        recorded, lost = _attempt_in_rounds(config, out, workers, staged)
        if lost and strict:
            raise DataError(
                "attempts were set aside", got=lost, remedy="run the same command again, or leave --strict out"
            )
        kept = [key for task in config.tasks for key in _keys(task, writer.staged())]
        _check_enough(config, kept, strict)
        writer.finalize(kept)
    tasks = {task: _count(config, task, writer.staged()) for task in config.tasks}
    seconds = time.monotonic() - started
    return {
        "dataset": str(out),
        "episodes": sum(count["episodes"] for count in tasks.values()),
        "failed": sum(count["failed"] for count in tasks.values()),
        "recorded_now": recorded,
        "tasks": tasks,
        "set_aside": lost,
        "seconds": round(seconds, 2),
        "episodes_per_s": round(recorded / seconds, 2),
    }


def _attempt_in_rounds(
    config: RecordConfig, out: Path, workers: int | None, staged: frozenset[str]
) -> tuple[int, dict[str, str]]:
    """Number of episodes recorded now, and by their keys the attempts that no worker survived."""
    numbers = {task: [_number(key) for key in _keys(task, staged)] for task in config.tasks}
    attempted = dict.fromkeys(config.tasks, 0)
    recorded, lost = 0, dict[str, str]()
    while True:
        items = []
        for task in config.tasks:
            missing = config.episodes - sum(number < attempted[task] for number in numbers[task])
            end = min(attempted[task] + missing, ATTEMPTS_PER_EPISODE * config.episodes)
            items += [Attempt(config, out, task, number) for number in range(attempted[task], end)]
            attempted[task] = end
        if not items:
            return recorded, lost
        items = [item for item in items if item.number not in numbers[item.task]]
        for done in map_jobs(record_attempt, items, workers=workers, label="recording", unit="episode"):
            if isinstance(done.error, WorkerError):
                lost[done.item.key] = done.error.what
            elif done.error is not None:
                raise done.error
            if done.result:
                numbers[done.item.task].append(done.item.number)
                recorded += 1


def record_attempt(attempt: Attempt) -> bool:
    """Whether the attempt succeeded; if so, its episode is staged."""
    config = attempt.config
    # Frozen by its configuration and so hashable, which pyright does not see.
    simulation = _simulation(attempt.task, config.simulator)  # pyright: ignore[reportArgumentType]
    simulation.reset(attempt.seed)
    generator = numpy_generator(attempt.seed, "actor")
    actor = RandomWaypoints(generator) if config.play else ScriptedExpert(attempt.task)
    performance = perform(
        simulation,
        actor,
        noise=config.noise,
        generator=generator,
        decisions=config.simulator.max_decisions,
        after_success=None if config.play else config.after_success,
    )
    if not (performance.success or config.play):
        return False
    names = config.simulator.camera_names
    episode = Episode(
        instruction=PLAY_INSTRUCTION if config.play else INSTRUCTIONS[attempt.task],
        frames={name: performance.images[:, view] for view, name in enumerate(names)},
        proprio=performance.proprio if config.actions else None,
        actions=performance.actions if config.actions else None,
        scene=performance.scene if config.scene else None,
        info={"task": attempt.task, "seed": attempt.seed, "noise": config.noise, "attempt": attempt.number},
    )
    DatasetWriter(attempt.out, config.dataset_spec).write_episode(attempt.key, episode)
    return True


@functools.lru_cache(maxsize=2)
def _simulation(task: str, config: MetaWorldConfig) -> Simulation:
    return Simulation(task, config)


def _keys(task: str, keys: frozenset[str]) -> list[str]:
    return sorted(key for key in keys if re.fullmatch(rf"[0-9a-f]+-{re.escape(task)}-\d+", key))


def _number(key: str) -> int:
    return int(key.rsplit("-", 1)[1])


def _count(config: RecordConfig, task: str, keys: frozenset[str]) -> dict[str, int]:
    numbers = [_number(key) for key in _keys(task, keys)]
    # The last round of a complete task has no failures, so that its last attempt is a kept one.
    complete = len(numbers) >= config.episodes
    attempts = max(numbers) + 1 if complete else ATTEMPTS_PER_EPISODE * config.episodes
    return {"episodes": len(numbers), "failed": attempts - len(numbers)}


def _check_enough(config: RecordConfig, kept: Sequence[str], strict: bool) -> None:
    counts = {task: len(_keys(task, frozenset(kept))) for task in config.tasks}
    short = {task: count for task, count in counts.items() if count < config.episodes}
    if short and (strict or not kept):
        listed = ", ".join(f"{task}: {count} of {config.episodes}" for task, count in short.items())
        raise DataError(
            f"too few successful episodes in {ATTEMPTS_PER_EPISODE * config.episodes} attempts a task",
            got=listed,
            remedy="use less --noise, a smaller --action-repeat, or more --max-decisions",
        )
