"""Demonstrations in the HDF5 layout of robomimic, robosuite and what builds on them (MimicGen, RoboCasa).

``data/demo_i`` with ``actions`` and ``obs/<key>``, ``data`` attribute ``env_args`` (JSON), ``mask/<filter>`` with the
names of demonstrations. Observation j was made before action j, and images are upright.

Source: https://robomimic.github.io/docs/datasets/overview.html
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import h5py
from pydantic import PositiveInt

from amplify.config import Config
from amplify.data.health import reason_of
from amplify.data.importers.demonstration import HDF5Recording, first_sound, hdf5_files, image_sizes
from amplify.data.importers.engine import Plan
from amplify.data.importers.hdf5 import array, image_shape, member, opened, probe, stored, text
from amplify.data.importers.options import safe_name, shaping_of
from amplify.data.info import confined
from amplify.data.layout import DatasetSpec
from amplify.errors import DataError, pick

USUAL = ("robot0_eef_pos", "robot0_eef_quat", "robot0_gripper_qpos")
"""What robomimic's own configurations take for proprioception."""
FPS = 20
SENTENCES = ("language_instruction", "language", "lang", "instruction", "task_description")


class RobomimicConfig(Config):
    """How robomimic's demonstrations become episodes.

    Args:
        cameras: Keys of ``obs`` that are images; none takes all.
        proprio: Keys of ``obs`` that make up proprioception; none takes end effector and gripper.
        filter: Name of a list in ``mask``; None takes all demonstrations.
        instruction: The sentence for all; None takes what the file says, or else the environment's name.
        size: (width, height) of every camera in pixels; None leaves them as they are.
        fit: How other sizes become that one.
        fps: Frames per second; None takes the controller's rate that the file names, or else 20.
        upside_down: Whether images are stored so.
        actions: Whether proprioception and actions are taken.
    """

    format: Literal["robomimic"] = "robomimic"
    cameras: tuple[str, ...] = ()
    proprio: tuple[str, ...] = ()
    filter: str | None = None
    instruction: str | None = None
    size: tuple[int, int] | None = None
    fit: str = "crop"
    fps: PositiveInt | None = None
    upside_down: bool = False
    actions: bool = True


def plan_robomimic(source: Path, config: RobomimicConfig) -> Plan:
    """What importing demonstrations does.

    Args:
        source: A file, or a folder of files.
        config: How.

    Raises:
        DataError: There are none, or none that can be read.
    """
    recordings: list[HDF5Recording] = []
    set_aside: dict[str, str] = {}
    first: tuple[DatasetSpec, dict[str, str], tuple[str, ...]] | None = None
    for path in hdf5_files(source):
        try:
            if source.is_dir():
                confined(source, path)
            probe(path)
            with opened(path) as file:
                demos = _demonstrations(file, path, config.filter)
                faults = {demo: _fault(file, demo, path) for demo in demos}
                sound = [demo for demo in demos if faults[demo] is None]
                first = first or first_sound(sound, partial(_layout, file, path, config), path)
                recordings += _recordings(file, sound, path, config, *first)
                set_aside |= {_name(path, demo): fault for demo, fault in faults.items() if fault is not None}
        except DataError as error:
            set_aside[str(path)] = reason_of(error)
    if first is None:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in sorted(set_aside.items())[:3])
        raise DataError(f"no demonstration under {source} can be imported", got=reasons, remedy="see --help")
    return Plan(spec=first[0], settings=config, recordings=tuple(recordings), set_aside=set_aside)


def _demonstrations(file: Any, path: Path, wanted: str | None) -> list[str]:
    names = [name for name in _keys(file, "data", path) if re.fullmatch(r"demo_\d+", name)]
    if not names:
        raise DataError(f"{path} is not in robomimic's layout", allowed="groups data/demo_0, data/demo_1, …")
    if wanted is not None:
        pick(wanted, dict.fromkeys(_keys(file, "mask", path)), kind="filter")
        listed = {text(name) for name in array(file, f"mask/{wanted}", path)}
        names = [name for name in names if name in listed]
        if not names:
            raise DataError(f"mask/{wanted} of {path} lists no demonstration that is there")
    return sorted(names, key=lambda name: int(name.removeprefix("demo_")))


def _name(path: Path, demo: str) -> str:
    return f"{path.parent.name}/{path.stem}/{demo}"


def _fault(file: Any, demo: str, path: Path) -> str | None:
    """Why a demonstration cannot be opened."""
    try:
        return None if isinstance(member(file, f"data/{demo}", path), h5py.Group) else "it is no group of arrays"
    except DataError as error:
        return reason_of(error)


