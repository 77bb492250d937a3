"""``amplify run-robot``: a policy acts on a robot, in real time; ``amplify import robot``: what one's computer kept."""

from pathlib import Path
from typing import Any, Literal

from tyro.conf import Positional

from amplify.errors import AmplifyError, MissingDependencyError, UsageError


def run_robot(
    policy: Positional[str],
    /,
    *,
    robot: str,
    text: str | None = None,
    rate: float | None = None,
    episodes: int = 1,
    max_steps: int = 300,
    seed: int = 0,
    replan_every: int = 4,
    merge: Literal["newest", "ensemble"] = "newest",
    fade_steps: int = 0,
    decay: float = 0.01,
    max_age_s: float = 1.0,
    give_up_s: float = 5.0,
    watchdog_s: float = 0.5,
    priority: int = 0,
    limits: Path | None = None,
    dry_run: bool = False,
    log: Path | None = None,
    record: Path | None = None,
    keep: Literal["all", "success"] = "all",
    latency_ms: float = 0.0,
    jitter_ms: float = 0.0,
    drop_share: float = 0.0,
    kind: str | None = None,
    precision: Literal["float32", "bfloat16", "int8"] = "float32",
    mapping: Path | None = None,
    api_key_file: Path | None = None,
    timeout_s: float = 2.0,
) -> dict[str, Any]:
    """Acts at a fixed rate on one plan while the next is computed; stops the robot where there is no fresh one.

    The robot is "arm" (a light simulation), "metaworld/<task>", "libero/<suite>/<task>", or a class of yours,
    "module:Class", with the methods that docs/robot.md shows. Its computer needs no torch where it runs
    amplify_client.realtime itself; this command is the same loop with bundles in process and recording. Ctrl-C stops
    the robot; the same command goes on with a recording.

    Args:
        policy: A bundle or the run that wrote it, "ws://host:port" of a server, or "scripted" for the robot "arm".
        robot: What acts.
        text: The instruction; that of the simulated task by default.
        rate: Actions a second; by default as in the policy's training.
        episodes: How many.
        max_steps: Actions of an episode.
        seed: Of the first episode; the next ones count on.
        replan_every: Actions from one observation that is sent to the next.
        merge: "newest" acts on the newest plan, "ensemble" averages all that reach the present.
        fade_steps: Of "newest": steps in which the plan before still has a share.
        decay: Of "ensemble": the i-th plan from the oldest weighs exp(−decay·i).
        max_age_s: What was seen longer ago is no ground to act on: the robot is stopped.
        give_up_s: A stop that lasts so long ends the episode, and the command exits 1.
        watchdog_s: A step that lasts so long stops the robot from another thread; 0 for no watchdog.
        priority: Of the loop's thread, 1 to 99 (SCHED_FIFO; on Linux, with the permission): less jitter on a busy
            computer.
        limits: JSON with limits of positions, velocities and the workspace; by default the robot's own.
        dry_run: Nothing is sent to the robot; --log shows what would be.
        log: A file with a line of JSON a step.
        record: Folder of a LeRobot dataset to record.
        keep: Which episodes are recorded.
        latency_ms: Rehearsal: added to every answer.
        jitter_ms: Rehearsal: mean of a further, random delay.
        drop_share: Rehearsal: share of requests that get no answer.
        kind: Of a bundle: "amplify", "behaviour-cloning" or "atm"; by default what it holds.
        precision: Of a bundle's weights.
        mapping: Of a bundle: JSON that says how observations are read.
        api_key_file: Of a server: a file with its key; AMPLIFY_API_KEY by default.
        timeout_s: Of a server: an answer that takes longer is lost.
    """
    try:
        from amplify.robot.policies import policy_of
        from amplify.robot.running import Rehearsal, RunConfig, loop_of, run
        from amplify.robot.simulated import robot_of
        from amplify.serve.run import key_of
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("amplify."):
            raise
        raise MissingDependencyError(
            f"the package {error.name!r} is missing", remedy="pip install amplify-client 'amplify-robot[serve]'"
        ) from None
    machine = robot_of(robot)
    try:
        told = text if text is not None else getattr(machine, "instruction", None)
        if told is None:
            raise UsageError("what is the robot to do?", remedy="give an instruction with --text")
        found = policy_of(
            policy, kind=kind, precision=precision, mapping=mapping, api_key=key_of(api_key_file), timeout_s=timeout_s
        )
        loop = loop_of(
            rate,
            machine,
            found,
            replan_every=replan_every,
            max_age_s=max_age_s,
            give_up_s=give_up_s,
            watchdog_s=watchdog_s,
            priority=priority,
            max_steps=max_steps,
            merge=merge,
            fade_steps=fade_steps,
            decay=decay,
            dry_run=dry_run,
        )
        config = RunConfig(
            instruction=told,
            episodes=episodes,
            seed=seed,
            rehearsal=Rehearsal(latency_ms=latency_ms, jitter_ms=jitter_ms, drop_share=drop_share),
            limits=limits,
            record=record,
            keep=keep,
            log=log,
            robot_type=robot.partition("/")[0].rpartition(":")[2],
        )
        try:
            return {"policy": policy, "robot": robot, "instruction": told, **run(machine, found, loop, config)}
        except OSError as error:
            raise AmplifyError("cannot write", got=str(error), remedy="choose another --log or --record") from None
    finally:
        machine.close()


def robot(
    folder: Positional[Path], /, *, out: Path, keep: Literal["all", "success"] = "all", strict: bool = False
) -> dict[str, Any]:
    """Makes a dataset of the episodes that amplify_client kept on a robot's computer (EpisodeFolder).

    Args:
        folder: Of the files episode-*.npz.
        out: Folder of the dataset.
        keep: Which episodes.
        strict: Whether one episode that cannot be used ends the command with an error.
    """
    from amplify.cli.track import refuse_set_aside
    from amplify.robot.kept import import_kept

    summary = import_kept(folder, out, keep=keep)
    refuse_set_aside(summary, strict=strict)
    return summary
