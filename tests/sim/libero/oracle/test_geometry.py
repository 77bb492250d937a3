import mujoco
import numpy as np
import pytest

from amplify.sim.libero.oracle.geometry import Boxes, axis_angle, collision_boxes, rotation_about, subtree

SCENE = """
<mujoco>
  <worldbody>
    <geom name="floor" type="plane" size="1 1 0.1"/>
    <body name="thing" pos="0.2 0 0.1">
      <freejoint/>
      <geom type="box" size="0.02 0.03 0.04"/>
      <body name="lid" pos="0 0 0.06"><joint type="hinge"/><geom type="sphere" size="0.01"/></body>
      <geom type="box" size="1 1 1" contype="0" conaffinity="0"/>
    </body>
  </worldbody>
</mujoco>
"""


def boxes(center, rotation=None, half=(0.1, 0.2, 0.3)) -> Boxes:
    rotation = np.eye(3) if rotation is None else rotation
    return Boxes(
        center=np.array([center], dtype=float),
        rotation=rotation[None],
        half=np.array([half], dtype=float),
        body=np.zeros(1, dtype=int),
    )


def inside(box: Boxes, points: np.ndarray) -> np.ndarray:
    return (np.abs((points - box.center[0]) @ box.rotation[0]) <= box.half[0]).all(axis=1)


def test_boxes_overlap_where_a_point_lies_in_both():
    generator = np.random.default_rng(0)
    seen = set()
    for _ in range(60):
        turns = [rotation_about(generator.normal(size=3), generator.uniform(0, 3)) for _ in range(2)]
        one, other = boxes(np.zeros(3), turns[0]), boxes(generator.uniform(-0.45, 0.45, size=3), turns[1])
        sampled = generator.uniform(-1, 1, size=(30_000, 3)) * one.half[0] @ turns[0].T
        common = bool(inside(other, sampled).any())
        found = bool(one.overlap(other)[0, 0])
        seen.add(found)
        assert found or not common
        if not found:
            assert not other.overlap(one)[0, 0]
        if not common and found:  # by a hair that sampling misses
            assert not one.grown(-0.02).overlap(other.grown(-0.02))[0, 0]
    assert seen == {True, False}


def test_grown_boxes_reach_further():
    apart = boxes([0.25, 0, 0])
    assert not boxes([0, 0, 0]).overlap(apart).any()
    assert boxes([0, 0, 0]).grown(0.06).overlap(apart).any()


def test_near_measures_to_the_surface():
    assert len(boxes([0, 0, 0]).near(np.array([0.15, 0, 0]), 0.06)) == 1
    assert len(boxes([0, 0, 0]).near(np.array([0.15, 0, 0]), 0.04)) == 0


def test_surface_points_lie_on_the_faces():
    turned = boxes([1, 2, 3], rotation_about(np.array([1.0, 1.0, 0.0]), 0.7))
    local = (turned.surface(0.05) - turned.center[0]) @ turned.rotation[0]
    np.testing.assert_allclose((np.abs(local) / turned.half[0]).max(axis=1), 1.0, atol=1e-9)


def test_turns_come_back():
    turn = np.array([0.3, -1.1, 0.4])
    np.testing.assert_allclose(axis_angle(rotation_about(turn, float(np.linalg.norm(turn)))), turn, atol=1e-9)


def test_only_colliding_geoms_of_the_chosen_bodies():
    model = mujoco.MjModel.from_xml_string(SCENE)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    chosen = subtree(model, model.body("thing").id)
    assert [model.body(i).name for i in np.flatnonzero(chosen)] == ["thing", "lid"]
    found = collision_boxes(model, data, chosen)
    np.testing.assert_allclose(sorted(found.half.max(axis=1)), [0.01, 0.04])
    floor = collision_boxes(model, data, ~chosen)
    assert floor.corners[..., 2].max() == pytest.approx(0.0)