def _layout(
    file: Any, path: Path, config: RobomimicConfig, demo: str
) -> tuple[DatasetSpec, dict[str, str], tuple[str, ...]]:
    """What all episodes have, of each camera its array, and the arrays of proprioception."""
    group = f"data/{demo}"
    keys = _keys(file, f"{group}/obs", path)
    pictures = [key for key in keys if _is_image(file, f"{group}/obs/{key}", path)]
    if not pictures:
        raise DataError(
            f"{path} has no images",
            got=", ".join(keys) or "no obs",
            remedy="render them with robomimic's dataset_states_to_obs.py",
        )
    chosen = [pick(key, {name: name for name in pictures}, kind="camera") for key in config.cameras] or pictures
    arrays = {safe_name(key.removesuffix("_image").removesuffix("_rgb")): f"obs/{key}" for key in chosen}
    sizes = image_sizes(file, group, arrays, path)
    plain = {key: key for key in keys if key not in pictures}
    state = [pick(key, plain, kind="key of obs") for key in config.proprio]
    state = state or [key for key in USUAL if key in plain]
    if config.actions and not state:
        allowed = ", ".join(plain) or "nothing"
        raise DataError(f"{path} lacks {', '.join(USUAL)}", remedy="name the keys with --proprio", allowed=allowed)
    proprio = tuple(f"obs/{key}" for key in state) if config.actions else ()
    spec = DatasetSpec.of_sizes(
        {camera: config.size or size for camera, size in sizes.items()},
        fps=config.fps or _rate(file),
        proprio_names=tuple(name for key in proprio for name in _names(file, f"{group}/{key}", path)) or None,
        action_names=_names(file, f"{group}/actions", path) if config.actions else None,
        robot_type=_robot(file),
    )
    return spec, arrays, proprio


def _recordings(
    file: Any,
    demos: list[str],
    path: Path,
    config: RobomimicConfig,
    spec: DatasetSpec,
    arrays: dict[str, str],
    proprio: tuple[str, ...],
) -> Iterator[HDF5Recording]:
    for demo in demos:
        yield HDF5Recording(
            name=_name(path, demo),
            path=path,
            group=f"data/{demo}",
            cameras=arrays,
            shapings={camera: shaping_of(spec.size(camera), config.fit) for camera in spec.cameras},
            instruction=config.instruction or _sentence(file, demo, path),
            proprio=proprio,
            action="actions" if config.actions else None,
            upside_down=config.upside_down,
            info={"file": path.name, "demo": demo},
        )


def _keys(file: Any, name: str, path: Path) -> list[str]:
    found = member(file, name, path)
    return sorted(str(key) for key in found) if isinstance(found, h5py.Group) else []


def _is_image(file: Any, name: str, path: Path) -> bool:
    found = member(file, name, path)
    if not isinstance(found, h5py.Dataset) or len(found.shape or ()) != 4 or name.endswith("_depth"):
        return False
    try:
        return min(image_shape(found, path)) > 1
    except DataError:
        return False


def _names(file: Any, name: str, path: Path) -> tuple[str, ...]:
    found = stored(file, name, path)
    width = 1 if len(found.shape) < 2 else found.shape[1]
    if width > 1 << 12:
        raise DataError(f"{path}: {name} is too wide for a vector", got=found.shape)
    return tuple(f"{name.rsplit('/', 1)[-1]}_{i}" for i in range(width))


def _environment(file: Any) -> Mapping[str, Any]:
    try:
        found = json.loads(text(file["data"].attrs.get("env_args", "")) or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _arguments(file: Any) -> Mapping[str, Any]:
    found = _environment(file).get("env_kwargs")
    return found if isinstance(found, dict) else {}


def _rate(file: Any) -> int:
    rate = _arguments(file).get("control_freq")
    return round(rate) if isinstance(rate, int | float) and 1 <= rate <= 1000 else FPS


def _robot(file: Any) -> str:
    robots = _arguments(file).get("robots")
    first = robots[0] if isinstance(robots, list) and robots else robots
    return first if isinstance(first, str) and first else "unknown"


def _sentence(file: Any, demo: str, path: Path) -> str:
    """What the demonstration, the file or the environment's arguments say; else the environment's name in words."""
    about = member(file, f"data/{demo}", path).attrs
    try:
        episode = json.loads(text(about.get("ep_meta", "")) or "{}")
    except (ValueError, RecursionError):
        episode = {}
    sources = (about, episode, file["data"].attrs, _environment(file), _arguments(file))
    for source in sources:
        for name in SENTENCES:
            if isinstance(source, Mapping) and (said := text(source.get(name))):
                return said.strip()
    name = text(_environment(file).get("env_name")) or text(file["data"].attrs.get("env")) or path.stem
    return re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", re.sub(r"_D\d$", "", name)).lower().strip()
