"""``amplify record``: scripted experts of a simulator as a LeRobot dataset, and what they saw rendered anew."""

from pathlib import Path
from typing import Annotated, Any

import tyro
from pydantic import ValidationError

from amplify.errors import UsageError, pick
from amplify.jobs import distributed


def metaworld(
    *,
    tasks: tuple[str, ...],
    out: Path,
    episodes: int = 30,
    camera: tuple[str, ...] = ("corner2",),
    body: str = "sawyer",
    size: int = 128,
    action_repeat: int = 3,
    max_decisions: int = 80,
    noise: float = 0.2,
    seed: int = 0,
    workers: int | None = None,
    play: bool = False,
    actions: bool = True,
    scene: bool = True,
    strict: bool = False,
    ray: str | None = None,
) -> dict[str, Any]:
    """Records Meta-World episodes as a LeRobot dataset; the same command again goes on where it stopped.

    Args:
        tasks: Task names ("drawer-open") or numbers 0…49 in alphabetical order.
        out: Folder of the dataset.
        episodes: Successful episodes a task.
        camera: One or more of Meta-World's cameras.
        body: "sawyer", or "hand" for the same episodes with the robot unseen and a human-like hand in its place.
        size: Side of the square images, in pixels.
        action_repeat: Simulator steps (80 a second) for each action and frame.
        max_decisions: Actions after which an attempt has failed; with --play, the length of an episode.
        noise: Standard deviation of the noise on executed actions; stored actions are clean.
        seed: Another seed gives other initial states and noise.
        workers: Processes; all cores by default.
        play: Random waypoints without a goal in place of experts.
        actions: --no-actions writes videos only: no action and no proprioception columns.
        scene: --no-scene leaves out the poses that ground-truth tracks need.
        strict: Fail if a task has fewer successful episodes than asked for, or a worker was lost for good.
        ray: Address of a Ray cluster to run on ("local", "auto", "host:port", "ray://host:port").
    """
    from amplify.sim.gl import gl_context

    gl_context()
    from amplify.sim.metaworld.config import CAMERAS, MetaWorldConfig
    from amplify.sim.metaworld.tasks import task_name
    from amplify.sim.record import RecordConfig, record
    from amplify.sim.renderer import RenderSettings

    cameras = tuple(pick(name, CAMERAS, kind="camera") for name in camera)
    names = tuple(task_name(task) for task in tasks)
    try:
        config = RecordConfig(
            tasks=names,
            episodes=episodes,
            seed=seed,
            play=play,
            noise=noise,
            actions=actions,
            scene=scene,
            simulator=MetaWorldConfig(
                cameras=cameras,
                render=RenderSettings(width_px=size, height_px=size),
                action_repeat=action_repeat,
                max_decisions=max_decisions,
                body=body,
            ),
        )
    except ValidationError as error:
        raise _wrong_option(error) from error
    with distributed(ray):
        return record(config, out, workers, strict=strict)


