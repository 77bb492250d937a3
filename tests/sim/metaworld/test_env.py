import numpy as np
import pytest
import torch

from amplify.errors import UnknownNameError, pick
from amplify.protocols import Benchmark, Env
from amplify.sim.benchmarks import BENCHMARKS
from amplify.sim.metaworld.benchmark import MetaWorldBenchmark
from amplify.sim.metaworld.config import CAMERAS, MetaWorldConfig
from amplify.sim.metaworld.env import MetaWorldEnv
from amplify.sim.metaworld.experts import ScriptedExpert
from amplify.sim.renderer import RenderSettings

SMALL = MetaWorldConfig(
    cameras=(CAMERAS["corner2"], CAMERAS["topview"]), render=RenderSettings(width_px=32, height_px=24), max_decisions=50
)


@pytest.fixture
def env():
    made = MetaWorldEnv("door-close", 3, SMALL)
    yield made
    made.close()


def test_the_registry_gives_a_benchmark_of_fifty_tasks():
    benchmark = pick("metaworld", BENCHMARKS, kind="benchmark")()
    assert isinstance(benchmark, Benchmark)
    assert len(benchmark.tasks()) == 50
    assert benchmark.instruction("drawer-open") == "open the drawer"
    with pytest.raises(UnknownNameError, match="did you mean 'metaworld'"):
        pick("meta-world", BENCHMARKS, kind="benchmark")
    with pytest.raises(UnknownNameError, match="did you mean 'drawer-open'"):
        benchmark.make("drawer-opens", 1)


def test_what_a_policy_needs_to_know_beforehand():
    env = MetaWorldBenchmark(SMALL).make("door-close", 2)
    assert isinstance(env, Env)
    assert (env.num_envs, env.max_steps) == (2, 50)
    assert (env.action_low.tolist(), env.action_high.tolist()) == ([-1.0] * 4, [1.0] * 4)


def test_observations_have_the_documented_shapes(env):
    env.reset([1, 2, 3])
    observation = env.observe()
    assert observation.images.shape == (3, 2, 24, 32, 3)
    assert observation.images.dtype == torch.uint8
    assert observation.cameras == ("corner2", "topview")
    assert observation.proprio.shape == (3, 4)
    assert observation.instruction == ("close the door",) * 3


def test_a_seed_fixes_images_and_proprioception(env):
    env.reset([7, 8, 7])
    first = env.observe()
    env.step(torch.ones(3, 4), active=[True] * 3)
    env.reset([8, 7, 8])
    again = env.observe()
    assert torch.equal(first.images[0], first.images[2])
    assert torch.equal(first.images[[1, 0, 1]], again.images)
    assert torch.equal(first.proprio[[1, 0, 1]], again.proprio)
    assert not torch.equal(first.images[0], first.images[1])


def test_another_body_is_seen_and_the_robot_felt(env):
    other = MetaWorldEnv("door-close", 3, SMALL.model_copy(update={"body": "hand"}))
    for made in (env, other):
        made.reset([1, 2, 3])
        made.step(torch.tensor([[0.2, 1.0, -0.5, 1.0]] * 3), active=[True] * 3)
    robot, hand = env.observe(), other.observe()
    assert torch.equal(robot.proprio, hand.proprio)
    assert ((robot.images.int() - hand.images.int()).abs().amax(dim=-1) > 16)[:, 0].float().mean() > 0.1


def test_finished_copies_are_not_stepped_and_repeat_their_observation(env):
    env.reset([1, 2, 3])
    first = env.observe()
    success = env.step(torch.tensor([[0.0, 1.0, 0.5, 0.0]] * 3), active=[True, False, True])
    later = env.observe()
    assert torch.equal(later.images[1], first.images[1])
    assert torch.equal(later.proprio[1], first.proprio[1])
    for index in (0, 2):
        assert not torch.equal(later.images[index], first.images[index])
    assert success.tolist() == [False] * 3
    assert success.dtype == bool


def test_earlier_observations_are_not_overwritten(env):
    env.reset([1, 2, 3])
    first = env.observe()
    kept = first.images.clone()
    env.step(torch.ones(3, 4), active=[True] * 3)
    assert not torch.equal(env.observe().images, kept)
    assert torch.equal(first.images, kept)


def test_success_is_reached_by_the_expert_and_latched_until_the_next_reset():
    env = MetaWorldEnv("door-close", 1, SMALL)
    env.reset([4])
    expert, simulation = ScriptedExpert("door-close"), env._copies[0]
    success = np.array([False])
    for _ in range(SMALL.max_decisions):
        if success[0]:
            break
        success = env.step(torch.from_numpy(expert.act(simulation))[None], active=[True])
    assert success.tolist() == [True]
    for _ in range(25):
        success = env.step(torch.tensor([[-1.0, -1.0, 1.0, 0.0]]), active=[True])
    assert success.tolist() == [True]
    env.reset([4])
    success = env.step(torch.zeros(1, 4), active=[True])
    assert success.tolist() == [False]


def test_wrong_calls_are_refused(env):
    with pytest.raises(ValueError, match="3 environments need as many seeds, got 2"):
        env.reset([1, 2])
    env.reset([1, 2, 3])
    with pytest.raises(ValueError, match="shape"):
        env.step(torch.zeros(2, 4), active=[True] * 3)
    actions = torch.zeros(3, 4)
    actions[1, 2] = float("nan")
    with pytest.raises(ValueError, match="environment 1 is not finite"):
        env.step(actions, active=[True] * 3)
    env.step(actions, active=[True, False, True])
