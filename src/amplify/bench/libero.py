"""How fast policies are evaluated in LIBERO, how long images and exact tracks take, beside LIBERO's own loop."""

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pydantic import NonNegativeInt, PositiveInt

from amplify.config import Config
from amplify.evaluate.acting import rollout
from amplify.jobs import map_jobs
from amplify.policy.controller import ControllerConfig
from amplify.protocols import Env
from amplify.rng import numpy_generator
from amplify.sim.ground_truth import GroundTruthTracker
from amplify.sim.libero import package
from amplify.sim.libero.config import ACTION_NAMES, SETTLE_ACTION, LiberoConfig, Quality
from amplify.sim.libero.env import LiberoEnv
from amplify.sim.libero.images import camera_images
from amplify.sim.libero.record_performance import Performance, perform, scene_states
from amplify.sim.libero.simulation import Simulation
from amplify.sim.libero.tasks import find_task, initial_states
from amplify.sim.rays import MujocoRays, rays_of
from amplify.sim.renderer import RenderSettings
from amplify.tracks.queries import uniform_grid
from amplify.types import ActionChunk, Clip, Observation, Plan

CHUNK = 16
"""Actions of a plan."""


class LiberoBench(Config):
    """What is measured.

    Args:
        suite: Of the task.
        task: Its name or number.
        episodes: Rollouts of each worker; LIBERO's own loop does one.
        decisions: Of an episode; None is the suite's step limit.
        replan_every: Decisions that one plan, and so one pair of images, serves; as a real policy would ask for them.
        workers: Processes that evaluate at a time.
        size_px: Width and height of images.
        frames: Times each image is drawn, and frames that are tracked.
        grid: Tracked points along each side.
        horizon: Frames of a window.
        seed: Of the actions.
    """

    suite: str = "libero_goal"
    task: str = "0"
    episodes: PositiveInt = 5
    decisions: PositiveInt | None = None
    replan_every: PositiveInt = 1
    workers: PositiveInt = 2
    size_px: PositiveInt = 128
    frames: PositiveInt = 20
    grid: PositiveInt = 20
    horizon: PositiveInt = 16
    seed: NonNegativeInt = 0

    @property
    def length(self) -> int:
        """Decisions of an episode."""
        return self.decisions or LiberoConfig().step_limit(find_task(self.suite, self.task).suite)

    def simulator(self, quality: Quality = "fast") -> LiberoConfig:
        """How the task is seen."""
        return LiberoConfig(
            render=RenderSettings(width_px=self.size_px, height_px=self.size_px),
            quality=quality,
            max_decisions=self.length,
        )


class RandomPlans:
    """A policy that costs nothing; an `amplify.protocols.Policy`.

    Args:
        generator: Draws the actions.
    """

    def __init__(self, generator: np.random.Generator):
        self._generator = generator

    def plan(
        self, observation: Observation, *, previous: Plan | None = None, generator: torch.Generator | None = None
    ) -> Plan:
        """Small random motions."""
        shape = (len(observation.images), CHUNK, len(ACTION_NAMES))
        actions = torch.from_numpy(self._generator.uniform(-0.3, 0.3, size=shape).astype(np.float32))
        return Plan(actions=ActionChunk(actions=actions, valid=torch.ones(shape[:2], dtype=torch.bool)), tokens=None)


@dataclass(frozen=True, slots=True)
class _Shift:
    config: LiberoBench
    number: int


def bench_libero(config: LiberoBench) -> dict[str, Any]:
    """Episodes a minute beside LIBERO's own loop, milliseconds of an image pair and of a window of tracks.

    Building a scene is on nobody's clock. LIBERO's own loop has one environment, resets it hard and draws both cameras
    at every step with its own settings, as its users do.

    Args:
        config: What is measured.

    Raises:
        MissingDependencyError: No LIBERO package is installed.
        UnknownNameError: There is no such suite or task.
        RenderingError: No OpenGL back end works.
        WorkerError: A process ended before its work was done.
    """
    task = find_task(config.suite, config.task)
    stock = _alone(_stock, config)
    started = time.perf_counter()
    shifts = [_Shift(config, number) for number in range(config.workers)]
    seconds = [_result(done) for done in map_jobs(_evaluate, shifts, workers=config.workers, label="evaluating")]
    whole = time.perf_counter() - started
    ours = sum(config.episodes / taken for taken in seconds)
    return {
        "task": task.scene,
        "decisions": config.length,
        "replan_every": config.replan_every,
        "workers": config.workers,
        "stock": {
            "episode_s": stock["reset"] + stock["steps"],
            "reset_s": stock["reset"],
            "episodes_per_min": 60 / (stock["reset"] + stock["steps"]),
        },
        "amplify": {
            "episode_s": sum(seconds) / len(seconds) / config.episodes,
            "episodes_per_min": 60 * ours,
            "with_building_s": whole,
        },
        "ratio": ours * (stock["reset"] + stock["steps"]),
        **_alone(_images_and_tracks, config),
    }


