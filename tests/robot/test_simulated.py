"""The simulated arm under latency and drop-outs, and environments as robots."""

import numpy as np
import pytest
import torch
from amplify_client.realtime import SUCCESS, ArmExpert, KinematicArm, Limiter, Limits, Loop, LoopConfig, ManualClock
from amplify_client.realtime.arm import tip_of
from tests.robot.standins import LOST, Notes, Slow

from amplify.errors import UnknownNameError, UsageError
from amplify.robot.env import EnvRobot
from amplify.robot.simulated import robot_of
from amplify.sim.metaworld.config import ACTION_NAMES, PROPRIO_NAMES
from amplify.types import Observation


def arm_loop(rate_hz, latencies, **settings):
    clock, notes, expert = ManualClock(), Notes(), ArmExpert(horizon=48)
    arm, asker = KinematicArm(clock), Slow(clock, latencies)
    asker.plan = lambda observation: expert.infer(observation)["actions"]
    config = LoopConfig(**{"rate_hz": rate_hz, "watchdog_s": 0.0, "max_steps": 300, "max_age_s": 2.0, **settings})
    limiter = Limiter(Limits.of(arm.limits), arm.action_names, arm.state_names, rate_hz, arm.tip_m)
    return Loop(arm, asker, config, limiter=limiter, clock=clock, observers=[notes]), notes


@pytest.mark.parametrize("rate_hz", [20.0, 35.0, 50.0])
@pytest.mark.parametrize("latencies", [(0.0,), (0.08, 0.15, 0.02), (0.05, LOST, LOST, 0.1, LOST, 0.3)])
def test_the_arm_arrives_at_a_kept_rate_within_its_limits(rate_hz, latencies):
    loop, notes = arm_loop(rate_hz, latencies * 20)
    for seed in (1, 2):
        notes.steps.clear()
        tally = loop.run("reach the red disc", seed=seed)
        assert tally.outcomes == {SUCCESS: 1}
        assert tally.missed == 0
        assert np.allclose(tally.period_ms, 1000 / rate_hz)
        joints = np.stack([step.observation["observation/state"] for step in notes.steps])
        assert np.abs(np.diff(joints, axis=0)).max() * rate_hz <= 2.0 + 1e-3, "rad/s"
        assert all(tip_of(joint)[1] <= 0.56 + 1e-3 for joint in joints), "the workspace"
        # A hand-over on the way asks for no more than the speed of the plan itself.
        asked = [step.asked for step in notes.steps if step.phase == "acting"]
        assert np.abs(np.diff(asked, axis=0)).max() <= 0.12
    assert (tally.failed > 0) == (LOST in latencies)


def test_a_narrow_workspace_holds_the_arm():
    loop, notes = arm_loop(20.0, [0.05], max_steps=60)
    arm = loop.robot
    limits = Limits.of({**arm.limits, "workspace_m": [[-0.5, -0.1], [0.5, 0.4]]})
    loop.limiter = Limiter(limits, arm.action_names, arm.state_names, 20.0, arm.tip_m)
    # The disc of this seed lies above the box, the arm starts below its lid.
    tally = loop.run("reach", seed=10)
    heights = [tip_of(step.observation["observation/state"])[1] for step in notes.steps]
    assert tally.limits["tip", "workspace"].steps > 10
    assert max(heights) <= 0.4 + 1e-3
    assert SUCCESS not in tally.outcomes
    freely, _ = arm_loop(20.0, [0.05], max_steps=60)
    assert freely.run("reach", seed=10).outcomes == {SUCCESS: 1}


class Counting:
    """An environment whose state is the sum of the first action."""

    num_envs, max_steps = 1, 10

    def __init__(self):
        self.action_low, self.action_high = np.array([-1.0, 0.0]), np.array([1.0, 1.0])
        self.seeds, self.actions, self.closed = [], [], False

    def reset(self, seeds):
        self.seeds += list(seeds)
        self.actions = []

    def observe(self):
        return Observation(
            images=torch.full((1, 2, 4, 4, 3), len(self.actions), dtype=torch.uint8),
            cameras=("front", "wrist"),
            proprio=torch.tensor([[sum(a[0] for a in self.actions)]]),
            instruction=("count",),
        )

    def step(self, actions, *, active):
        assert list(active) == [True]
        self.actions.append(actions[0].tolist())
        return np.array([len(self.actions) >= 5])

    def close(self):
        self.closed = True


