"""Scene states (poses of all bodies and cameras) in a safetensors file."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from amplify.data.files import written_aside
from amplify.errors import SidecarError
from amplify.types import CameraPose, SceneStates

OPTIONAL = ("simulator_state", "placement")
"""Fields that not every recording has."""


def write_scene(path: Path, scene: SceneStates) -> None:
    """Writes the states of one episode atomically."""
    tensors = {"body_position": scene.body_position, "body_quaternion": scene.body_quaternion}
    for name in OPTIONAL:
        if (tensor := getattr(scene, name)) is not None:
            tensors[name] = tensor
    for name, camera in scene.cameras.items():
        for field in ("position", "rotation", "fovy_deg"):
            tensors[f"cameras/{name}/{field}"] = getattr(camera, field)
    header = {
        "simulator": scene.simulator,
        "scene": scene.scene,
        "turned": {name: camera.turned for name, camera in scene.cameras.items()},
    }
    with written_aside(path) as aside:
        save_file({name: t.contiguous() for name, t in tensors.items()}, aside, metadata={"scene": json.dumps(header)})


def read_scene(path: Path) -> SceneStates:
    """The states of one episode.

    Raises:
        SidecarError: The file is truncated or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads(file.metadata()["scene"])
            tensors: dict[str, torch.Tensor] = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, TypeError) as error:
        raise SidecarError(
            f"damaged scene states: {path}", got=str(error), remedy="record the dataset again"
        ) from error
    cameras = {
        name: CameraPose(
            position=tensors[f"cameras/{name}/position"],
            rotation=tensors[f"cameras/{name}/rotation"],
            fovy_deg=tensors[f"cameras/{name}/fovy_deg"],
            turned=turned,
        )
        for name, turned in header["turned"].items()
    }
    return SceneStates(
        simulator=header["simulator"],
        scene=header["scene"],
        body_position=tensors["body_position"],
        body_quaternion=tensors["body_quaternion"],
        cameras=cameras,
        **{name: tensors.get(name) for name in OPTIONAL},
    )
