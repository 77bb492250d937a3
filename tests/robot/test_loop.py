"""The loop on a clock that stands still unless somebody sleeps: exact, whatever the machine does."""

import numpy as np
import pytest
from amplify_client.realtime import GAVE_UP, STEP_LIMIT, SUCCESS, DimensionLimits, Limits, LoopConfig
from tests.robot.standins import LOST, Notes, made


@pytest.mark.parametrize("rate_hz", [20.0, 50.0])
def test_the_rate_is_kept_whatever_the_latency(rate_hz):
    loop, robot, _, _ = made([0.13], rate_hz=rate_hz)
    tally = loop.run("go")
    assert tally.outcomes == {STEP_LIMIT: 1}
    sent = np.array([at for at, name, _ in robot.calls if name in ("act", "stop")][:-1]) - 100.0
    assert np.allclose(sent, np.arange(len(sent)) / rate_hz, atol=1e-9)
    assert np.allclose(tally.period_ms, 1000 / rate_hz)
    assert tally.missed == 0
    assert tally.summary()["rate_hz"]["achieved"] == pytest.approx(rate_hz)


@pytest.mark.parametrize("latency_s", [0.0, 0.04, 0.05, 0.12, 0.26])
def test_a_late_plan_is_entered_where_the_robot_is_by_then(latency_s):
    # The plan from state s is s, s + 1, …: entered rightly, the actions count on without a jump or a repetition.
    loop, robot, _, _ = made([latency_s], max_steps=60)
    tally = loop.run("go")
    assert robot.acts == list(range(60))
    assert max(tally.jumps) == 0
    # The first plan finds a robot that has not moved, the others one that has gone on for the latency.
    passed = np.ceil(round(latency_s * 20, 6))
    assert tally.entered[0] == 0
    assert set(tally.entered[1:]) == {max(passed, 1)}


def test_plans_that_disagree_jump_at_the_hand_over_or_fade():
    def acts_of(**settings):
        loop, robot, asker, _ = made([0.0], max_steps=12, **settings)
        asker.plan = lambda _: np.full((16, 1), float(len(asker.asked_s)))
        return robot, loop.run("go")

    robot, tally = acts_of()
    assert robot.acts == [1] * 5 + [2] * 4 + [3] * 3
    assert tally.jumps == [1, 1]
    robot, tally = acts_of(fade_steps=3)
    assert robot.acts == [1] * 5 + [1.25, 1.5, 1.75, 2] + [2.25, 2.5, 2.75]
    assert np.abs(np.diff(robot.acts)).max() == 0.25
    robot, tally = acts_of(merge="ensemble", decay=0.0)
    assert robot.acts == [1] * 5 + [1.5] * 4 + [2] * 3


def test_the_next_plan_is_computed_while_the_robot_acts():
    notes = Notes()
    loop, _, asker, _ = made([0.2], replan_every=6, max_steps=60, observers=[notes])
    tally = loop.run("go")
    assert notes.phases == [("waiting", 4), ("acting", 60)]
    # One request every six actions of 50 ms, none while another is under way; the first is that of the standing robot.
    assert np.allclose(np.diff(asker.asked_s), [0.5] + [0.3] * 8)
    assert tally.asked == 10


def test_an_observation_is_asked_about_every_so_many_actions():
    few, many = made([0.0], replan_every=8), made([0.0], replan_every=2)
    assert many[0].run("go").asked == 20
    assert few[0].run("go").asked == 5


def test_nobody_acts_before_there_is_a_plan():
    loop, robot, _, _ = made([0.5], horizon=32)
    tally = loop.run("go")
    assert robot.whats[:12] == ["reset", *["stop"] * 10, "act"]
    assert (tally.waiting, tally.stale, tally.stalls) == (10, 0, 0)


def test_a_plan_has_to_last_two_latencies():
    # One until the next observation's plan comes; and that observation may have waited for the plan before.
    assert made([0.4], horizon=17, max_steps=100)[0].run("go").stale == 0
    assert made([0.4], horizon=15, max_steps=100)[0].run("go").stale > 0


def test_stale_actions_stop_the_robot_and_a_new_plan_moves_it_on():
    # The second request, after 4 actions, is lost five times of 0.2 s each; the plan before has 16 actions.
    notes = Notes()
    loop, robot, _, _ = made([0.0, LOST, LOST, LOST, LOST, LOST, 0.0], max_steps=60, observers=[notes])
    tally = loop.run("go")
    assert notes.phases == [("waiting", 1), ("acting", 16), ("stale", 9), ("acting", 44)]
    assert robot.whats == ["reset", "stop", *["act"] * 16, *["stop"] * 9, *["act"] * 44, "stop"]
    assert robot.acts == list(range(60)), "goes on where it was: nothing is left out or done twice"
    assert (tally.stale, tally.stalls, tally.recovered, tally.failed) == (9, 1, 1, 5)
    assert tally.last_error == "the connection is closed"
    assert tally.outcomes == {STEP_LIMIT: 1}


def test_what_was_seen_too_long_ago_is_no_ground_to_act_on():
    # Six ticks are within 0.32 s of the first observation. The second, of tick 5, is answered after 3 s: too old, too.
    notes = Notes()
    loop, robot, _, _ = made([0.0, 3.0, 0.0], max_age_s=0.32, max_steps=30, observers=[notes])
    tally = loop.run("go")
    assert notes.phases == [("waiting", 1), ("acting", 6), ("stale", 59), ("acting", 24)]
    assert max(step.age_ms for step in notes.steps if step.phase == "acting") <= 320
    assert robot.acts == list(range(30))
    assert (tally.stalls, tally.recovered) == (1, 1)
    patient = made([0.0, 0.5, 0.0], max_age_s=1.0, max_steps=30)[0].run("go")
    assert patient.stale == 0


