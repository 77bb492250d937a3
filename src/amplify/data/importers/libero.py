"""Demonstrations in LIBERO's HDF5 layout: ``<suite>/<task>_demo.hdf5`` with groups ``data/demo_i``.

Images are stored upside down (OpenGL's convention, named in an attribute of ``data``); they are read upright. The
writer of the official files recorded observation j *after* action j; rows are paired here as they are stored, as the
reference implementation does.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from amplify.data.importers.hdf5 import array, opened
from amplify.data.writer import Episode
from amplify.errors import DataError

SUFFIX = "_demo"
PROPRIO = ("joint_states", "gripper_states")
PROPRIO_NAMES = (*(f"joint_{i}" for i in range(7)), "finger_left", "finger_right")
"""Of a Panda arm: angles in radians, then finger positions in metres."""
ACTION_NAMES = ("x", "y", "z", "roll", "pitch", "yaw", "gripper")
"""Of LIBERO's controller, each in [−1, 1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstration:
    """Where one demonstration lies.

    Args:
        path: The task's file.
        number: Which demonstration of the file.
        length: Actions.
    """

    path: Path
    number: int
    length: int

    @property
    def key(self) -> str:
        """Its group in the file."""
        return f"data/demo_{self.number}"

    @property
    def suite(self) -> str:
        """The folder that the file lies in."""
        return self.path.parent.name

    @property
    def task(self) -> str:
        """The file's name without the ending."""
        return self.path.stem.removesuffix(SUFFIX)


def task_files(root: Path) -> list[Path]:
    """All task files under a folder, by name, or the file itself.

    Raises:
        DataError: There is none.
    """
    found = [root] if root.is_file() else sorted(root.rglob(f"*{SUFFIX}.hdf5"))
    if not found:
        raise DataError(f"no demonstrations under {root}", allowed=f"files named <task>{SUFFIX}.hdf5")
    return found


def demonstrations(path: Path) -> list[Demonstration]:
    """The demonstrations of a task's file, by number.

    Raises:
        DataError: The file is damaged or of another layout.
    """
    with opened(path) as file:
        names = [match for name in file.get("data", {}) if (match := re.fullmatch(r"demo_(\d+)", name))]
        if not names:
            raise DataError(f"{path} is not in LIBERO's layout", allowed="groups data/demo_0, data/demo_1, …")
        return [
            Demonstration(path=path, number=number, length=len(array(file[f"data/demo_{number}"], "actions", path)))
            for number in sorted(int(match[1]) for match in names)
        ]


def cameras(path: Path) -> tuple[str, ...]:
    """Names of the cameras of a task's file."""
    with opened(path) as file:
        first = file[demonstrations(path)[0].key]
        return tuple(sorted(name.removesuffix("_rgb") for name in first.get("obs", {}) if name.endswith("_rgb")))


def read_demonstration(demo: Demonstration, views: Sequence[str] = ()) -> Episode:
    """One demonstration as an episode.

    Args:
        demo: From `demonstrations`.
        views: Cameras to read; all by default.

    Raises:
        DataError: Something is missing, or arrays have different lengths.
    """
    views = tuple(views) or cameras(demo.path)
    with opened(demo.path) as file:
        group = file[demo.key]
        frames = {view: array(group, f"obs/{view}_rgb", demo.path) for view in views}
        state = [array(group, f"obs/{name}", demo.path) for name in PROPRIO]
        actions = array(group, "actions", demo.path)
        about = dict(file["data"].attrs)
    lengths = {len(rows) for rows in (*frames.values(), *state, actions)}
    if lengths != {demo.length}:
        raise DataError(f"arrays of {demo.path}, {demo.key}, have different lengths", got=sorted(lengths))
    if about.get("macros_image_convention", "opengl") == "opengl":
        frames = {view: rows[:, ::-1] for view, rows in frames.items()}
    return Episode(
        instruction=_said(about) or sentence(demo.task),
        frames={view: np.ascontiguousarray(rows) for view, rows in frames.items()},
        proprio=np.concatenate(state, axis=-1).astype(np.float32),
        actions=actions.astype(np.float32),
        info={"suite": demo.suite, "task": demo.task, "demo": demo.number},
    )


def read_episodes(root: Path, views: Sequence[str] = ()) -> Iterator[tuple[Demonstration, Episode]]:
    """Every demonstration under a folder, one at a time.

    Args:
        root: A task's file, a suite's folder, or a folder of suites.
        views: Cameras to read; all by default.

    Raises:
        DataError: There is none, or a file is damaged; the generator stops there.
    """
    for path in task_files(root):
        for demo in demonstrations(path):
            yield demo, read_demonstration(demo, views)


def sentence(task: str) -> str:
    """The instruction that a task's name spells, without the scene it plays in."""
    return re.sub(r"^[A-Z][A-Z_]*SCENE\d+_", "", task).replace("_", " ")


def _said(about: dict[str, Any]) -> str | None:
    try:
        said = json.loads(about.get("problem_info", "{}")).get("language_instruction")
    except (ValueError, TypeError, AttributeError):
        return None
    return said.strip('"') if isinstance(said, str) else None
