"""Demonstrations in LIBERO's own layout: ``<suite>/<task>_demo.hdf5`` with groups ``data/demo_i``.

As in the official files, row t holds action t, the state *before* it and what was seen and felt *after* it, and images
are stored upside down. Rewards and dones are 1 in the last row alone.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import h5py
import numpy as np
from jaxtyping import Float, UInt8

from amplify.data.files import write_json, written_aside
from amplify.data.importers.libero import SUFFIX
from amplify.data.remote import located
from amplify.errors import DataError
from amplify.sim.libero.bodies import BODIES
from amplify.sim.libero.config import HZ
from amplify.sim.libero.record_performance import Performance
from amplify.sim.libero.simulation import Simulation
from amplify.sim.libero.tasks import LiberoTask

TAG = "libero-v1"
FINGERS = 2


class LiberoFiles:
    """Stages demonstrations, each in a file of its own, and joins them into one file a task.

    Args:
        root: A folder of suites; new, empty, or left by an interrupted recording of the same settings.
        suite: Of the tasks.
        settings: What is recorded, as text: kept with the staged files and compared.

    Raises:
        DataError: The folder holds something else.
    """

    def __init__(self, root: Path, suite: str, settings: str):
        if located(root) != root:
            raise DataError("files in LIBERO's layout are written to a folder of this machine", got=root)
        self.root, self.folder = root, root / suite
        self.staging = root / ".staging"
        note = self.staging / "settings.json"
        known = self._report_path if self.finished else note
        if known.is_file():
            found = json.loads(known.read_text())["settings"]
            if found != settings:
                raise DataError(
                    f"{root} holds a recording with other settings",
                    got=settings,
                    allowed=found,
                    remedy="choose another folder with --out, or remove this one",
                )
            return
        if root.exists() and any(path.name != ".staging" for path in root.iterdir()):
            raise DataError(f"not an empty folder: {root}", remedy="choose another folder with --out")
        write_json(note, {"settings": settings})

    @property
    def _report_path(self) -> Path:
        return self.root / "recording.json"

    @property
    def finished(self) -> bool:
        """Whether all files are complete."""
        return self._report_path.is_file()

    def staged(self) -> frozenset[str]:
        """Keys of the demonstrations that are safely on disk."""
        if self.finished:
            return frozenset(json.loads(self._report_path.read_text())["keys"])
        return frozenset(path.stem for path in self.staging.glob("[!.]*.hdf5"))

    def write(
        self,
        key: str,
        simulation: Simulation,
        performance: Performance,
        images: Mapping[str, UInt8[np.ndarray, "t h w 3"]],
    ) -> None:
        """Stages a demonstration.

        Args:
            key: Names it.
            simulation: It happened in.
            performance: What happened.
            images: Of each camera, upright, after every action.
        """
        with written_aside(self.staging / f"{key}.hdf5") as aside, h5py.File(aside, "w") as file:
            file.attrs["task"] = simulation.task.name
            data = file.create_group("data")
            data.attrs.update(_about_task(simulation, images))
            demo = data.create_group("demo_0")
            for name, rows in _columns(performance, images).items():
                demo.create_dataset(name, data=rows)
            demo.attrs["num_samples"] = len(performance.actions)
            demo.attrs["model_file"] = scene_xml(simulation, performance.placement)
            demo.attrs["init_state"] = performance.states[0]

    def finalize(self, keys: Sequence[str], report: Mapping[str, Any]) -> None:
        """Joins staged demonstrations into one file a task; the same call again finishes what was interrupted.

        Args:
            keys: Demonstrations to keep, which get their numbers in this order.
            report: Kept beside the files.

        Raises:
            DataError: There is none.
        """
        by_task: dict[str, list[Path]] = {}
        for key in keys:
            path = self.staging / f"{key}.hdf5"
            with h5py.File(path) as file:
                by_task.setdefault(str(file.attrs["task"]), []).append(path)
        if not by_task:
            raise DataError("cannot finish the files", got="no demonstration")
        for task, paths in by_task.items():
            with written_aside(self.folder / f"{task}{SUFFIX}.hdf5") as aside:
                _join(paths, aside)
        settings = json.loads((self.staging / "settings.json").read_text())["settings"]
        write_json(self._report_path, {"settings": settings, "keys": list(keys), "report": dict(report)})
        shutil.rmtree(self.staging)

    def report(self) -> dict[str, Any]:
        """What was handed to `finalize`."""
        return json.loads(self._report_path.read_text())["report"]


def _join(paths: Sequence[Path], target: Path) -> None:
    lengths = []
    with h5py.File(target, "w") as joined:
        data = joined.create_group("data")
        for number, path in enumerate(paths):
            with h5py.File(path) as file:
                for name, value in file["data"].attrs.items():
                    data.attrs[name] = value
                file.copy("data/demo_0", data, name=f"demo_{number}")
                lengths.append(len(np.asarray(file["data/demo_0/dones"])))
        data.attrs["num_demos"], data.attrs["total"] = len(lengths), sum(lengths)


def _columns(performance: Performance, images: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays of a demonstration by their path in its group."""
    length = len(performance.actions)
    joints, fingers = np.split(performance.proprio[1:].astype(np.float64), [-FINGERS], axis=1)
    position, quaternion = performance.hand_position[1:], performance.hand_quaternion[1:]
    turned = axis_angles(quaternion)
    last = np.zeros(length, dtype=np.uint8)
    last[-1] = 1
    return {
        "actions": performance.actions.astype(np.float64),
        "states": performance.states[:-1],
        "robot_states": np.concatenate([fingers, position, quaternion], axis=1),
        "rewards": last,
        "dones": last,
        "obs/joint_states": joints,
        "obs/gripper_states": fingers,
        "obs/ee_states": np.concatenate([position, turned], axis=1),
        "obs/ee_pos": position,
        "obs/ee_ori": turned,
        **{f"obs/{view}_rgb": rows[:, ::-1] for view, rows in images.items()},
    }


