"""Compiled rays meet what MuJoCo's rays meet."""

import mujoco
import numpy as np
import pytest
import torch

pytest.importorskip("numba")
from amplify.sim.compiled_rays import CompiledRays, shapes_of
from amplify.sim.ground_truth import GroundTruthTracker
from amplify.sim.ray_kernels import KINDS
from amplify.sim.rays import Bundle, MujocoRays, rays_of
from amplify.tracks.queries import uniform_grid
from amplify.types import CameraPose, Clip, SceneStates

pytestmark = pytest.mark.libero  # whose simulator brings numba

KINDS_XML = {
    "plane": '<geom type="plane" size="0.5 0.3 1" {at}/>',
    "endless plane": '<geom type="plane" size="0 0 1" {at}/>',
    "sphere": '<geom type="sphere" size="0.3" {at}/>',
    "capsule": '<geom type="capsule" size="0.1 0.3" {at}/>',
    "ellipsoid": '<geom type="ellipsoid" size="0.1 0.2 0.4" {at}/>',
    "cylinder": '<geom type="cylinder" size="0.2 0.3" {at}/>',
    "box": '<geom type="box" size="0.1 0.2 0.3" {at}/>',
    "mesh": '<geom type="mesh" mesh="lump" {at}/>',
}


def scene(names, draw: np.random.Generator) -> mujoco.MjModel:
    points = " ".join(f"{x:.4f}" for x in draw.normal(size=90) * 0.2)
    geoms = []
    for name in names:
        place, turn = draw.uniform(-1, 1, 3), draw.uniform(-180, 180, 3)
        at = f'pos="{place[0]} {place[1]} {place[2]}" euler="{turn[0]} {turn[1]} {turn[2]}"'
        geoms.append(KINDS_XML[name].format(at=at))
    return mujoco.MjModel.from_xml_string(
        f'<mujoco><asset><mesh name="lump" vertex="{points}"/></asset><worldbody>{"".join(geoms)}</worldbody></mujoco>'
    )


def posed(model: mujoco.MjModel):
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    shapes = shapes_of(model, np.ones(model.ngeom, dtype=bool))
    assert shapes is not None
    rays = CompiledRays(shapes)
    rays.show(data.geom_xpos, data.geom_xmat.reshape(-1, 3, 3))
    return data, rays


def directions(n: int, draw: np.random.Generator) -> np.ndarray:
    ways = draw.normal(size=(n, 3))
    return ways / np.linalg.norm(ways, axis=-1, keepdims=True)


def one_by_one(model, data, origin, ways, start):
    """What MuJoCo says, one ray at a time: many together lose hits at the edges of bounding boxes."""
    geom, distance = np.full(len(ways), -1), np.full(len(ways), -1.0)
    found = np.array([-1], dtype=np.int32)
    for i, way in enumerate(ways):
        beyond = mujoco.mj_ray(model, data, origin + start * way, way, None, True, -1, found)
        if found[0] >= 0:
            geom[i], distance[i] = found[0], start + beyond
    return geom, distance


@pytest.mark.parametrize("names", [[name] for name in KINDS_XML] + [list(KINDS_XML) * 2], ids=lambda names: names[-1])
@pytest.mark.parametrize("start", [0.0, 0.4])
def test_rays_meet_what_mujocos_meet(names, start):
    draw = np.random.default_rng(len(names))
    met = 0
    for _ in range(8):
        model = scene(names, draw)
        data, rays = posed(model)
        origin, ways = draw.uniform(-1, 1, 3), directions(300, draw)
        ways[:3] = np.eye(3)  # along the axes, where a division by zero lurks
        starts = np.full(len(ways), start)
        geom, distance = rays.cast(Bundle(origin, ways, starts))
        expected_geom, expected = one_by_one(model, data, origin, ways, start)
        # Rays that graze an edge may be decided by rounding.
        assert np.mean(geom == expected_geom) > 0.998
        both = (geom == expected_geom) & (geom >= 0)
        assert distance[both] == pytest.approx(expected[both], abs=1e-6)
        assert np.all(distance[geom < 0] == -1)
        met += both.sum()
        for end in (0.5, 1.0, 3.0):
            hidden = rays.hides(Bundle(origin, ways, starts), np.full(len(ways), end))
            assert np.array_equal(hidden, (geom >= 0) & (distance < end))
    assert met > 20