def _alone(function: Callable[[LiberoBench], dict[str, Any]], config: LiberoBench) -> dict[str, Any]:
    """What the function gives in a process of its own: OpenGL contexts of two libraries disturb each other."""
    return _result(next(iter(map_jobs(function, [config], workers=1, label=function.__name__.strip("_")))))


def _result(done: Any) -> Any:
    if done.error is not None:
        raise done.error
    return done.result


def _stock(config: LiberoBench) -> dict[str, float]:
    task = find_task(config.suite, config.task)
    size = {"camera_heights": config.size_px, "camera_widths": config.size_px}
    with package.quiet():
        env = package.environments().OffScreenRenderEnv(bddl_file_name=str(task.bddl_file), **size)
        env.seed(config.seed)
        env.reset()
    started = time.perf_counter()
    with package.quiet():
        env.reset()
    env.set_init_state(initial_states(task)[0])
    for _ in range(LiberoConfig().settle):
        env.step(np.array(SETTLE_ACTION))
    reset = time.perf_counter() - started
    actions = _actions(config)
    started = time.perf_counter()
    for action in actions:
        env.step(action)
    steps = time.perf_counter() - started
    env.close()
    return {"reset": reset, "steps": steps}


def _evaluate(shift: _Shift) -> float:
    config = shift.config
    env: Env = LiberoEnv(find_task(config.suite, config.task), config.episodes, config.simulator())
    available = len(initial_states(find_task(config.suite, config.task)))
    states = [(shift.number * config.episodes + i) % available for i in range(config.episodes)]
    env.reset(states)
    env.observe()
    policy = RandomPlans(numpy_generator(config.seed, "bench", shift.number))
    controller = ControllerConfig(replan_every=config.replan_every, ensemble=config.replan_every == 1)
    started = time.perf_counter()
    rollout(env, policy, states, controller)
    return time.perf_counter() - started


def _images_and_tracks(config: LiberoBench) -> dict[str, Any]:
    task = find_task(config.suite, config.task)
    pairs = {}
    for quality in ("full", "fast"):
        simulation = Simulation(task, config.simulator(quality))
        simulation.reset(0)
        camera_images(simulation)
        pairs[quality] = _milliseconds(functools.partial(camera_images, simulation), config.frames)
    performed = perform(simulation, 0, _actions(config)[: config.frames], _actions(config)[: config.frames])
    rays = {"tracks_ms_per_window": rays_of, "tracks_by_mujocos_rays_ms_per_window": MujocoRays}
    tracks = {
        name: _tracks(config, simulation, performed, GroundTruthTracker(rays=kind)) for name, kind in rays.items()
    }
    return {"frame_pair_ms": pairs, **tracks}


def _tracks(
    config: LiberoBench, simulation: Simulation, performed: Performance, tracker: GroundTruthTracker
) -> dict[str, dict[str, float]]:
    scene, grid = scene_states(simulation, performed.shown(0, config.frames)), uniform_grid(config.grid)
    frames = np.zeros((config.frames, config.size_px, config.size_px, 3), dtype=np.uint8)
    taken = {}
    for view in simulation.config.camera_names:
        clip = Clip(frames=frames, fps=float(simulation.config.fps), camera=view, scene=scene)
        tracker.track(clip, grid, horizon=config.horizon)
        once = _milliseconds(lambda clip=clip: tracker.track(clip, grid, horizon=config.horizon), 1)
        taken[view] = {kind: value / config.frames for kind, value in once.items()}
    return taken


def _milliseconds(run: Callable[[], object], times: int) -> dict[str, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(times):
        run()
    return {
        "wall": (time.perf_counter() - wall) / times * 1e3,
        "cpu": (time.process_time() - cpu) / times * 1e3,
    }


def _actions(config: LiberoBench) -> np.ndarray:
    return numpy_generator(config.seed, "bench").uniform(-0.3, 0.3, size=(config.length, len(ACTION_NAMES)))