def _about_task(simulation: Simulation, images: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Attributes of a file's ``data`` group."""
    from robosuite import load_controller_config

    task = simulation.task
    class_name, problem = type(simulation.env).__name__, simulation.env.parsed_problem["problem_name"]
    about = {"problem_name": problem, "domain_name": "robosuite", "language_instruction": task.instruction}
    height, width = next(iter(images.values())).shape[1:3]
    arguments = {
        "robots": [BODIES[simulation.config.body].arm],
        "controller_configs": load_controller_config(default_controller="OSC_POSE"),
        "bddl_file_name": bddl_name(task),
        "camera_names": [camera.name for camera in simulation.config.cameras],
        "camera_heights": height,
        "camera_widths": width,
        "control_freq": HZ,
        "has_renderer": False,
        "has_offscreen_renderer": True,
        "use_camera_obs": True,
        "ignore_done": True,
        "reward_shaping": True,
    }
    environment = {
        "type": 1,
        "env_name": class_name,
        "problem_name": problem,
        "bddl_file": bddl_name(task),
        "env_kwargs": arguments,
    }
    return {
        "env_name": class_name,
        "problem_info": json.dumps(about),
        "macros_image_convention": "opengl",
        "bddl_file_name": bddl_name(task),
        "bddl_file_content": task.bddl_file.read_text(),
        "env_args": json.dumps(environment),
        "tag": TAG,
    }


def bddl_name(task: LiberoTask) -> str:
    """A task's BDDL file as the official files name it, from the repository's root."""
    return f"libero/libero/bddl_files/{task.suite}/{task.bddl_file.name}"


def scene_xml(simulation: Simulation, placement: Float[np.ndarray, "bodies 7"]) -> str:
    """The scene's MJCF with its fixtures where they stood.

    Args:
        simulation: Whose scene.
        placement: Pose of every body in its parent.
    """
    model = simulation.model
    root = ElementTree.fromstring(simulation.env.model.get_xml())
    fixtures = {fixture.root_body for fixture in simulation.env.fixtures_dict.values()}
    for body in root.iter("body"):
        if (name := body.get("name")) in fixtures:
            pose = placement[model.body(name).id]
            body.set("pos", _spelled(pose[:3]))
            body.set("quat", _spelled(pose[3:]))
    return ElementTree.tostring(root, encoding="unicode")


def _spelled(numbers: np.ndarray) -> str:
    return " ".join(repr(float(number)) for number in numbers)


def axis_angles(quaternions: Float[np.ndarray, "t 4"]) -> Float[np.ndarray, "t 3"]:
    """Axes times angles in radians, up to 2π as robosuite has them, of quaternions (x, y, z, w)."""
    w = np.clip(quaternions[:, 3:], -1.0, 1.0)
    sine = np.sqrt(1.0 - w * w)
    turned = np.abs(sine) > 1e-9
    return np.where(turned, quaternions[:, :3] * 2.0 * np.arccos(w) / np.where(turned, sine, 1.0), 0.0)