def test_a_mesh_of_many_triangles_is_met_where_mujoco_meets_it():
    # A wavy cloth, so that rays pass close by before they meet it.
    x, y = np.meshgrid(np.linspace(-1, 1, 40), np.linspace(-1, 1, 40), indexing="ij")
    z = 0.1 * np.sin(12 * x) * np.cos(9 * y)
    corner = np.arange(40 * 40).reshape(40, 40)
    a, b, c, d = corner[:-1, :-1], corner[1:, :-1], corner[1:, 1:], corner[:-1, 1:]
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    text = [" ".join(map(str, values)) for values in (np.stack([x, y, z], -1).ravel().round(5), faces.ravel())]
    model = mujoco.MjModel.from_xml_string(
        f'<mujoco><asset><mesh name="cloth" inertia="shell" vertex="{text[0]}" face="{text[1]}"/></asset>'
        '<worldbody><geom type="mesh" mesh="cloth" euler="20 10 40"/></worldbody></mujoco>'
    )
    data, rays = posed(model)
    draw = np.random.default_rng(0)
    origin, ways = np.array([0.3, -1.2, 0.5]), directions(4000, draw)
    geom, distance = rays.cast(Bundle(origin, ways, np.zeros(len(ways))))
    expected_geom, expected = one_by_one(model, data, origin, ways, 0.0)
    assert np.mean(geom == expected_geom) > 0.999
    both = (geom == expected_geom) & (geom >= 0)
    assert both.sum() > 300
    assert distance[both] == pytest.approx(expected[both], abs=1e-6)


def test_shapes_of_an_unknown_kind_are_left_to_mujoco():
    model = mujoco.MjModel.from_xml_string(
        '<mujoco><asset><hfield name="hills" nrow="4" ncol="4" size="1 1 1 1"/></asset>'
        '<worldbody><geom type="hfield" hfield="hills"/><geom type="sphere" size="0.1"/></worldbody></mujoco>'
    )
    assert int(mujoco.mjtGeom.mjGEOM_HFIELD) not in KINDS
    assert shapes_of(model, np.ones(model.ngeom, dtype=bool)) is None
    assert shapes_of(model, model.geom_type != int(mujoco.mjtGeom.mjGEOM_HFIELD)) is not None
    nothing = shapes_of(model, np.zeros(model.ngeom, dtype=bool))
    assert nothing is not None
    geom, distance = CompiledRays(nothing).cast(Bundle(np.zeros(3), np.eye(3), np.zeros(3)))
    assert geom.tolist() == [-1] * 3
    assert distance.tolist() == [-1] * 3


def test_a_scene_takes_mujocos_rays_where_these_do_not_do():
    hills = mujoco.MjModel.from_xml_string(
        '<mujoco><asset><hfield name="hills" nrow="4" ncol="4" size="1 1 1 1"/></asset>'
        '<worldbody><geom type="hfield" hfield="hills"/></worldbody></mujoco>'
    )
    model = scene(["box"], np.random.default_rng(0))
    assert isinstance(rays_of(hills), MujocoRays)
    assert isinstance(rays_of(model), CompiledRays)
    assert rays_of(model).shapes is rays_of(model).shapes  # made once
    model.geom_rgba[:, 3] = 0.1  # looked through from now on
    assert len(rays_of(model).shapes.geom) == 0


def test_both_kinds_of_rays_give_the_same_tracks():
    draw = np.random.default_rng(5)
    names = [name for name in KINDS_XML if name != "endless plane"]
    model = scene(names, draw)
    turn = draw.normal(size=(6, model.nbody, 4))
    place = np.cumsum(draw.normal(size=(6, model.nbody, 3)) * 0.05, axis=0)
    pose = CameraPose(
        position=torch.tensor([[0.0, 0.0, 2.5]]).expand(6, 3) + 0.02 * torch.arange(6)[:, None],
        rotation=torch.eye(3).expand(6, 3, 3),
        fovy_deg=torch.full((6,), 60.0),
    )
    states = SceneStates(
        simulator="here",
        scene="",
        body_position=torch.from_numpy(place).float(),
        body_quaternion=torch.from_numpy(turn / np.linalg.norm(turn, axis=-1, keepdims=True)).float(),
        cameras={"above": pose},
    )
    clip = Clip(frames=np.zeros((6, 32, 32, 3), dtype=np.uint8), fps=1.0, camera="above", scene=states)
    scenes = {"here": lambda _: model}
    compiled = GroundTruthTracker(scenes).track(clip, uniform_grid(20), horizon=4)
    plain = GroundTruthTracker(scenes, rays=MujocoRays).track(clip, uniform_grid(20), horizon=4)
    assert torch.allclose(compiled.points, plain.points, atol=1e-5)
    assert (compiled.visible == plain.visible).float().mean() > 0.999
    assert 0.1 < plain.visible.float().mean() < 0.99
