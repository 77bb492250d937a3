"""Watchdog, asker, faults, robots by name, the light arm."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from amplify_client import PolicyClient, ServerError
from amplify_client.realtime import (
    ArmExpert,
    Faulty,
    KinematicArm,
    LoopConfig,
    ManualClock,
    ReconnectingClient,
    Schedule,
    Tally,
    ThreadAsker,
    Watchdog,
    load_robot,
    run_robot,
)
from amplify_client.realtime.arm import joints_at, tip_of
from tests.serve.toy import Seen, sent, serving


class Gate:
    """A policy that answers when the gate is open."""

    def __init__(self):
        self.open, self.resets, self.asked = threading.Event(), 0, 0

    def infer(self, observation):
        self.asked += 1
        number = self.asked
        assert self.open.wait(10)
        return {"actions": np.full((4, 1), float(number))}

    def reset(self):
        self.resets += 1


def eventually(condition, patience_s=10.0):
    ends_s = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < ends_s
        time.sleep(0.005)


def answer_of(asker):
    found = []
    eventually(lambda: found.append(asker.poll()) or found[-1] is not None)
    return found[-1]


def test_asking_does_not_wait():
    gate = Gate()
    asker = ThreadAsker(gate)
    asker.ask({}, made_at=3, seen_s=1.5)
    assert asker.busy
    assert asker.poll() is None
    with pytest.raises(RuntimeError, match="under way"):
        asker.ask({}, made_at=4, seen_s=1.6)
    gate.open.set()
    answer = answer_of(asker)
    assert (answer.made_at, answer.seen_s, answer.error) == (3, 1.5, None)
    assert not asker.busy
    asker.close()


def test_an_answer_of_the_episode_before_is_dropped():
    gate = Gate()
    asker = ThreadAsker(gate)
    asker.ask({}, made_at=0, seen_s=0.0)
    eventually(lambda: gate.asked == 1)
    asker.reset()
    asker.ask({}, made_at=0, seen_s=0.0)
    gate.open.set()
    assert answer_of(asker).found["actions"][0, 0] == 2
    assert gate.resets == 1
    assert asker.poll() is None
    asker.close()


def test_errors_come_as_answers():
    asker = ThreadAsker(Faulty(Gate(), drop_share=1.0, timeout_s=0.0))
    asker.ask({}, made_at=0, seen_s=0.0)
    assert isinstance(answer_of(asker).error, ServerError)
    asker.close()


def test_the_watchdog_barks_once_until_it_is_fed():
    barks = []
    with Watchdog(lambda: barks.append(time.monotonic()), 0.4) as watchdog:
        for _ in range(10):
            time.sleep(0.01)
            watchdog.feed()
        assert barks == []
        eventually(lambda: watchdog.fired == 1)
        time.sleep(0.6)
        assert len(barks) == 1
        watchdog.feed()
        eventually(lambda: watchdog.fired == 2)
    time.sleep(0.6)
    assert len(barks) == 2, "it sleeps when the episode is over"
    with pytest.raises(ValueError, match="above 0"):
        Watchdog(lambda: None, 0.0)


class Hanging(KinematicArm):
    """Its camera hangs at the tenth picture."""

    def __init__(self):
        super().__init__()
        self.pictures, self.stopped_in, self.hangs = 0, [], False

    def observe(self):
        self.pictures += 1
        if self.pictures == 10:
            self.hangs = True
            time.sleep(0.6)
            self.hangs = False
        return super().observe()

    def stop(self):
        self.stopped_in.append((threading.current_thread().name, self.hangs))
        return super().stop()


def test_the_watchdog_stops_a_robot_whose_camera_hangs():
    arm = Hanging()
    tally = run_robot(arm, ArmExpert(), arm.instruction, LoopConfig(rate_hz=50.0, watchdog_s=0.2, max_steps=30))
    assert tally.watchdog >= 1
    assert ("watchdog", True) in arm.stopped_in
    assert tally.missed > 20
    assert tally.acted > 12, "and goes on"


def scheduling():
    return os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK, sys.getswitchinterval()


def test_the_loop_comes_before_others_and_leaves_things_as_they_were():
    usual = scheduling()
    found = {}

    class Looking(KinematicArm):
        def act(self, action):
            found[threading.current_thread().name] = scheduling()
            super().act(action)

    class Asked(ArmExpert):
        def infer(self, observation):
            found[threading.current_thread().name] = scheduling()
            return super().infer(observation)

    run_robot(Looking(), Asked(), "reach", LoopConfig(rate_hz=50.0, max_steps=3))
    assert found["MainThread"] == (usual[0], 0.0005)
    assert scheduling() == usual
    try:
        run_robot(Looking(), Asked(), "reach", LoopConfig(rate_hz=50.0, max_steps=3, priority=5))
    except ValueError as error:
        assert "rtprio" in str(error)  # noqa: PT017  (not every computer permits it)
    else:
        assert found["MainThread"] == (os.SCHED_FIFO, 0.0005)
        assert found["asking-the-policy"][0] == usual[0], "the policy's thread must not take the loop's place"
    assert scheduling() == usual


def test_lost_and_late_answers_are_drawn_with_a_seed():
    def losses(seed):
        faulty, found = Faulty(ArmExpert(), drop_share=0.5, timeout_s=0.0, seed=seed), []
        for _ in range(40):
            try:
                faulty.infer(KinematicArm(ManualClock()).observe())
                found.append(False)
            except ServerError:
                found.append(True)
        return found

    assert losses(1) == losses(1) != losses(2)
    assert 10 < sum(losses(1)) < 30
    started = time.monotonic()
    Faulty(ArmExpert(), latency_s=0.05, jitter_s=0.01).infer(KinematicArm(ManualClock()).observe())
    assert time.monotonic() - started >= 0.05
    for wrong in ({"latency_s": -1}, {"drop_share": 1.5}):
        with pytest.raises(ValueError, match="0"):
            Faulty(ArmExpert(), **wrong)


def test_a_lost_connection_is_made_again():
    with serving(Seen()) as server:
        client = ReconnectingClient(lambda: PolicyClient(port=server.port))
        assert client.metadata["mode"] == "chunk"
        client.infer(sent())
        with pytest.raises(ServerError, match="not that"):
            client.infer(sent(prompt="refuse"))
        assert client.infer(sent())["actions"].shape == (4, 2)
        assert client.reconnections == 1
        client.reset()
        client.close()
    with pytest.raises(ServerError, match="no policy server"):
        client.infer(sent())


def test_schedules_that_make_no_sense():
    with pytest.raises(ValueError, match="newest, ensemble"):
        Schedule("mean")
    with pytest.raises(ValueError, match="0 or more"):
        Schedule(fade_steps=-1)


def test_older_plans_weigh_more_in_an_ensemble():
    schedule = Schedule("ensemble", decay=1.0)
    schedule.add(np.zeros((4, 1)), made_at=0, seen_s=0.0)
    schedule.add(np.ones((4, 1)), made_at=0, seen_s=1.0)
    action, seen_s = schedule.due()
    assert action[0] == pytest.approx(np.exp(-1) / (1 + np.exp(-1)))
    assert seen_s == 1.0
    schedule.clear()
    assert schedule.due() is None


def test_the_arm_goes_where_it_is_told_at_its_speed():
    clock = ManualClock()
    arm = KinematicArm(clock, speed_rad_s=1.0)
    arm.act(np.array([1.5, 1.2]))
    clock.passes(0.25)
    assert arm.observe()["observation/state"] == pytest.approx([0.75, 1.2])
    arm.stop()
    clock.passes(5.0)
    assert arm.observe()["observation/state"] == pytest.approx([0.75, 1.2])
    assert joints_at(*tip_of((0.4, 1.1))) == pytest.approx([0.4, 1.1])
    arm.reset(4)
    first = arm.observe()["observation/image"]
    arm.reset(5)
    assert (first != arm.observe()["observation/image"]).any()
    arm.reset(4)
    assert (first == arm.observe()["observation/image"]).all()


def test_robots_by_name(tmp_path, monkeypatch):
    (tmp_path / "my_arm.py").write_text(
        "from amplify_client.realtime import KinematicArm\nclass Mine(KinematicArm):\n    pass\nclass No:\n    pass\n"
    )
    (tmp_path / "needy_arm.py").write_text("import a_package_that_nobody_has\n")
    monkeypatch.chdir(tmp_path)
    assert load_robot("my_arm:Mine").action_names == ("shoulder_rad", "elbow_rad")
    for name, message in (
        ("my_arm", "named 'module:Class'"),
        ("your_arm:Mine", "no module 'your_arm'"),
        ("my_arm:Yours", "my_arm has no 'Yours'; its classes are KinematicArm, Mine, No"),
        ("my_arm:No", r"is no robot: it lacks reset\(\), observe\(\), .*action_names"),
    ):
        with pytest.raises(ValueError, match=message):
            load_robot(name)
    with pytest.raises(ModuleNotFoundError, match="a_package_that_nobody_has"):
        load_robot("needy_arm:Mine")


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"action_names": ["a", "b", "c"]}, "the policy's actions are a, b, c; the robot's are shoulder_rad"),
        ({"mode": "ensemble"}, "serve with --mode chunk"),
        ({"action_horizon": 4}, "replan_every is 4 and a plan has 4"),
    ],
)
def test_policies_that_do_not_suit(metadata, message):
    policy = ArmExpert()
    policy.metadata = metadata
    with pytest.raises(ValueError, match=message):
        run_robot(KinematicArm(ManualClock()), policy, "reach")


def test_figures_of_several_episodes():
    first, second = Tally(20.0, last_error="a"), Tally(20.0)
    first.late_ms, second.late_ms = [1.0, 2.0], [3.0]
    first.outcomes, second.outcomes = {"success": 1}, {"success": 1, "gave up": 1}
    first.add(second)
    assert first.summary()["late_ms"] == {"p50": 2.0, "p99": 3.0, "max": 3.0}
    assert first.outcomes == {"success": 2, "gave up": 1}
    assert first.last_error == "a"
    assert Tally(20.0).summary()["jitter_ms"] is None


def test_the_loop_needs_no_torch():
    code = (
        "import sys, amplify_client.realtime as r; r.run_robot(r.KinematicArm(), r.ArmExpert(), 'reach');"
        "print(sorted({'torch', 'amplify', 'cv2', 'pydantic'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
