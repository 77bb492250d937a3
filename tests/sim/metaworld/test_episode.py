import numpy as np
import pytest
import torch

from amplify.sim.metaworld.config import CAMERAS, MetaWorldConfig
from amplify.sim.metaworld.episode import perform
from amplify.sim.metaworld.experts import ScriptedExpert
from amplify.sim.metaworld.images import camera_images
from amplify.sim.metaworld.simulation import Simulation
from amplify.sim.renderer import RenderSettings

SMALL = MetaWorldConfig(
    cameras=(CAMERAS["corner2"], CAMERAS["gripperPOV"]), render=RenderSettings(width_px=32, height_px=32)
)


class Executed(Simulation):
    def __init__(self, *args):
        super().__init__(*args)
        self.actions = []

    def step(self, action):
        self.actions.append(action)
        return super().step(action)


def performed(*, noise=0.2, decisions=60, after_success=6, seed=0):
    simulation = Executed("door-close", SMALL)
    simulation.reset(2)
    generator = np.random.default_rng(seed)
    expert = ScriptedExpert("door-close")
    performance = perform(
        simulation, expert, noise=noise, generator=generator, decisions=decisions, after_success=after_success
    )
    return simulation, performance


def test_row_t_is_what_was_there_before_action_t():
    _, performance = performed()
    simulation = Simulation("door-close", SMALL)
    simulation.reset(2)
    np.testing.assert_array_equal(performance.images[0], camera_images(simulation))
    np.testing.assert_array_equal(performance.proprio[0], simulation.proprio)
    np.testing.assert_array_equal(performance.actions[0], ScriptedExpert("door-close").act(simulation))
    torch.testing.assert_close(performance.scene.body_position[0], torch.from_numpy(simulation.data.xpos).float())
    length = len(performance.actions)
    assert len(performance.images) == len(performance.proprio) == len(performance.scene.body_quaternion) == length


def test_noise_is_executed_and_not_recorded():
    simulation, performance = performed()
    difference = np.array(simulation.actions) - performance.actions
    assert 0.1 < difference[:, :3].std() < 0.3
    assert np.abs(difference[:, 3]).max() == 0
    quiet, clean = performed(noise=0.0)
    np.testing.assert_allclose(np.array(quiet.actions), clean.actions)


@pytest.mark.parametrize("after", [0, 6])
def test_an_episode_ends_so_many_decisions_after_success(after):
    simulation, performance = performed(after_success=after)
    assert performance.success
    again = Simulation("door-close", SMALL)
    again.reset(2)
    reached = next(index for index, action in enumerate(simulation.actions) if again.step(action))
    assert len(performance.actions) == reached + 1 + after


def test_an_episode_without_success_ends_at_the_limit():
    _, performance = performed(decisions=4)
    assert not performance.success
    assert len(performance.actions) == 4


def test_fixed_cameras_stay_and_the_grippers_camera_moves():
    _, performance = performed()
    fixed, moving = performance.scene.cameras["corner2"], performance.scene.cameras["gripperPOV"]
    assert (fixed.turned, moving.turned) == (True, False)
    assert fixed.position.std(dim=0).max() == 0
    torch.testing.assert_close(fixed.position[0], torch.tensor(CAMERAS["corner2"].position_m))
    assert fixed.fovy_deg.unique().tolist() == [50.0]
    assert moving.position.std(dim=0).max() > 0.01
