import numpy as np
import pytest

from amplify.sim.metaworld.config import MetaWorldConfig
from amplify.sim.metaworld.experts import RandomWaypoints, ScriptedExpert
from amplify.sim.metaworld.simulation import Simulation

QUICKSTART_TASKS = (
    "button-press-topdown",
    "drawer-open",
    "drawer-close",
    "window-open",
    "window-close",
    "door-open",
)


@pytest.mark.parametrize("task", [*QUICKSTART_TASKS, "reach", "push"])
def test_experts_succeed_at_the_default_action_repeat(task, recwarn):
    simulation, expert = Simulation(task), ScriptedExpert(task)
    for seed in (12, 13):
        simulation.reset(seed)
        decisions = 0
        while not simulation.step(expert.act(simulation)) and decisions < MetaWorldConfig().max_decisions:
            decisions += 1
        assert simulation.success, f"{task}, seed {seed}"
    assert not [w for w in recwarn if "Constant" in str(w.message)]


def test_labels_are_within_the_action_range():
    simulation, expert = Simulation("drawer-open"), ScriptedExpert("drawer-open")
    simulation.reset(1)
    for _ in range(30):
        action = expert.act(simulation)
        assert action.dtype == np.float32
        assert np.abs(action).max() <= 1
        simulation.step(action)


def test_play_wanders_through_the_workspace_and_moves_things():
    simulation = Simulation("drawer-open")
    simulation.reset(1)
    low, high = simulation.workspace()
    actor = RandomWaypoints(np.random.default_rng(3))
    hands, objects, grips = [], [], set()
    for _ in range(150):
        action = actor.act(simulation)
        grips.add(float(action[3]))
        simulation.step(action)
        hands.append(simulation.proprio[:3])
        objects.append(simulation.expert_observation[4:7])
    spread = np.ptp(hands, axis=0)
    assert (spread[:2] > 0.1).all()
    assert (np.array(hands) > low - 0.1).all()
    assert (np.array(hands) < high + 0.1).all()
    assert grips == {-1.0, 1.0}
    assert np.ptp(objects, axis=0).max() > 0.01


def test_play_depends_on_its_generator_alone():
    paths = []
    for seed in (1, 1, 2):
        simulation = Simulation("reach")
        simulation.reset(1)
        actor = RandomWaypoints(np.random.default_rng(seed))
        for _ in range(5):
            simulation.step(actor.act(simulation))
        paths.append(simulation.proprio)
    np.testing.assert_array_equal(paths[0], paths[1])
    assert not np.array_equal(paths[0], paths[2])
