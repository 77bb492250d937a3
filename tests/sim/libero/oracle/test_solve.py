import numpy as np
import pytest

from amplify.rng import numpy_generator
from amplify.sim.libero.oracle import Attempt, OracleConfig, solve
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
    ("libero_90", 88, "insert into a shelf"),
]


@pytest.fixture(scope="module")
def stove() -> Simulation:
    return simulation("libero_goal", 7)


@pytest.fixture(scope="module")
def turned_on(stove) -> Attempt:
    return attempted(stove)


def attempted(sim: Simulation, config: OracleConfig | None = None, *, seed: int = 0, state: int = 0) -> Attempt:
    sim.reset(state)
    return solve(sim, numpy_generator(seed, "test"), config)


@pytest.mark.parametrize(("suite", "task", "primitive"), PRIMITIVES, ids=[p[2] for p in PRIMITIVES])
def test_each_primitive_reaches_its_goal(suite, task, primitive):
    found = attempted(simulation(suite, task))
    assert found.success, f"{primitive}: {found.failures}"
    assert found.reason is None
    assert found.attempts == len(found.failures) + 1 <= 5
    assert len(found.states) == len(found.actions) + 1
    assert len(found.actions) <= found.decisions_simulated


def test_the_same_seed_gives_the_same_actions(stove, turned_on):
    same = attempted(stove)
    np.testing.assert_array_equal(turned_on.actions, same.actions)
    np.testing.assert_array_equal(turned_on.states, same.states)


def test_another_seed_gives_other_actions_and_without_noise_what_was_intended(stove, turned_on):
    quiet = attempted(stove, OracleConfig(noise=0.0), seed=1)
    assert len(turned_on.actions) != len(quiet.actions) or not np.array_equal(turned_on.actions, quiet.actions)
    np.testing.assert_array_equal(quiet.actions, quiet.intended)
    assert not np.array_equal(turned_on.actions, turned_on.intended)


def test_every_state_comes_back_when_actions_are_done_again(stove, turned_on):
    stove.reset(0)
    for action, state in zip(turned_on.actions.astype(np.float32), turned_on.states):
        np.testing.assert_array_equal(stove.state(), state)
        stove.step(action)
    np.testing.assert_array_equal(stove.state(), turned_on.states[-1])
    assert stove.success
    assert np.abs(turned_on.actions).max() <= 1.0


def test_settling_lengthens_what_is_kept(stove, turned_on):
    long = attempted(stove, OracleConfig(settle_decisions=40))
    assert len(long.actions) > len(turned_on.actions)
    np.testing.assert_array_equal(long.actions[: len(turned_on.actions) - 10], turned_on.actions[:-10])


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
