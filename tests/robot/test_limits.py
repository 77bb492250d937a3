import math

import numpy as np
import pytest
from amplify_client.realtime import DimensionLimits, Limiter, Limits
from hypothesis import given, settings
from hypothesis import strategies as st

RATE = 20.0


def limiter(limits, *, state=("p",), actions=("x",), tip_m=None, **box):
    return Limiter(Limits({"x": limits} if limits else {}, **box), actions, state, RATE, tip_m)


def sent(limiter, action, state=0.0):
    found, changes = limiter.apply(np.array([float(action)]), np.array([float(state)]))
    return found[0], [change.limit for change in changes]


def test_without_limits_nothing_changes():
    assert sent(limiter(None), 1e9) == (1e9, [])
    assert sent(limiter(DimensionLimits(low=-2, high=2)), 1.5) == (1.5, [])


def test_values():
    of = limiter(DimensionLimits(low=-1, high=1))
    assert sent(of, 3) == (1, ["value"])
    assert sent(of, -3) == (-1, ["value"])


def test_positions_are_gone_to_within_their_range():
    of = limiter(DimensionLimits(kind="position", position=(0.0, 2.0)))
    assert sent(of, 2.5) == (2.0, ["position"])
    assert sent(of, -0.1) == (0.0, ["position"])
    # In units of the action: one is half a unit of the state.
    assert sent(limiter(DimensionLimits(kind="position", position=(0.0, 2.0), scale=0.5)), 9) == (4.0, ["position"])


def test_targets_travel_no_faster_than_allowed():
    of = limiter(DimensionLimits(kind="position", state="p", velocity=2.0))
    assert sent(of, 1.0, state=0.5) == (pytest.approx(0.6), ["velocity"]), "from where the robot is, at first"
    assert sent(of, 1.0, state=0.5) == (pytest.approx(0.7), ["velocity"]), "then from the target before"
    assert sent(of, 0.72, state=0.5) == (0.72, [])
    of.reset()
    assert sent(of, 1.0, state=0.5) == (pytest.approx(0.6), ["velocity"])


def test_displacements_and_velocities():
    step = limiter(DimensionLimits(kind="displacement", state="p", scale=0.01, position=(0.0, 0.5), velocity=0.1))
    # 0.1 a second are 0.005 a step, half of what an action of 1 asks for.
    assert sent(step, 1.0, state=0.2) == (pytest.approx(0.5), ["velocity"])
    assert sent(step, 0.4, state=0.499) == (pytest.approx(0.1), ["position"])
    speed = limiter(DimensionLimits(kind="velocity", state="p", position=(0.0, 0.5), velocity=0.1))
    assert sent(speed, -0.3, state=0.2) == (pytest.approx(-0.1), ["velocity"])
    # 0.001 is left, in one twentieth of a second.
    assert sent(speed, 0.1, state=0.499) == (pytest.approx(0.02), ["position"])


def test_outside_one_may_come_back_and_not_go_further():
    step = limiter(DimensionLimits(kind="displacement", state="p", position=(0.0, 0.5)))
    assert sent(step, 0.1, state=0.6) == (0.0, ["position"])
    assert sent(step, -0.3, state=0.6) == (-0.3, [])
    assert sent(step, 0.0, state=0.6) == (0.0, []), "nobody is moved who does not want to"


@settings(deadline=None)
@given(
    st.sampled_from(["position", "velocity", "displacement"]),
    st.floats(-10, 10),
    st.floats(-3, 3),
    st.floats(0.01, 5),
    st.floats(0.01, 5),
)
def test_limits_hold_for_whatever_is_asked(kind, asked, state, scale, velocity):
    of = limiter(DimensionLimits(kind=kind, state="p", scale=scale, position=(-1.0, 1.0), velocity=velocity))
    action, _ = sent(of, asked, state)
    after = action * scale if kind == "position" else state + action * scale / (RATE if kind == "velocity" else 1)
    speed = abs(action) * scale if kind == "velocity" else abs(after - state) * RATE
    assert speed <= velocity * (1 + 1e-6) + 1e-9
    assert after <= max(1.0, state) + 1e-9
    assert after >= min(-1.0, state) - 1e-9
    assert math.isfinite(action)


def test_the_tip_stays_in_its_box():
    def tip(action, state):
        return [state[0] + action[0], 0.0]

    of = limiter(DimensionLimits(kind="displacement", state="p"), tip_m=tip, workspace_m=((-1.0, -1.0), (1.0, 1.0)))
    assert sent(of, 0.5, state=0.0) == (0.5, [])
    assert sent(of, 0.5, state=0.8) == (0.125, ["workspace"])
    assert sent(of, 0.5, state=1.0) == (0.0, ["workspace"])
    assert sent(of, -0.5, state=1.4) == (-0.5, []), "from outside, inwards"
    assert sent(of, 0.5, state=1.4) == (0.0, ["workspace"])


def test_what_does_not_fit_the_robot():
    with pytest.raises(ValueError, match="limits of y; the robot's actions are x"):
        Limiter(Limits({"y": DimensionLimits()}), ("x",), ("p",), RATE)
    with pytest.raises(ValueError, match="name the states q; the robot's are p"):
        limiter(DimensionLimits(kind="velocity", state="q", position=(0, 1)))
    with pytest.raises(ValueError, match="tip_m"):
        limiter(DimensionLimits(kind="position"), workspace_m=((0.0,), (1.0,)))
    with pytest.raises(ValueError, match="the kind of each dimension that moves the tip"):
        limiter(None, workspace_m=((0.0,), (1.0,)), tip_m=lambda action, state: action)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "limits is a map, and not a list"),
        ({"dimension": {}}, "limits has no dimension; it has dimensions, workspace_m"),
        ({"dimensions": {"x": {"max": 1}}}, r"dimensions\.x has no max; it has kind, low"),
        ({"dimensions": {"x": {"kind": "speed"}}}, r"dimensions\.x: kind is one of position"),
        ({"dimensions": {"x": {"low": 2, "high": 1}}}, "a lower limit is above"),
        ({"dimensions": {"x": {"kind": "position", "position": [1, 0]}}}, "a lower limit is above"),
        ({"dimensions": {"x": {"kind": "position", "position": [1]}}}, r"dimensions\.x"),
        ({"dimensions": {"x": {"kind": "position", "position": "up"}}}, r"dimensions\.x"),
        ({"dimensions": {"x": {"low": "a"}}}, r"dimensions\.x"),
        ({"dimensions": {"x": {"velocity": 1}}}, "need a kind"),
        ({"dimensions": {"x": {"kind": "velocity", "velocity": 0}}}, "above 0"),
        ({"dimensions": {"x": {"kind": "velocity", "scale": -1}}}, "above 0"),
        ({"dimensions": {"x": {"kind": "displacement", "position": [0, 1]}}}, "needs the name of the state"),
        ({"dimensions": {"x": {"kind": "position", "velocity": 1}}}, "needs the name of the state"),
        ({"workspace_m": [[0, 0], [-1, 1]]}, "two corners, the lower one first"),
        ({"workspace_m": "here"}, "two corners"),
    ],
)
def test_a_file_that_says_something_else(content, message):
    with pytest.raises(ValueError, match=message):
        Limits.of(content)


def test_a_file_of_limits():
    found = Limits.of(
        {"dimensions": {"x": {"kind": "position", "position": [0, 1], "high": 3}}, "workspace_m": [[0, 0], [1, 2]]}
    )
    assert found.dimensions["x"] == DimensionLimits(kind="position", position=(0.0, 1.0), high=3)
    assert found.workspace_m == ((0.0, 0.0), (1.0, 2.0))