def test_a_stall_that_lasts_ends_the_episode():
    loop, robot, _, clock = made([0.0, 99.0], give_up_s=2.0)
    tally = loop.run("go")
    assert tally.outcomes == {GAVE_UP: 1}
    assert robot.whats[-1] == "stop"
    assert robot.acts == list(range(16))
    assert clock.now_s() - 100 == pytest.approx((16 + 1) * 0.05 + 2.0, abs=0.051)
    never = made([99.0], give_up_s=1.0)[0].run("go")
    assert never.outcomes == {GAVE_UP: 1}
    assert never.acted == 0


def test_a_plan_that_is_over_when_it_comes_is_not_used():
    loop, robot, asker, _ = made([0.0, 0.2, 0.0], max_steps=30)
    plan = asker.plan
    asker.plan = lambda observation: plan(observation)[: 3 if len(asker.asked_s) == 2 else 16]
    tally = loop.run("go")
    assert tally.too_late == 1
    assert tally.used == tally.asked - 1 - asker.busy
    assert robot.acts == list(range(30))


def test_late_steps_are_not_caught_up_with():
    # The eleventh observation takes 0.12 s: it is sent two ticks late, the next tick is over and left out.
    notes = Notes()
    loop, _, _, _ = made([0.0], observe_s={10: 0.12}, max_steps=20, observers=[notes])
    tally = loop.run("go")
    assert [step.tick for step in notes.steps] == [*range(11), *range(12, 22)]
    assert [round(step.at_s, 6) for step in notes.steps[9:14]] == [0.45, 0.62, 0.62, 0.65, 0.7]
    assert tally.missed == 1
    assert max(tally.late_ms) == pytest.approx(120)
    assert tally.late_ms[-1] == pytest.approx(0)


def test_a_dry_run_sends_nothing():
    loop, robot, _, _ = made([0.1], dry_run=True, watchdog_s=0.5)
    tally = loop.run("go")
    assert robot.calls == []
    assert tally.acted == 40


def test_success_ends_the_episode_with_a_stop():
    loop, robot, _, _ = made([0.0])
    act = robot.act

    def act_well(action):
        act(action)
        robot.success = robot.done == 7

    robot.act = act_well
    assert loop.run("go").outcomes == {SUCCESS: 1}
    assert robot.done == 7
    assert robot.whats[-1] == "stop"


@pytest.mark.parametrize("where", ["observe", "act"])
def test_whatever_breaks_stops_the_robot(where):
    loop, robot, _, _ = made([0.0])

    def broken(*_):
        raise OSError("no such motor")

    setattr(robot, where, broken)
    with pytest.raises(OSError, match="no such motor"):
        loop.run("go")
    assert robot.whats[-1] == "stop"


def test_a_mistake_in_the_policy_is_no_drop_out():
    loop, robot, asker, _ = made([0.0])
    asker.plan = lambda _: np.zeros((16, 7))
    with pytest.raises(ValueError, match=r"shape \(16, 7\); the robot takes \(steps, 1\): x"):
        loop.run("go")
    assert robot.whats[-1] == "stop"
    assert robot.acts == []


def test_numbers_that_are_none_are_not_sent():
    loop, robot, asker, _ = made([0.0], max_steps=10)
    plan, odd = asker.plan, {1: np.nan, 2: np.inf}
    asker.plan = lambda observation: plan(observation) + odd.get(len(asker.asked_s), 0.0)
    tally = loop.run("go")
    assert tally.refused == 2
    assert robot.acts == list(range(10))


def test_a_robot_that_does_not_know_where_it_is_stops():
    notes = Notes()
    loop, robot, _, _ = made([0.0], states={5: np.nan, 6: np.nan}, max_steps=20, observers=[notes])
    tally = loop.run("go")
    assert tally.blind == 2
    assert notes.phases == [("waiting", 1), ("acting", 4), ("stale", 2), ("acting", 16)]
    assert robot.acts == list(range(20))


def test_a_state_of_another_length_is_a_mistake():
    loop, robot, _, _ = made([0.0])
    robot.state_names = ("a", "b")
    with pytest.raises(ValueError, match=r"gives 1 numbers .* 2: a, b"):
        loop.run("go")


def test_limits_hold_and_are_reported(caplog):
    limits = Limits({"x": DimensionLimits(low=0, high=12.5)})
    loop, robot, _, _ = made([0.1], limits=limits, max_steps=30)
    tally = loop.run("go")
    assert max(robot.acts) == 12.5
    assert tally.limits["x", "value"].steps == 17
    assert (tally.limits["x", "value"].worst_asked, tally.limits["x", "value"].sent) == (29, 12.5)
    assert tally.summary()["limited"] == [
        {"dimension": "x", "limit": "value", "steps": 17, "worst_asked": 29.0, "sent": 12.5}
    ]
    assert caplog.text.count("the value limit") == 1, "said once, counted always"


def test_episodes_are_apart():
    loop, robot, asker, _ = made([0.0], max_steps=5)
    first = loop.run("go", seed=3)
    robot.done = 0
    second = loop.run("go", seed=4)
    assert asker.resets == 2
    assert [value for _, what, value in robot.calls if what == "reset"] == [3, 4]
    assert robot.acts == [0, 1, 2, 3, 4] * 2
    first.add(second)
    assert first.outcomes == {STEP_LIMIT: 2}
    assert first.acted == 10


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rate_hz", 0),
        ("rate_hz", float("inf")),
        ("replan_every", 0),
        ("max_steps", 0),
        ("watchdog_s", -1),
        ("priority", 100),
        ("give_up_s", 0),
    ],
)
def test_settings_that_make_no_sense(field, value):
    with pytest.raises(ValueError, match=field):
        LoopConfig(**{field: value})
