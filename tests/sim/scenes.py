"""Tiny scenes whose images can be computed by hand."""

import mujoco
import numpy as np
import torch

from amplify.types import CameraPose, Clip, SceneStates

CAMERA_HEIGHT_M = 2.0
SLIDING_BOX = f"""
<mujoco>
  <worldbody>
    <light pos="0 0 3" dir="0 0 -1"/>
    <camera name="above" pos="0 0 {CAMERA_HEIGHT_M}" fovy="90"/>
    <site name="goal" pos="0.6 0.6 0.5" size="0.2" rgba="0 1 0 1"/>
    <body name="box" mocap="true"><geom type="box" size=".2 .2 .1" rgba="1 0 0 1"/></body>
    <body name="roof" mocap="true" pos="0 9 1"><geom type="box" size=".2 .2 .01" rgba="0 0 1 1"/></body>
    {{extra}}
  </worldbody>
</mujoco>
"""
"""The camera looks straight down, image x is world x, image y is world −y; the box's top lies at z = 0.1."""


def sliding_box(extra: str = "") -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_string(SLIDING_BOX.format(extra=extra))


def posed(model: mujoco.MjModel, poses: dict[str, tuple[float, float, float]]) -> mujoco.MjData:
    data = mujoco.MjData(model)
    for name, position in poses.items():
        data.mocap_pos[model.body(name).mocapid[0]] = position
    mujoco.mj_forward(model, data)
    return data


def clip_of(
    model: mujoco.MjModel,
    states: list[mujoco.MjData],
    *,
    camera: str = "above",
    turned: bool = False,
    size: tuple[int, int] = (32, 32),
) -> Clip:
    number = model.camera(camera).id
    length = len(states)

    def stacked(arrays) -> torch.Tensor:
        return torch.from_numpy(np.stack(arrays).astype(np.float32))

    pose = CameraPose(
        position=stacked([d.cam_xpos[number] for d in states]),
        rotation=stacked([d.cam_xmat[number].reshape(3, 3) for d in states]),
        fovy_deg=torch.full((length,), float(model.cam_fovy[number])),
        turned=turned,
    )
    scene = SceneStates(
        simulator="toy",
        scene="box",
        body_position=stacked([d.xpos for d in states]),
        body_quaternion=stacked([d.xquat for d in states]),
        cameras={camera: pose},
    )
    width, height = size
    return Clip(frames=np.zeros((length, height, width, 3), dtype=np.uint8), fps=10.0, camera=camera, scene=scene)
