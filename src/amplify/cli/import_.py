"""``amplify import …``: what others recorded, as datasets, and what others trained, as bundles."""

from pathlib import Path
from typing import Any, Literal

from tyro.conf import Positional

from amplify.errors import DataError, UsageError
from amplify.jobs import distributed

Fit = Literal["crop", "pad", "stretch"]


def videos(
    source: Positional[Path],
    /,
    *,
    out: Path,
    fps: int | None = None,
    size: str | None = None,
    fit: Fit = "crop",
    cameras: tuple[str, ...] = (),
    instructions: Path | None = None,
    segment_s: float | None = None,
    robot_type: str = "unknown",
    limit: int | None = None,
    workers: int | None = None,
    ray: str | None = None,
    strict: bool = False,
) -> dict[str, Any]:
    """Makes a dataset without actions of a folder of videos; the same command again goes on where it stopped.

    Any container and codec that FFmpeg reads; sound is left out, phones' rotation is applied, a variable frame rate
    becomes a constant one. The instruction is what a file's name spells ("open_the_drawer_07.mp4"), or the folder's.

    Args:
        source: A folder, with all folders in it; or one video.
        out: Folder of the dataset.
        fps: Frames per second; by default the most common rate, at most 30.
        size: "128" (a square) or "640x480", in pixels; by default the most common size, its shorter side at most 480.
        fit: How other shapes become that one: cut the sides off, add black, or change the aspect.
        cameras: Which files are whose, as in --cameras front=_front side=_side (endings of names), front=front_
            (beginnings), front=front/ (folders) or "front=*/front"; episodes that lack a camera are set aside.
        instructions: CSV (file,instruction) or JSON ({"file": "instruction"}) in place of the names.
        segment_s: Cut long videos into episodes of so many seconds.
        robot_type: Who acts, as the dataset calls it.
        limit: Import the first so many only.
        workers: Processes; all cores by default.
        ray: Address of a Ray cluster to run on ("local", "auto", "host:port", "ray://host:port").
        strict: Whether one video that cannot be used ends the command.
    """
    from amplify.data.importers.engine import run_import
    from amplify.data.importers.options import size_of
    from amplify.data.importers.videos import VideosConfig, plan_videos

    config = VideosConfig(
        fps=fps,
        size=size_of(size),
        fit=fit,
        cameras=cameras,
        instructions=instructions,
        segment_s=segment_s,
        robot_type=robot_type,
    )
    plan = plan_videos(source, config, workers=workers).limited(limit)
    with distributed(ray):
        return run_import(plan, out, workers=workers, strict=strict)


def libero(
    source: Positional[Path],
    /,
    *,
    out: Path,
    cameras: tuple[str, ...] = (),
    proprio: tuple[str, ...] = ("joint_states", "gripper_states"),
    size: str | None = None,
    fit: Fit = "crop",
    actions: bool = True,
    aligned: bool = True,
    fps: int = 20,
    bddl: Path | None = None,
    limit: int | None = None,
    workers: int | None = None,
    ray: str | None = None,
    strict: bool = False,
) -> dict[str, Any]:
    """Makes a dataset of LIBERO's HDF5 demonstrations; the same command again goes on where it stopped.

    Images are turned upright. The files store an image in the row of the action that led to it; here it is paired with
    the action that followed, unless --no-aligned asks for the rows as they are.

    Args:
        source: A task's file, a suite's folder, or a folder of suites.
        out: Folder of the dataset.
        cameras: agentview, eye_in_hand; all that the files have by default.
        proprio: Arrays of obs that make up proprioception: joint_states, gripper_states, ee_pos, ee_ori, ee_states.
        size: "128" (a square) or "640x480", in pixels; as stored by default.
        fit: How other shapes become that one: cut the sides off, add black, or change the aspect.
        actions: --no-actions takes videos only: no action and no proprioception.
        aligned: --no-aligned pairs rows as they are stored.
        fps: Control steps per second.
        bddl: Folder of BDDL files whose sentences count; by default those in the demonstrations' attributes, or else
            what a file's name spells.
        limit: Import the first so many only.
        workers: Processes; all cores by default.
        ray: Address of a Ray cluster to run on ("local", "auto", "host:port", "ray://host:port").
        strict: Whether one demonstration that cannot be used ends the command.
    """
    from amplify.data.importers.engine import run_import
    from amplify.data.importers.libero import LiberoConfig, plan_libero
    from amplify.data.importers.options import size_of

    config = LiberoConfig(
        cameras=cameras,
        proprio=proprio,
        size=size_of(size),
        fit=fit,
        actions=actions,
        aligned=aligned,
        fps=fps,
    )
    plan = plan_libero(source, config, bddl=bddl).limited(limit)
    with distributed(ray):
        return run_import(plan, out, workers=workers, strict=strict)


