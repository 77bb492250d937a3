import mujoco
import numpy as np
import pytest

from amplify.errors import UnknownNameError
from amplify.rng import derive
from amplify.sim.metaworld.config import CAMERAS, MetaWorldConfig
from amplify.sim.metaworld.simulation import Simulation, scene_model
from amplify.sim.renderer import CameraSettings

# One task of each way in which Meta-World draws an initial state, and those with hidden goals.
VARIED = ("drawer-open", "reach", "push", "pick-place-wall", "lever-pull", "assembly", "soccer", "door-lock")


def state_of(simulation: Simulation) -> np.ndarray:
    data = simulation.data
    parts = (data.qpos, data.qvel, data.mocap_pos, data.xpos, simulation.expert_observation)
    return np.concatenate([np.ravel(part) for part in parts])


@pytest.mark.parametrize("task", VARIED)
def test_a_seed_fixes_the_initial_state_whatever_happened_before(task):
    simulation = Simulation(task)
    simulation.reset(derive(5, "a"))
    first = state_of(simulation)
    simulation.reset(derive(5, "b"))
    assert not np.array_equal(state_of(simulation), first)
    for _ in range(5):
        simulation.step(np.array([1.0, -1.0, -1.0, 1.0]))
    simulation.reset(derive(5, "a"))
    np.testing.assert_array_equal(state_of(simulation), first)
    other = Simulation(task)
    other.reset(derive(5, "a"))
    np.testing.assert_array_equal(state_of(other), first)


def test_experts_see_the_goal_that_metaworld_hides():
    goals = []
    for seed in (1, 2):
        simulation = Simulation("reach")
        simulation.reset(seed)
        simulation.step(np.zeros(4))
        goals.append(simulation.expert_observation[-3:])
    assert np.abs(goals[0]).max() > 0.1
    assert not np.array_equal(*goals)


def test_an_action_is_held_for_the_asked_number_of_steps():
    moved = []
    for repeat in (1, 3):
        simulation = Simulation("reach", MetaWorldConfig(action_repeat=repeat))
        simulation.reset(1)
        before = simulation.data.time
        simulation.step(np.array([0.0, 1.0, 0.0, 0.0]))
        moved.append(simulation.data.time - before)
    assert moved[1] == pytest.approx(3 * moved[0])


def test_proprioception_is_the_hand_in_metres_and_the_opening():
    simulation = Simulation("reach")
    simulation.reset(1)
    np.testing.assert_allclose(simulation.proprio[:3], simulation.data.body("hand").xpos, atol=1e-6)
    closed = opened = 0.0
    for effort in (1.0, -1.0):
        for _ in range(10):
            simulation.step(np.array([0.0, 0.0, 0.0, effort]))
        closed, opened = opened, float(simulation.proprio[3])
    assert closed < 0.6 < 0.9 < opened <= 1


def test_episodes_may_be_longer_than_metaworlds_limit():
    simulation = Simulation("reach", MetaWorldConfig(action_repeat=200))
    simulation.reset(1)
    for _ in range(3):
        simulation.step(np.zeros(4))


def test_shared_scenes_are_compiled_once_and_left_alone():
    before = scene_model("door-open").body_pos.copy()
    simulation = Simulation("door-open")
    simulation.reset(3)
    shared = scene_model("door-open")
    assert shared is scene_model("door-open-v3")
    assert isinstance(shared, mujoco.MjModel)
    assert simulation.model is not shared
    np.testing.assert_array_equal(shared.body_pos, before)
    assert not np.array_equal(simulation.model.body_pos, before)


def test_cameras_are_placed_and_unknown_ones_suggested():
    simulation = Simulation("reach")
    np.testing.assert_allclose(simulation.model.camera("corner2").pos, CAMERAS["corner2"].position_m)
    with pytest.raises(UnknownNameError, match="'corner'"):
        Simulation("reach", MetaWorldConfig(cameras=(CameraSettings(name="cornr"),)))


def test_every_listed_camera_exists():
    Simulation("reach", MetaWorldConfig(cameras=tuple(CAMERAS.values())))
