import mujoco
import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.sim.scenes import posed, sliding_box

from amplify.sim.geometry import BACKGROUND_M, WORLD, Pinhole, Scene, rotation_matrices
from amplify.types import CameraPose

quaternions = st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: np.linalg.norm(q) > 0.1)


def unit(quaternion) -> np.ndarray:
    return np.array(quaternion) / np.linalg.norm(quaternion)


@given(quaternions)
def test_rotation_matrices_are_those_of_mujoco(quaternion):
    expected = np.zeros(9)
    mujoco.mju_quat2Mat(expected, unit(quaternion))
    np.testing.assert_allclose(rotation_matrices(unit(quaternion)), expected.reshape(3, 3), atol=1e-12)


@given(
    quaternions,
    st.floats(20, 120),
    st.floats(0.5, 2),
    st.booleans(),
    st.tuples(st.floats(-1.5, 1.5), st.floats(-1.5, 1.5)),
    st.floats(0.05, 50),
)
def test_a_point_on_a_pixels_ray_projects_to_the_pixel(quaternion, fovy, aspect, turned, point, distance):
    pose = CameraPose(
        position=torch.tensor([[0.3, -0.2, 1.0]]),
        rotation=torch.from_numpy(rotation_matrices(unit(quaternion))[None]).float(),
        fovy_deg=torch.tensor([fovy]),
        turned=turned,
    )
    camera = Pinhole(pose, aspect)
    camera.rotation = rotation_matrices(unit(quaternion))[None]  # in double precision, as the bound below needs
    query = np.array([point])
    direction = camera.directions(query, 0)
    np.testing.assert_allclose(np.linalg.norm(direction, axis=-1), 1)
    projected, depth = camera.image(distance * direction @ camera.rotation[0], 0)
    if depth[0] > 0.02:
        np.testing.assert_allclose(projected, query, atol=1e-9)
    assert depth[0] > 0


def looking_down(x: float = 0.0) -> Pinhole:
    pose = CameraPose(
        position=torch.tensor([[x, 0.0, 2.0]]), rotation=torch.eye(3)[None], fovy_deg=torch.tensor([90.0])
    )
    return Pinhole(pose, aspect=1.0)


DOWN = np.array([[0.0, 0.0, -1.0]])


def test_rays_hit_bodies_in_every_recorded_state():
    model = sliding_box()
    states = [posed(model, {"box": (x, 0.0, 0.0)}) for x in (0.0, 1.0)]
    scene = Scene(model, np.stack([s.xpos for s in states]), np.stack([s.xquat for s in states]))
    scene.show(0)
    missed = scene.cast(looking_down(1.0), 0, DOWN)
    assert (missed.body[0], missed.distance_m[0]) == (WORLD, BACKGROUND_M)
    scene.show(1)
    hit = scene.cast(looking_down(1.0), 0, DOWN)
    assert model.body(int(hit.body[0])).name == "box"
    np.testing.assert_allclose(hit.distance_m, 1.9)
    assert len(scene.cast(looking_down(), 0, np.zeros((0, 3))).body) == 0


def test_bundles_of_rays_hit_what_single_rays_hit():
    model = sliding_box()
    state = posed(model, {"box": (0.3, 0.0, 0.0), "roof": (0.4, 0.0, 0.5)})
    scene = Scene(model, state.xpos[None], state.xquat[None])
    scene.show(0)
    camera = looking_down()
    across, along = np.meshgrid(np.linspace(-0.6, 0.6, 41), np.linspace(-0.6, 0.6, 41))
    directions = camera.directions(np.stack([across, along], axis=-1).reshape(-1, 2), 0)
    geom = np.zeros(1, dtype=np.int32)
    single = np.array([mujoco.mj_ray(model, state, camera.position[0], d, None, True, -1, geom) for d in directions])
    hits = scene.cast(camera, 0, directions)
    np.testing.assert_allclose(hits.distance_m, np.where(single < 0, BACKGROUND_M, single))


def test_what_is_too_near_to_be_drawn_is_not_hit():
    model = sliding_box()
    for z, expected in ((2.0 - 0.01 - 0.4, 0.4), (2.0 - 0.01, 1.9)):
        state = posed(model, {"roof": (0.0, 0.0, z)})
        scene = Scene(model, state.xpos[None], state.xquat[None])
        scene.show(0)
        assert 0.02 < scene.near_m < 0.4
        np.testing.assert_allclose(scene.cast(looking_down(), 0, DOWN).distance_m, expected, atol=1e-6)


def test_window_panes_and_collision_shapes_are_looked_through():
    for extra in (
        '<geom type="box" size="1 1 .01" pos="0 0 1" rgba="1 1 1 .1"/>',
        '<geom type="box" size="1 1 .01" pos="0 0 1" group="4"/>',
    ):
        model = sliding_box(extra)
        state = posed(model, {})
        scene = Scene(model, state.xpos[None], state.xquat[None])
        scene.show(0)
        np.testing.assert_allclose(scene.cast(looking_down(), 0, DOWN).distance_m, 1.9)
    assert model.geom_group.max() == 4, "the caller's model is left alone"
