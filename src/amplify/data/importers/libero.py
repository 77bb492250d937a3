"""Demonstrations in LIBERO's HDF5 layout: ``<suite>/<task>_demo.hdf5`` with groups ``data/demo_i``.

Images are stored upside down (OpenGL's convention, named in an attribute of ``data``); they are read upright. The
writer of the official files recorded observation j *after* action j. `read_demonstration` pairs rows as they are
stored, as the reference implementation does; `plan_libero` pairs an observation with the action that followed it.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import PositiveInt

from amplify.config import Config
from amplify.data.health import reason_of
from amplify.data.importers.demonstration import HDF5Recording, first_sound, image_sizes
from amplify.data.importers.engine import Plan
from amplify.data.importers.hdf5 import array, member, numbers, opened, probe, stored, text
from amplify.data.importers.options import shaping_of
from amplify.data.info import confined
from amplify.data.layout import DatasetSpec
from amplify.data.writer import Episode
from amplify.errors import DataError, pick

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
    found, broken = _sorted_out(path)
    if broken:
        names = ", ".join(f"{name} ({reason})" for name, reason in list(broken.items())[:3])
        raise DataError(f"demonstrations of {path} cannot be read", got=names, remedy="copy the file again")
    return found


def _sorted_out(path: Path) -> tuple[list[Demonstration], dict[str, str]]:
    """Demonstrations that have actions, by number, and why the others have none."""
    found, broken = [], {}
    with opened(path) as file:
        names = [match for name in member(file, "data", path) or {} if (match := re.fullmatch(r"demo_(\d+)", name))]
        if not names:
            raise DataError(f"{path} is not in LIBERO's layout", allowed="groups data/demo_0, data/demo_1, …")
        for number in sorted(int(match[1]) for match in names):
            try:
                actions = stored(file, f"data/demo_{number}/actions", path)
                length = actions.shape[0] if actions.shape else 0
                found.append(Demonstration(path=path, number=number, length=length))
            except DataError as error:
                broken[_name(path, number)] = reason_of(error)
    return found, broken


def _name(path: Path, number: int) -> str:
    return f"{path.parent.name}/{path.stem.removesuffix(SUFFIX)}/demo_{number}"


def cameras(demo: Demonstration) -> tuple[str, ...]:
    """Names of the cameras of a demonstration."""
    with opened(demo.path) as file:
        obs = file[demo.key].get("obs", {})
        return tuple(sorted(name.removesuffix("_rgb") for name in obs if name.endswith("_rgb")))


def read_demonstration(demo: Demonstration, views: Sequence[str] = ()) -> Episode:
    """One demonstration as an episode.

    Args:
        demo: From `demonstrations`.
        views: Cameras to read; all by default.

    Raises:
        DataError: Something is missing, or arrays have different lengths.
    """
    views = tuple(views) or cameras(demo)
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


class LiberoConfig(Config):
    """How LIBERO's demonstrations become episodes.

    Args:
        cameras: Names; none takes all that the first file has.
        proprio: Arrays of ``obs`` that make up proprioception.
        size: (width, height) of every camera in pixels; None leaves them as they are.
        fit: How other sizes become that one.
        actions: Whether proprioception and actions are taken.
        aligned: Whether an image is paired with the action that followed it. The files store it in the row of the
            action that led to it; the last image then has no action and is left out.
        fps: Control steps per second.
    """

    format: Literal["libero"] = "libero"
    cameras: tuple[str, ...] = ()
    proprio: tuple[str, ...] = PROPRIO
    size: tuple[int, int] | None = None
    fit: str = "crop"
    actions: bool = True
    aligned: bool = True
    fps: PositiveInt = 20


NAMES = {
    "joint_states": PROPRIO_NAMES[:7],
    "gripper_states": PROPRIO_NAMES[7:],
    "ee_pos": ("ee_x", "ee_y", "ee_z"),
    "ee_ori": ("ee_rx", "ee_ry", "ee_rz"),
    "ee_states": ("ee_x", "ee_y", "ee_z", "ee_rx", "ee_ry", "ee_rz"),
}


def plan_libero(source: Path, config: LiberoConfig, *, bddl: Path | None = None) -> Plan:
    """What importing LIBERO's demonstrations does.

    Args:
        source: A task's file, a suite's folder, or a folder of suites.
        config: How.
        bddl: Folder with the tasks' BDDL files, whose sentences then count; by default those in the demonstrations'
            attributes, or else what the file's name spells.

    Raises:
        DataError: There are none, or none that can be read.
    """
    recordings: list[HDF5Recording] = []
    set_aside: dict[str, str] = {}
    spec: DatasetSpec | None = None
    for path in task_files(source):
        try:
            if source.is_dir():
                confined(source, path)
            probe(path)
            demos, broken = _sorted_out(path)
            spec = spec or first_sound(demos, lambda demo: _spec(demo, config), path)
            recordings += [_recording(demo, spec, config, _language(demo, bddl)) for demo in demos]
            set_aside |= broken
        except DataError as error:
            set_aside[str(path)] = reason_of(error)
    if spec is None:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in sorted(set_aside.items())[:3])
        raise DataError(f"no demonstration under {source} can be imported", got=reasons, remedy="mend the files")
    return Plan(spec=spec, settings=config, recordings=tuple(recordings), set_aside=set_aside)


def _recording(demo: Demonstration, spec: DatasetSpec, config: LiberoConfig, instruction: str) -> HDF5Recording:
    with opened(demo.path) as file:
        upside_down = text(file["data"].attrs.get("macros_image_convention", "opengl")) == "opengl"
    return HDF5Recording(
        name=_name(demo.path, demo.number),
        path=demo.path,
        group=demo.key,
        cameras={camera: f"obs/{camera}_rgb" for camera in spec.cameras},
        shapings={camera: shaping_of(spec.size(camera), config.fit) for camera in spec.cameras},
        instruction=instruction,
        proprio=tuple(f"obs/{name}" for name in config.proprio) if config.actions else (),
        action="actions" if config.actions else None,
        upside_down=upside_down,
        ahead=int(config.aligned),
        info={"suite": demo.suite, "task": demo.task, "demo": demo.number},
    )


def _spec(demo: Demonstration, config: LiberoConfig) -> DatasetSpec:
    there = {camera: f"obs/{camera}_rgb" for camera in cameras(demo)}
    chosen = {camera: pick(camera, there, kind="camera") for camera in config.cameras} or there
    with opened(demo.path) as file:
        sizes = image_sizes(file, demo.key, chosen, demo.path)
        widths = {name: numbers(file[demo.key], f"obs/{name}", demo.path).shape[1] for name in config.proprio}
    names = [_named(name, width) for name, width in widths.items()]
    return DatasetSpec.of_sizes(
        {camera: config.size or size for camera, size in sizes.items()},
        fps=config.fps,
        proprio_names=tuple(part for named in names for part in named) if config.actions else None,
        action_names=ACTION_NAMES if config.actions else None,
        robot_type="panda",
    )


def _named(name: str, width: int) -> tuple[str, ...]:
    known = NAMES.get(name, ())
    return known if len(known) == width else tuple(f"{name}_{i}" for i in range(width))


def _language(demo: Demonstration, bddl: Path | None) -> str:
    with opened(demo.path) as file:
        about = dict(file["data"].attrs)
    if bddl is not None:
        name = Path(text(about.get("bddl_file_name"))).stem or demo.task
        found = sorted(bddl.rglob(f"{name}.bddl")) or sorted(bddl.rglob(f"{demo.task}.bddl"))
        said = re.search(r"\(:language\s+([^)]*)\)", found[0].read_text(errors="replace")) if found else None
        if said is None:
            raise DataError(f"no sentence for {demo.path} in {bddl}", allowed=f"{name}.bddl with (:language …)")
        return " ".join(said[1].split())
    return _said(about) or sentence(demo.task)


def sentence(task: str) -> str:
    """The instruction that a task's name spells, without the scene it plays in."""
    return re.sub(r"^[A-Z][A-Z_]*SCENE\d+_", "", task).replace("_", " ")


def _said(about: dict[str, Any]) -> str | None:
    try:
        said = json.loads(about.get("problem_info", "{}")).get("language_instruction")
    except (ValueError, TypeError, AttributeError):
        return None
    return said.strip('"') if isinstance(said, str) else None
