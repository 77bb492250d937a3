"""``amplify record metaworld``: scripted experts or play as a LeRobot dataset."""

from pathlib import Path
from typing import Any

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
        first = error.errors()[0]
        setting = str(first["loc"][-1])
        option = {"width_px": "size", "height_px": "size"}.get(setting, setting).replace("_", "-")
        raise UsageError(f"--{option}: {first['msg']}", got=first["input"], remedy="see --help") from error
    with distributed(ray):
        return record(config, out, workers, strict=strict)