def robomimic(
    source: Positional[Path],
    /,
    *,
    out: Path,
    cameras: tuple[str, ...] = (),
    proprio: tuple[str, ...] = (),
    filter: str | None = None,
    instruction: str | None = None,
    size: str | None = None,
    fit: Fit = "crop",
    fps: int | None = None,
    upside_down: bool = False,
    actions: bool = True,
    limit: int | None = None,
    workers: int | None = None,
    ray: str | None = None,
    strict: bool = False,
) -> dict[str, Any]:
    """Makes a dataset of demonstrations in robomimic's HDF5 layout (robosuite, MimicGen, RoboCasa).

    The files must hold images: robomimic's dataset_states_to_obs.py renders them. The same command again goes on where
    it stopped.

    Args:
        source: A file, or a folder of files.
        out: Folder of the dataset.
        cameras: Keys of obs, as in agentview_image; all that are images by default.
        proprio: Keys of obs that make up proprioception; robot0_eef_pos, robot0_eef_quat and robot0_gripper_qpos by
            default.
        filter: A list of demonstrations that the file names, as in train or valid; all by default.
        instruction: The sentence for all; by default what the file says, or the environment's name in words.
        size: "128" (a square) or "640x480", in pixels; as stored by default.
        fit: How other shapes become that one: cut the sides off, add black, or change the aspect.
        fps: Frames per second; by default the controller's rate in env_args, or 20.
        upside_down: Turn images over that are stored as OpenGL has them.
        actions: --no-actions takes videos only: no action and no proprioception.
        limit: Import the first so many only.
        workers: Processes; all cores by default.
        ray: Address of a Ray cluster to run on ("local", "auto", "host:port", "ray://host:port").
        strict: Whether one demonstration that cannot be used ends the command.
    """
    from amplify.data.importers.engine import run_import
    from amplify.data.importers.options import size_of
    from amplify.data.importers.robomimic import RobomimicConfig, plan_robomimic

    config = RobomimicConfig(
        cameras=cameras,
        proprio=proprio,
        filter=filter,
        instruction=instruction,
        size=size_of(size),
        fit=fit,
        fps=fps,
        upside_down=upside_down,
        actions=actions,
    )
    plan = plan_robomimic(source, config).limited(limit)
    with distributed(ray):
        return run_import(plan, out, workers=workers, strict=strict)


def reference_tracks(
    source: Positional[Path],
    /,
    *,
    tracks: Path,
    out: Path,
    method: str | None = None,
    tracker: str = "cotracker2",
    cameras: tuple[str, ...] = (),
    actions: bool = True,
    aligned: bool = True,
    limit: int | None = None,
    workers: int | None = None,
    ray: str | None = None,
    strict: bool = False,
) -> dict[str, Any]:
    """Makes a dataset of LIBERO's demonstrations with the tracks that the reference implementation computed.

    The tracks become a sidecar (tracks-cotracker2-20x20-h16), as if 'amplify track' had made them: training takes it
    with --tracks. The same command again goes on where it stopped.

    Args:
        source: A task's file, a suite's folder, or a folder of suites.
        tracks: Folder with <suite>/<method>/<task>_demo/demo_<i>.hdf5 (the reference's preprocessed_data).
        out: Folder of the dataset.
        method: Which tracks, as in uniform_400_reinit_16; needed where there are several.
        tracker: Who made them, for the sidecar's name.
        cameras: agentview, eye_in_hand; all that the files have by default.
        actions: --no-actions takes videos and tracks only.
        aligned: --no-aligned pairs rows as they are stored.
        limit: Import the first so many only.
        workers: Processes; all cores by default.
        ray: Address of a Ray cluster to run on ("local", "auto", "host:port", "ray://host:port").
        strict: Whether one demonstration that cannot be used ends the command.
    """
    from amplify.data.importers.engine import run_import
    from amplify.data.importers.libero import LiberoConfig, plan_libero
    from amplify.data.importers.tracked import add_tracks, plan_reference_tracks

    demonstrations = plan_libero(source, LiberoConfig(cameras=cameras, actions=actions, aligned=aligned))
    plan = plan_reference_tracks(demonstrations, tracks, method).limited(limit)
    with distributed(ray):
        summary = run_import(plan, out, workers=workers, strict=strict)
        added = add_tracks(out, tracks, tracker=tracker, workers=workers)
    if strict and added["tracks_set_aside"]:
        raise DataError(f"tracks of {out} could not all be written", got=added["tracks_set_aside"])
    return summary | added


