import mujoco
import numpy as np
import pytest

from amplify.errors import UnknownNameError
from amplify.sim.metaworld.body import BODIES, ROBOT, ROBOT_BASE
from amplify.sim.metaworld.config import MetaWorldConfig
from amplify.sim.metaworld.experts import ScriptedExpert
from amplify.sim.metaworld.images import camera_images
from amplify.sim.metaworld.simulation import Simulation, scene_model
from amplify.sim.renderer import VISIBLE_GEOM_GROUPS, OffscreenRenderer, RenderSettings

OTHERS = [body for body in BODIES if body != ROBOT]
SMALL = RenderSettings(width_px=64, height_px=64)


def simulation_of(task: str, body: str, seed: int = 3) -> Simulation:
    simulation = Simulation(task, MetaWorldConfig(body=body, render=SMALL))
    simulation.reset(seed)
    return simulation


def noisy_expert(task: str, body: str, decisions: int) -> np.ndarray:
    simulation, expert = simulation_of(task, body), ScriptedExpert(task)
    generator = np.random.default_rng(0)
    rows = []
    for _ in range(decisions):
        action = expert.act(simulation)
        simulation.step(action + np.append(generator.normal(0, 0.2, 3), 0))
        data = simulation.data
        parts = (action, data.qpos, data.qvel, data.xpos, data.xquat, [data.ncon, simulation.success])
        rows.append(np.concatenate([np.ravel(part) for part in parts]))
    return np.array(rows)


@pytest.mark.parametrize("body", OTHERS)
@pytest.mark.parametrize("task", ["drawer-open", "door-open", "pick-place"])
def test_actions_physics_and_success_are_those_of_the_robot(task, body):
    robot, other = (noisy_expert(task, name, 50) for name in (ROBOT, body))
    assert robot[:, -2].max() > 0, "nothing was touched"
    np.testing.assert_allclose(other, robot, rtol=0, atol=1e-12)


@pytest.mark.parametrize("body", OTHERS)
def test_links_and_masses_are_those_of_the_robot(body):
    robot, other = scene_model("drawer-open"), scene_model(f"drawer-open@{body}")
    assert [other.body(i).name for i in range(other.nbody)] == [robot.body(i).name for i in range(robot.nbody)]
    np.testing.assert_array_equal(other.body_mass, robot.body_mass)
    np.testing.assert_array_equal(other.body_inertia, robot.body_inertia)
    assert other.stat.extent == robot.stat.extent


@pytest.mark.parametrize("body", OTHERS)
def test_nothing_of_the_robot_is_seen_and_everything_else_is(body):
    links, parts = [], []
    for name in (ROBOT, body):
        simulation = simulation_of("window-close", name)
        model = simulation.model
        seen = OffscreenRenderer(model, SMALL).segment(model, simulation.data, simulation.config.cameras[0])
        of_robot = model.body_rootid[model.geom_bodyid[seen]] == model.body(ROBOT_BASE).id
        links.append(np.where((seen >= 0) & ~of_robot, model.geom_bodyid[seen], -1))
        parts.append({model.geom(number).name for number in np.unique(seen[(seen >= 0) & of_robot])})
    robots, others = parts
    assert robots
    assert others
    assert not robots & others
    plain = links[0] >= 0
    shown = plain & (links[1] >= 0)
    assert shown.sum() > 0.9 * plain.sum()
    assert (links[0] == links[1])[shown].mean() > 0.99


@pytest.mark.parametrize("body", OTHERS)
def test_it_looks_unlike_the_robot(body):
    robot, other = (camera_images(simulation_of("drawer-open", name))[0].astype(int) for name in (ROBOT, body))
    reddest = [(image[..., 0] - image[..., 1:].max(axis=-1) > 60).mean() for image in (robot, other)]
    assert reddest[0] > 0.05
    assert reddest[1] < 0.005
    assert (np.abs(robot - other).max(axis=-1) > 16).mean() > 0.1


def inner_sides(simulation: Simulation) -> list[float]:
    """Metres to either side from between the claws' tips to what is seen first: thumb, then middle finger."""
    model, data = simulation.model, simulation.data
    position, rotation = data.body("hand").xpos, data.body("hand").xmat.reshape(3, 3)
    groups, hit = np.array(VISIBLE_GEOM_GROUPS, dtype=np.uint8), np.array([-1], dtype=np.int32)
    rays = [((0.03, 0.0, 0.0), -rotation[:, 1]), ((0.03, 0.0, 0.01), rotation[:, 1])]
    return [mujoco.mj_ray(model, data, position + rotation @ at, to, groups, True, -1, hit) for at, to in rays]


def test_fingers_and_thumb_open_and_close_where_the_claws_pads_do():
    simulations = [simulation_of("reach", name) for name in (ROBOT, "hand")]
    openings = []
    for effort in (-1.0, 1.0):
        for simulation in simulations:
            for _ in range(10):
                simulation.step(np.array([0.0, 0.0, 0.5, effort]))
        pads, drawn = (inner_sides(simulation) for simulation in simulations)
        np.testing.assert_allclose(drawn, pads, atol=0.003)
        openings.append(sum(drawn))
    assert openings[0] > openings[1] + 0.03


def test_unknown_bodies_are_suggested():
    with pytest.raises(UnknownNameError, match="did you mean 'hand'"):
        MetaWorldConfig(body="hnad")
    with pytest.raises(UnknownNameError, match="did you mean 'hand'"):
        scene_model("drawer-open@hnad")
    with pytest.raises(UnknownNameError, match="did you mean 'drawer-open'"):
        scene_model("drawer-opne@hand")


@pytest.mark.parametrize("body", BODIES)
def test_a_simulation_names_the_scene_that_it_shows(body):
    simulation = simulation_of("reach", body)
    shared = scene_model(simulation.scene)
    assert simulation.scene == ("reach" if body == ROBOT else f"reach@{body}")
    np.testing.assert_array_equal(shared.geom_group, simulation.model.geom_group)