def libero(
    suite: Annotated[str, tyro.conf.Positional],
    *,
    out: Path,
    tasks: tuple[str, ...] = (),
    episodes: int = 50,
    initial_states: tuple[str, ...] = (),
    camera: tuple[str, ...] = ("agentview", "eye_in_hand"),
    size: int = 128,
    render_quality: str = "fast",
    body: str = "panda",
    noise: float = 0.08,
    attempts: int = 5,
    patience: int = 3,
    seed: int = 0,
    actions: bool = True,
    scene: bool = True,
    format: str = "lerobot",
    workers: int | None = None,
    strict: bool = False,
    ray: str | None = None,
) -> dict[str, Any]:
    """Records a scripted oracle in LIBERO's tasks; the same command again goes on where it stopped.

    Args:
        suite: "libero_object", "libero_spatial", "libero_goal", "libero_10", "libero_90" or a variant of LIBERO-PRO.
        out: Folder of the dataset.
        tasks: Names, or numbers and ranges of them ("0-4"), in LIBERO's order; all of the suite by default.
        episodes: Successful episodes a task.
        initial_states: Numbers and ranges of official initial states ("0-9"), which episodes take in turn; all of a
            task by default.
        camera: One or more of the scene's cameras.
        size: Side of the square images, in pixels.
        render_quality: "fast" (simplified meshes, no reflections) or "full" (LIBERO's own pictures).
        body: "panda", "ur5e", "iiwa", or "hand" for the Panda's gripper without an arm.
        noise: Standard deviation of what disturbs the hand, in action units; stored actions are those before it,
            but for libero-hdf5.
        attempts: Simulated attempts at an episode before it counts as failed.
        patience: A task is given up when so many episodes in a row have failed.
        seed: Another seed gives other performances from the same initial states.
        actions: --no-actions writes videos only: no action and no proprioception columns.
        scene: --no-scene leaves out states and poses, which ground-truth tracks and rendering anew need.
        format: "lerobot", or "libero-hdf5" for files in LIBERO's own layout.
        workers: Processes; all cores by default.
        strict: Fail if a task has fewer successful episodes than asked for, or a worker was lost for good.
        ray: Address of a Ray cluster to run on ("local", "auto", "host:port", "ray://host:port").
    """
    from amplify.cli.numbers import names_or_numbers, numbers
    from amplify.sim.gl import gl_context

    gl_context()
    from amplify.sim.libero.config import CAMERAS, LiberoConfig
    from amplify.sim.libero.oracle.config import OracleConfig
    from amplify.sim.libero.record import RecordConfig, record
    from amplify.sim.renderer import RenderSettings

    cameras = tuple(pick(name, CAMERAS, kind="camera") for name in camera)
    try:
        simulator = {
            "cameras": cameras,
            "render": RenderSettings(width_px=size, height_px=size),
            "quality": render_quality,
            "body": body,
        }
        settings = {
            "suite": suite,
            "tasks": names_or_numbers(tasks, option="--tasks") or None,
            "episodes": episodes,
            "initial_states": numbers(initial_states, option="--initial-states"),
            "seed": seed,
            "patience": patience,
            "actions": actions,
            "scene": scene,
            "format": format,
            "oracle": OracleConfig(noise=noise, attempts=attempts),
            "simulator": LiberoConfig.model_validate(simulator),
        }
        config = RecordConfig.model_validate(settings)
    except ValidationError as error:
        raise _wrong_option(error) from error
    with distributed(ray):
        return record(config, out, workers, strict=strict)


def render(
    dataset: Annotated[Path, tyro.conf.Positional],
    *,
    out: Path,
    camera: tuple[str, ...] = (),
    size: int = 128,
    render_quality: str = "fast",
    depth: bool = False,
    workers: int | None = None,
    ray: str | None = None,
) -> dict[str, Any]:
    """Shows recorded LIBERO episodes to other cameras, or larger: a dataset with the same actions and states.

    Args:
        dataset: Recorded by "amplify record libero" with its states.
        out: Folder of the new dataset; the same command again goes on where it stopped.
        camera: One or more of the scene's cameras; those of the dataset by default.
        size: Side of the square images, in pixels.
        render_quality: "fast" (simplified meshes, no reflections) or "full" (LIBERO's own pictures).
        depth: Also writes sidecars/depth/episode-NNNNNN.safetensors: for each camera uint16 millimetres (t, h, w).
        workers: Processes; all cores by default.
        ray: Address of a Ray cluster to run on.
    """
    from amplify.sim.gl import gl_context

    gl_context()
    from amplify.sim.libero.config import CAMERAS
    from amplify.sim.libero.record_again import RenderConfig, render_dataset
    from amplify.sim.renderer import RenderSettings

    try:
        settings = {
            "cameras": tuple(pick(name, CAMERAS, kind="camera") for name in camera) or None,
            "render": RenderSettings(width_px=size, height_px=size),
            "quality": render_quality,
            "depth": depth,
        }
        config = RenderConfig.model_validate(settings)
    except ValidationError as error:
        raise _wrong_option(error) from error
    with distributed(ray):
        return render_dataset(config, dataset, out, workers)


def _wrong_option(error: ValidationError) -> UsageError:
    first = error.errors()[0]
    setting = str(first["loc"][-1]) if first["loc"] else "format"
    option = OPTIONS.get(setting, setting).replace("_", "-")
    return UsageError(f"--{option}: {first['msg']}", got=first["input"], remedy="see --help")


OPTIONS = {"width_px": "size", "height_px": "size", "quality": "render-quality", "cameras": "camera"}
"""Settings whose options have other names."""