def lerobot(
    source: Positional[Path],
    /,
    *,
    out: Path | None = None,
    episodes: str | None = None,
    tasks: tuple[str, ...] = (),
    cameras: tuple[str, ...] = (),
    size: str | None = None,
    fit: Fit = "crop",
    state: tuple[str, ...] = ("observation.state",),
    action: tuple[str, ...] = ("action",),
    actions: bool = True,
    rewrite: bool = False,
    limit: int | None = None,
    workers: int | None = None,
    ray: str | None = None,
    strict: bool = False,
) -> dict[str, Any]:
    """Makes a dataset of a LeRobot dataset of version 2.0, 2.1 or 3.0, or of a part of it.

    A version 3.0 of which nothing is to be changed is used where it is: nothing is written, its folder can be given to
    every command. The same command again goes on where it stopped.

    Args:
        source: Folder of the dataset, the one that holds meta/info.json.
        out: Folder of the dataset that is made; not needed where the source is used as it is.
        episodes: Numbers, as in 0:50,60 (0 to 49, and 60); all by default.
        tasks: Instructions, in which * stands for anything; all by default.
        cameras: Names without "observation.images."; all by default.
        size: "128" (a square) or "640x480", in pixels; as stored by default.
        fit: How other shapes become that one: cut the sides off, add black, or change the aspect.
        state: Features that make up proprioception, in order.
        action: Features that make up the action, in order.
        actions: --no-actions takes videos only: no action and no proprioception.
        rewrite: Write a dataset even where the source could be used as it is; random frames are then found faster.
        limit: Import the first so many only.
        workers: Processes; all cores by default.
        ray: Address of a Ray cluster to run on ("local", "auto", "host:port", "ray://host:port").
        strict: Whether one episode that cannot be used ends the command.
    """
    from amplify.data.importers.engine import run_import
    from amplify.data.importers.lerobot import LeRobotConfig, open_any, plan_lerobot
    from amplify.data.importers.options import numbers_of, size_of

    numbers = numbers_of(episodes)
    config = LeRobotConfig(
        episodes=None if numbers is None else tuple(sorted(numbers)),
        tasks=tasks,
        cameras=cameras,
        size=size_of(size),
        fit=fit,
        state=state,
        action=action,
        actions=actions,
    )
    dataset, info = open_any(source, columns=actions)
    if info["codebase_version"] == "v3.0" and config.changes_nothing and limit is None and not rewrite:
        return _in_place(dataset, strict=strict)
    if out is None:
        raise UsageError("--out is needed: this writes a dataset", allowed="a new folder")
    plan = plan_lerobot(dataset, info, config).limited(limit)
    with distributed(ray):
        return run_import(plan, out, workers=workers, strict=strict)


def _in_place(dataset: Any, *, strict: bool) -> dict[str, Any]:
    set_aside = {f"episode {problem.episode_index}": problem.reason for problem in dataset.problems}
    if strict and set_aside:
        raise DataError(f"{len(set_aside)} episodes of {dataset.root} cannot be used", got=set_aside)
    return {
        "dataset": str(dataset.root),
        "note": "version 3.0 and nothing to change: use the folder as it is; nothing was written",
        "episodes": len(dataset.episodes),
        "skipped": len(set_aside),
        "set_aside": set_aside,
    }


def reference(checkpoints: Positional[tuple[Path, ...]], /, *, out: Path) -> dict[str, Any]:
    """Turns checkpoints of the reference implementation into a bundle with the same function.

    Only tensors and plain settings are read: a file that asks for anything else is refused. Sizes are those in the
    files. A bundle of one or two stages holds what there is.

    Args:
        checkpoints: Its bundled checkpoint, or those of its stages (tokenizer, forward, inverse dynamics) in any order.
        out: The bundle's folder.
    """
    from amplify.reference.importer import import_reference

    return import_reference(checkpoints, out)
