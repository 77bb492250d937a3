"""Episodes that a robot's computer kept as files, read into a dataset as if they had been recorded here."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from amplify_client.realtime import STATE, Step
from amplify_client.realtime.keeping import IMAGE

from amplify.errors import DataError
from amplify.robot.recorder import Keep, Recorder

NAMES = ("rate_hz", "action_names", "state_names", "robot_type", "instruction", "seed", "outcome", "tick", "phase")
ARRAYS = ("action", "state")


def import_kept(folder: Path, out: Path, *, keep: Keep = "all") -> dict[str, Any]:
    """A dataset of the files in a folder; the same call again goes on where it was interrupted.

    Args:
        folder: Of an `amplify_client.realtime.EpisodeFolder`.
        out: The dataset's folder.
        keep: Which episodes.

    Returns:
        Counts, and which files were set aside and why.

    Raises:
        DataError: There are no such files, none can be used, or ``out`` holds something else.
    """
    paths = sorted(folder.glob("episode-*.npz"))
    if not paths:
        raise DataError(f"no episodes in {folder}", allowed="files episode-*.npz of an EpisodeFolder")
    aside: dict[str, str] = {}
    recorder: Recorder | None = None
    for path in paths:
        try:
            found = _read(path)
        except DataError as error:
            aside[path.name] = str(error).splitlines()[0]
            continue
        recorder = recorder or Recorder(
            out,
            rate_hz=float(found["rate_hz"]),
            action_names=found["action_names"].tolist(),
            state_names=found["state_names"].tolist(),
            robot_type=str(found["robot_type"]),
            keep=keep,
        )
        if not recorder.missing([int(found["seed"])]):
            continue
        recorder.begin(str(found["instruction"]), int(found["seed"]))
        for step in _steps(found):
            recorder.saw(step)
        try:
            recorder.end(str(found["outcome"]))
        except DataError as error:
            aside[path.name] = str(error).splitlines()[0]
    if recorder is None:
        raise DataError(f"no episode of {folder} can be read", got="; ".join(aside.values()))
    done = recorder.finish()
    set_aside = aside | {f"{key}.npz": why for key, why in done["left_out"].items()}
    if not done["episodes"]:
        raise DataError(f"no episode of {folder} can be used", got="; ".join(set_aside.values()))
    return {"dataset": done["dataset"], "episodes": done["episodes"], "set_aside": set_aside}


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is damaged", got=str(error)[:200], remedy="copy it again") from None
    missing = [name for name in (*NAMES, *ARRAYS) if name not in found]
    if missing:
        raise DataError(f"{path} is no episode of a robot", got=f"no {', '.join(missing)}")
    length = len(found["tick"]) if found["tick"].ndim else 0
    rows = [name for name in found if name in (*ARRAYS, "phase") or name.startswith(IMAGE)]
    uneven = [name for name in rows if found[name].ndim == 0 or len(found[name]) != length]
    if uneven or not length:
        raise DataError(f"{path} has rows of several lengths", got=", ".join(uneven) or "no rows")
    return found


def _steps(found: dict[str, np.ndarray]) -> Iterator[Step]:
    rate_hz, images = float(found["rate_hz"]), [name for name in found if name.startswith(IMAGE)]
    for row, tick in enumerate(found["tick"].tolist()):
        action = found["action"][row]
        yield Step(
            tick=tick,
            at_s=tick / rate_hz,
            late_ms=0.0,
            observation={
                STATE: found["state"][row],
                **{name.removeprefix(IMAGE): found[name][row] for name in images},
            },
            phase=str(found["phase"][row]),
            asked=None,
            action=None if np.isnan(action).any() else action,
            age_ms=None,
            limited=(),
        )
