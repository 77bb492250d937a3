import numpy as np
import pytest

from amplify.errors import DataError, UnknownNameError
from amplify.sim.libero.bodies import BODIES, embodied, hide_arm, proprio_names, robot_of
from amplify.sim.libero.config import LiberoConfig
from amplify.sim.libero.simulation import Simulation
from amplify.sim.libero.tasks import find_task, initial_states
from amplify.sim.renderer import HIDDEN_GEOM_GROUP

libero = pytest.mark.libero
STATE = 3


def simulation(body: str, suite: str = "object") -> Simulation:
    made = Simulation(find_task(suite, 0), LiberoConfig(body=body, settle=0))
    made.reset(STATE)
    return made


@pytest.fixture(scope="module")
def panda():
    return simulation("panda")


@pytest.mark.parametrize("body", BODIES)
def test_names_of_proprioception_count_the_joints(body):
    assert len(proprio_names(body)) == BODIES[body].joints + 2


def test_an_unknown_body_is_named():
    with pytest.raises(UnknownNameError, match="unknown body"):
        proprio_names("sawyer")
    with pytest.raises(UnknownNameError, match="unknown body"):
        robot_of("sawyer")


@libero
@pytest.mark.parametrize(("body", "suite"), [("ur5e", "object"), ("iiwa", "goal")])
def test_other_arms_stand_where_the_panda_stands_and_hold_its_gripper_there(body, suite, panda):
    other, reference = simulation(body, suite), panda if suite == "object" else simulation("panda", suite)
    objects = initial_states(find_task(suite, 0))[STATE][10 : 1 + reference.model.nq]
    assert np.array_equal(other.data.qpos[BODIES[body].joints + 2 :], objects)
    assert len(other.proprio) == BODIES[body].joints + 2
    assert np.allclose(other.proprio[: BODIES[body].joints], BODIES[body].home)
    # The official states scatter the Panda's angles a little.
    assert np.linalg.norm(other.hand_position - reference.hand_position) < 0.08
    assert other.hand_rotation[2, 2] < -0.99
    assert np.allclose(other.hand_rotation, reference.hand_rotation, atol=0.2)
    high = other.hand_position[2]
    for _ in range(10):
        other.step(np.array([0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0]))
    assert other.hand_position[2] < high - 0.05
    assert not other.unstable


@libero
def test_the_hand_is_the_panda_whose_arm_is_not_seen(panda):
    hand = simulation("hand")
    panda.reset(STATE)
    for action in np.random.default_rng(0).uniform(-1, 1, size=(5, 7)):
        panda.step(action)
        hand.step(action)
    assert np.array_equal(hand.state(), panda.state())
    seen = {
        name: {
            model.body(int(model.geom_bodyid[g])).name.split("_")[0]
            for g in range(model.ngeom)
            if model.geom_group[g] != HIDDEN_GEOM_GROUP
        }
        for name, model in (("panda", panda.model), ("hand", hand.model))
    }
    assert {"robot0", "gripper0"} <= seen["panda"]
    assert seen["panda"] - seen["hand"] == {"robot0"}


@libero
def test_a_state_of_another_scene_is_refused(panda):
    state = initial_states(find_task("object", 0))[0]
    with pytest.raises(DataError, match="another scene"):
        embodied(state[:-1], "panda", panda.model)
    assert np.array_equal(embodied(state, "panda", panda.model), state)


@libero
def test_nothing_is_hidden_of_a_body_that_is_seen(panda):
    groups = panda.model.geom_group.copy()
    hide_arm(panda.model, "panda")
    assert np.array_equal(groups, panda.model.geom_group)
