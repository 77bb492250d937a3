import numpy as np
import pytest

from amplify.rng import numpy_generator
from amplify.sim.libero.oracle import OracleConfig, solve
from amplify.sim.libero.oracle.plan import CLEAR, ordered
from amplify.sim.libero.oracle.scene import Scene
from amplify.sim.libero.simulation import Simulation, simulation

pytestmark = pytest.mark.libero

PRIMITIVES = [
    ("libero_object", 6, "pick and place"),
    ("libero_goal", 0, "open a drawer"),
    ("libero_goal", 5, "push"),
    ("libero_goal", 9, "lay on a rack"),
    ("libero_90", 22, "close a drawer"),
    ("libero_90", 33, "close a door"),
    ("libero_90", 35, "open a door"),
    ("libero_10", 5, "insert into a caddy"),
]


@pytest.fixture(scope="module")
def stove() -> Simulation:
    return simulation("libero_goal", 7)


def attempted(sim: Simulation, config: OracleConfig | None = None, *, seed: int = 0, state: int = 0):
    sim.reset(state)
    return solve(sim, numpy_generator(seed, "test"), config)


@pytest.mark.parametrize(("suite", "task", "primitive"), PRIMITIVES, ids=[p[2] for p in PRIMITIVES])
def test_each_primitive_reaches_its_goal(suite, task, primitive):
    sim = simulation(suite, task)
    found = attempted(sim)
    assert found.success, f"{primitive}: {found.failures}"
    assert found.reason is None
    assert found.attempts <= 5
    assert len(found.states) == len(found.actions) + 1
    sim.reset(0)
    for action in found.actions:
        sim.step(action)
    assert sim.success
    np.testing.assert_array_equal(sim.state(), found.states[-1])


def test_the_same_seed_gives_the_same_actions_and_another_seed_others(stove):
    one, same, other = attempted(stove), attempted(stove), attempted(stove, seed=1)
    np.testing.assert_array_equal(one.actions, same.actions)
    np.testing.assert_array_equal(one.states, same.states)
    assert one.actions.shape != other.actions.shape or not np.array_equal(one.actions, other.actions)


def test_every_state_comes_back_when_actions_are_done_again(stove):
    found = attempted(stove)
    stove.reset(0)
    for action, state in zip(found.actions.astype(np.float32), found.states):
        np.testing.assert_array_equal(stove.state(), state)
        stove.step(action)
    assert np.abs(found.actions).max() <= 1.0


def test_disturbance_is_seen_in_actions_but_not_in_what_was_intended(stove):
    quiet, disturbed = attempted(stove, OracleConfig(noise=0.0)), attempted(stove)
    np.testing.assert_array_equal(quiet.actions, quiet.intended)
    assert not np.array_equal(disturbed.actions, disturbed.intended)


def test_settling_lengthens_what_is_kept(stove):
    short, long = (attempted(stove, OracleConfig(settle_decisions=n)) for n in (0, 9))
    assert len(long.actions) == len(short.actions) + 9 or len(long.actions) > len(short.actions)


def test_failure_has_a_reason_and_leaves_the_initial_state(stove):
    stove.reset(0)
    before = stove.state()
    found = solve(stove, numpy_generator(0), OracleConfig(attempts=2, max_decisions=20))
    assert not found.success
    assert found.attempts == 2
    assert found.failures == ("too many decisions",) * 2
    assert found.reason == "too many decisions"
    np.testing.assert_array_equal(stove.state(), before)


def test_goals_are_put_into_an_order_that_works():
    sim = simulation("libero_90", 24)
    sim.reset(0)
    scene = Scene(sim)
    bottom, top = "white_cabinet_1_bottom_region", "white_cabinet_1_top_region"
    bowl = "akita_black_bowl_1"
    filled = [("close", bottom), ("in", bowl, bottom)]
    assert ordered(scene, filled) == filled[::-1]
    assert ordered(scene, [("in", bowl, top)]) == [(CLEAR, bowl, top), ("open", top), ("in", bowl, top)]
    carried = [("on", "wine_bottle_1", bowl), ("in", bowl, bottom)]
    assert ordered(scene, carried) == carried[::-1]
    others = [("close", bottom), ("on", bowl, "white_cabinet_1_top_side")]
    assert ordered(scene, others) == others