def counting(**settings):
    names = {"action_names": ("step", "grip"), "state_names": ("sum",), "keep": ("grip",), **settings}
    return EnvRobot(Counting(), **names)


def test_an_environment_is_a_robot():
    robot = counting()
    robot.reset(7)
    assert robot.env.seeds == [0, 7]
    robot.act(np.array([0.5, 1.0]))
    seen = robot.observe()
    assert set(seen) == {"observation/front", "observation/wrist", "observation/state"}
    assert seen["observation/state"].tolist() == [0.5]
    assert seen["observation/front"].shape == (4, 4, 3)
    # A stop lets time pass, moves nothing, and does not let go.
    assert robot.stop().tolist() == [0.0, 1.0]
    assert robot.env.actions[-1] == [0.0, 1.0]
    assert robot.limits["dimensions"]["grip"] == {"low": 0.0, "high": 1.0}
    for _ in range(3):
        assert not robot.success
        robot.act(np.array([0.1, 0.0]))
    assert robot.success
    robot.close()
    assert robot.env.closed


def test_a_stop_from_another_thread_does_not_enter_a_busy_simulator():
    robot = counting()
    with robot._moving:
        assert robot.stop().tolist() == [0.0, 0.0]
    assert robot.env.actions == []


def test_several_copies_are_no_robot():
    with pytest.raises(UsageError, match="one copy"):
        counting(action_names=("step",), keep=())


def test_robots_by_name():
    assert robot_of("arm").instruction == "reach the red disc"
    for name in ("leg", "metaworld/drawer-opn"):
        with pytest.raises(UnknownNameError):
            robot_of(name)
    with pytest.raises(UsageError, match="one task"):
        robot_of("arm/other")
    with pytest.raises(UsageError, match="module:Class"):
        robot_of("no_such_module:Arm")


def test_the_arm_of_meta_world_stays_in_its_workspace():
    robot = robot_of("metaworld/drawer-open")
    assert robot.instruction == "open the drawer"
    assert robot.rate_hz == 27
    limiter = Limiter(Limits.of(robot.limits), robot.action_names, robot.state_names, 27)
    robot.reset(1)
    hand = robot.observe()["observation/state"]
    assert robot.state_names == PROPRIO_NAMES
    assert robot.action_names == ACTION_NAMES
    _, high = robot.limits["dimensions"]["hand_dx"]["position"]
    at_the_edge = hand.astype(float)
    at_the_edge[0] = high - 0.003
    sent, changes = limiter.apply(np.array([5.0, 0, 0, 1.0]), at_the_edge)
    assert sent == pytest.approx([0.1, 0, 0, 1.0])
    assert {(c.dimension, c.limit) for c in changes} == {("hand_dx", "value"), ("hand_dx", "position")}
    for _ in range(12):
        sent, _ = limiter.apply(np.array([1.0, 0, 0, -1.0]), robot.observe()["observation/state"])
        robot.act(sent)
    moved = robot.observe()["observation/state"][0] - hand[0]
    assert 0.03 < moved <= 12 * 0.03
    assert robot.observe()["observation/state"][0] <= high + 0.02
    # The hand catches up with what it was told before, and rests.
    for _ in range(12):
        robot.stop()
    still = robot.observe()["observation/state"]
    robot.stop()
    assert np.abs(robot.observe()["observation/state"] - still)[:3].max() < 1e-3
    robot.close()


@pytest.mark.libero
def test_the_panda_of_libero():
    from amplify.sim.libero.tasks import suite_tasks

    task = suite_tasks("libero_object")[0]
    robot = robot_of(f"libero/libero_object/{task.name}")
    assert robot.instruction == task.instruction
    assert robot.rate_hz == 20
    robot.reset(3)
    seen = robot.observe()
    assert set(seen) == {"observation/agentview", "observation/eye_in_hand", "observation/state"}
    assert seen["observation/state"].shape == (len(robot.state_names),)
    robot.act(np.array([1.0, 0, 0, 0, 0, 0, 1.0]))
    assert (robot.observe()["observation/agentview"] != seen["observation/agentview"]).any()
    assert robot.stop().tolist() == [0, 0, 0, 0, 0, 0, 1.0]
    robot.close()
