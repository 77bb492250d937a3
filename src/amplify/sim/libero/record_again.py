"""Recorded episodes shown to other cameras, larger, or with distances: from their states, without simulating anew."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.numpy import save_file

from amplify.config import Config
from amplify.data.dataset import Dataset, DatasetSpec, DatasetWriter, Episode
from amplify.data.files import written_aside
from amplify.data.remote import located
from amplify.errors import DataError, pick
from amplify.jobs import map_jobs
from amplify.sim.gl import ensure_gl
from amplify.sim.libero.bodies import BODIES
from amplify.sim.libero.config import CAMERAS, LiberoConfig, Quality
from amplify.sim.libero.record_performance import REMEDY, Shown, scene_states
from amplify.sim.libero.record_render import depths_of, images_of
from amplify.sim.libero.simulation import Simulation
from amplify.sim.libero.tasks import find_scene
from amplify.sim.renderer import CameraSettings, RenderSettings

DEPTH_PATH = "sidecars/depth/episode-{index:06d}.safetensors"


class RenderConfig(Config):
    """What is seen of recorded episodes.

    Args:
        cameras: The views; None for those of the recording.
        render: Image size.
        quality: Of the pictures.
        depth: Whether distances are written too, as a sidecar.
    """

    cameras: tuple[CameraSettings, ...] | None = None
    render: RenderSettings = RenderSettings()
    quality: Quality = "fast"
    depth: bool = False


@dataclass(frozen=True, slots=True)
class _Job:
    config: LiberoConfig
    source: Dataset
    out: Path
    spec: DatasetSpec
    index: int

    @property
    def key(self) -> str:
        """Names the episode for resuming; changes with what is seen and with the recording."""
        return f"{self.config.fingerprint}-{self.source.fingerprint(self.index)}-{self.index:06d}"


def render_dataset(config: RenderConfig, source: Path, out: Path, workers: int | None = None) -> dict[str, Any]:
    """A dataset at ``out`` of the same episodes with other images; an interrupted run is taken up again.

    Args:
        config: What is seen.
        source: Recorded by `amplify.sim.libero.record` with its states.
        out: The new dataset's folder.
        workers: Processes; all cores by default.

    Returns:
        The dataset, its number of episodes, its cameras, what was done now.

    Raises:
        DataError: The source has no states of LIBERO, or the folder holds other data.
        WorkerError: No worker survived some episode.
        RenderingError: No OpenGL back end works.
    """
    ensure_gl()
    found = Dataset.open(source)
    if found.spec.robot_type not in BODIES:
        raise DataError(
            f"{source} was not recorded in LIBERO", got=found.spec.robot_type, allowed=", ".join(BODIES), remedy=REMEDY
        )
    views = config.cameras or tuple(pick(name, CAMERAS, kind="camera") for name in found.spec.cameras)
    settings = {"render": config.render, "quality": config.quality, "body": found.spec.robot_type}
    simulator = LiberoConfig.model_validate({"cameras": views, **settings})
    spec = DatasetSpec(
        fps=found.spec.fps,
        cameras=simulator.camera_names,
        width=config.render.width_px,
        height=config.render.height_px,
        proprio_names=found.spec.proprio_names,
        action_names=found.spec.action_names,
        robot_type=found.spec.robot_type,
    )
    writer = DatasetWriter(out, spec)
    jobs = [_Job(simulator, found.only(episode.index), out, spec, episode.index) for episode in found.episodes]
    keys = [job.key for job in jobs]
    new = [] if writer.finished else [job for job in jobs if job.key not in writer.staged()]
    _run(_render, new, workers, "rendering")
    writer.finalize(keys)
    without = [job for number, job in enumerate(jobs) if config.depth and not _depth_path(out, number).is_file()]
    numbers = {job.key: number for number, job in enumerate(jobs)}
    _run(functools.partial(_write_depth, numbers), without, workers, "distances")
    return {
        "dataset": str(out),
        "episodes": len(keys),
        "cameras": ", ".join(spec.cameras),
        "rendered_now": len(new),
        "depth_now": len(without),
    }


def _run(function: Callable[[_Job], None], jobs: list[_Job], workers: int | None, label: str) -> None:
    for done in map_jobs(function, jobs, workers=workers, label=label, unit="episode"):
        if done.error is not None:
            raise done.error


def _render(job: _Job) -> None:
    simulation, shown = _simulation_and_states(job)
    episode = next(episode for episode in job.source.episodes if episode.index == job.index)
    DatasetWriter(job.out, job.spec).write_episode(
        job.key,
        Episode(
            instruction=episode.instruction,
            frames=images_of(simulation, shown),
            proprio=job.source.proprio(job.index),
            actions=job.source.actions(job.index),
            scene=scene_states(simulation, shown),
            info=episode.info,
        ),
    )


def _write_depth(numbers: dict[str, int], job: _Job) -> None:
    simulation, shown = _simulation_and_states(job)
    with written_aside(_depth_path(job.out, numbers[job.key])) as aside:
        save_file(depths_of(simulation, shown), aside)


def _depth_path(out: Path, number: int) -> Path:
    return located(out) / DEPTH_PATH.format(index=number)


def _simulation_and_states(job: _Job) -> tuple[Simulation, Shown]:
    scene = job.source.scene(job.index)
    if scene is None:
        raise DataError(f"episode {job.index} of {job.source.root} has no states", remedy=REMEDY)
    # Frozen by its configuration and so hashable, which pyright does not see.
    simulation = _simulation(scene.scene, job.config)  # pyright: ignore[reportArgumentType]
    return simulation, Shown.of(scene, simulation.model)


@functools.lru_cache(maxsize=2)
def _simulation(scene: str, config: LiberoConfig) -> Simulation:
    simulation = Simulation(find_scene(scene), config)
    # LIBERO hides its markers at a reset.
    simulation.reset(0)
    return simulation
