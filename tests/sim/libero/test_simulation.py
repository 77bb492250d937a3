import numpy as np
import psutil
import pytest
import torch
from tests.sim.libero import stock

from amplify.errors import DataError, UsageError
from amplify.protocols import Env
from amplify.rng import numpy_generator
from amplify.sim.libero.config import LiberoConfig
from amplify.sim.libero.env import LiberoEnv
from amplify.sim.libero.images import camera_images
from amplify.sim.libero.simulation import Simulation
from amplify.sim.libero.tasks import find_task, initial_states

pytestmark = pytest.mark.libero

STEPS = 24
SEED = 3


@pytest.fixture(scope="module")
def task():
    return find_task("goal", "turn_on_the_stove")


@pytest.fixture(scope="module")
def actions():
    chosen = numpy_generator(0, "test").uniform(-1, 1, size=(STEPS, 7))
    chosen[:, 6] = np.sign(chosen[:, 6])
    return chosen


@pytest.fixture(scope="module")
def simulation(task):
    return Simulation(task)


@pytest.fixture(scope="module")
def turning(task, simulation):
    """An initial state in which the knob of the stove turns by itself."""
    state = initial_states(task)[SEED].copy()
    model = simulation.model
    knob = next(i for i in range(model.njnt) if "stove" in model.joint(i).name)
    state[1 + model.nq + model.jnt_dofadr[knob]] = 1.5
    return state


@pytest.fixture(scope="module")
def there(tmp_path_factory, task, turning, actions):
    folder = tmp_path_factory.mktemp("stock")
    return stock.run(folder, suite=task.suite, task=task.index, state=turning, seed=SEED, actions=actions)


def test_states_success_proprio_and_pixels_are_those_of_libero_itself(task, turning, actions, there):
    simulation = Simulation(task, LiberoConfig(quality="full"))
    simulation.reset(5)
    simulation.reset(turning, seed=SEED)
    for step, action in enumerate([None, *actions]):
        if action is not None:
            simulation.step(action)
        assert np.array_equal(simulation.state(), there["states"][step])
        assert np.array_equal(simulation.proprio, there["proprio"][step])
        assert simulation.success == there["success"][: step + 1].any()
        if step % 3 == 0:
            assert np.array_equal(camera_images(simulation), there["images"][step]), step
    assert there["success"].any(), "otherwise the comparison of success shows little"


def test_fast_images_look_like_full_ones(simulation, turning, there):
    simulation.reset(turning, seed=SEED)
    difference = np.abs(camera_images(simulation).astype(int) - there["images"][0]).mean()
    assert 0 < difference < 6


def test_a_restored_snapshot_has_the_same_future(simulation, actions):
    simulation.reset(0)
    for action in actions[:6]:
        simulation.step(action)
    snapshot = simulation.snapshot()
    futures = []
    for number in range(2):
        states = []
        for action in actions[6:]:
            simulation.step(action)
            states.append((simulation.state(), simulation.seen.copy(), simulation.proprio.copy()))
        futures.append(states)
        if number == 0:
            simulation.reset(1)
            simulation.step(actions[0])
            simulation.restore(snapshot)
    for before, after in zip(*futures):
        assert all(np.array_equal(a, b) for a, b in zip(before, after))


def test_resets_forget_what_was_before_and_leave_the_global_random_numbers_alone(simulation, actions):
    simulation.reset(2)
    first = simulation.state(), simulation.model.body_pos.copy()
    for action in actions:
        simulation.step(action)
    simulation.reset(9)
    assert not np.array_equal(simulation.model.body_pos, first[1]), "fixtures stand elsewhere in another state"
    np.random.seed(0)
    expected = np.random.rand()
    np.random.seed(0)
    simulation.reset(2)
    assert np.random.rand() == expected
    assert np.array_equal(simulation.state(), first[0])
    assert np.array_equal(simulation.model.body_pos, first[1])


def test_settling_can_be_left_out(task, simulation):
    states = initial_states(task)
    plain = Simulation(task, LiberoConfig(settle=0))
    plain.reset(4)
    assert np.array_equal(plain.state()[1:], states[4][1:])
    simulation.reset(4)
    assert not np.array_equal(simulation.state()[1:], states[4][1:])


def test_flung_objects_make_the_simulation_unstable(simulation, task):
    state = initial_states(task)[0].copy()
    free = simulation._free[0, 0]
    state[1 + free : 4 + free] = (50.0, 0.0, 3.0)
    simulation.reset(state)
    assert (simulation.unstable, simulation.success) == (True, False)
    before = simulation.state()
    simulation.step(np.zeros(7))
    assert np.array_equal(simulation.state(), before)
    simulation.reset(0)
    assert not simulation.unstable


def test_bad_initial_states_are_refused(simulation):
    with pytest.raises(UsageError, match=r"0…49"):
        simulation.reset(50)
    with pytest.raises(DataError, match="does not fit"):
        simulation.reset(np.zeros(5))


def test_copies_take_turns_without_disturbing_each_other(task, simulation, actions):
    env = LiberoEnv(task, 2)
    assert isinstance(env, Env)
    assert (env.max_steps, env.num_envs) == (300, 2)
    env.reset([6, 7])
    for action in actions[:8]:
        moved = torch.from_numpy(np.stack([action, -action])).float()
        env.step(moved, active=[True, True])
    env.step(torch.ones(2, 7), active=[False, True])
    seen = env.observe()
    assert seen.cameras == ("agentview", "eye_in_hand")
    assert seen.instruction == ("turn on the stove",) * 2
    simulation.reset(6)
    for action in actions[:8].astype(np.float32):
        simulation.step(action)
    assert np.array_equal(seen.proprio[0].numpy(), simulation.proprio)
    assert np.array_equal(seen.images[0].numpy(), camera_images(simulation))
    assert not torch.equal(seen.images[0], seen.images[1])
    assert LiberoEnv(task, 1)._stage is env._stage, "a second environment does not build the scene again"
    with pytest.raises(ValueError, match="as many seeds"):
        env.reset([1])
    with pytest.raises(ValueError, match="not finite"):
        env.step(torch.full((2, 7), torch.nan), active=[True, True])


def test_memory_does_not_grow_with_tasks():
    process, used = psutil.Process(), []
    for number in (0, 12, 20, 30, 46, 60):
        Simulation(find_task("libero_90", number)).reset(0)
        used.append(process.memory_info().rss / 1e6)
    # What is left of a scene took 110 MB each time.
    assert max(used[4:]) < max(used[1:3]) + 250
