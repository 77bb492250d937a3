"""What no policy may ask of a robot: positions, velocities and a workspace, dimension by dimension.

What lies outside is drawn to the nearest action that is allowed, and counted. Nothing is ever moved further out: where
the robot is outside already, it may come back or stay.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

Kind = Literal["position", "velocity", "displacement", "other"]
KINDS = ("position", "velocity", "displacement", "other")
ROUNDING = 1e-6
"""Relative changes below it are those of single precision, and are not reported."""


@dataclass(frozen=True)
class DimensionLimits:
    """Of one dimension of the action.

    Args:
        kind: What the number is: a "position" to go to, a "velocity", a "displacement" of one step, or "other".
        low: Of the number itself.
        high: Of the number itself.
        state: Name of the number of proprioception that it moves.
        scale: Units of ``state`` (a second, for velocities) that an action of 1 stands for.
        position: Lowest and highest value of ``state`` that may be gone to.
        velocity: Highest speed, in units of ``state`` a second.
    """

    kind: Kind = "other"
    low: float = -math.inf
    high: float = math.inf
    state: str | None = None
    scale: float = 1.0
    position: tuple[float, float] | None = None
    velocity: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind is one of {', '.join(KINDS)}, and not {self.kind!r}")
        low, high = self.position or (-math.inf, math.inf)
        if not (self.low <= self.high and low <= high):
            raise ValueError("a lower limit is above its upper one")
        if not self.scale > 0 or (self.velocity is not None and not self.velocity > 0):
            raise ValueError("scale and velocity are above 0")
        if (self.position or self.velocity) and self.kind == "other":
            raise ValueError("position and velocity limits need a kind: " + ", ".join(KINDS[:-1]))
        if self.position and self.kind != "position" and self.state is None:
            raise ValueError(f"a position limit of a {self.kind} needs the name of the state that it moves")
        if self.velocity and self.kind == "position" and self.state is None:
            raise ValueError("a velocity limit of a position needs the name of the state that it moves")


@dataclass(frozen=True)
class Limits:
    """Of a robot.

    Args:
        dimensions: By name of the action's dimension; those that are not named are not limited.
        workspace_m: Two opposite corners of the box in which the tip stays; for robots with ``tip_m``.
    """

    dimensions: Mapping[str, DimensionLimits] = field(default_factory=dict)
    workspace_m: tuple[Sequence[float], Sequence[float]] | None = None

    @classmethod
    def of(cls, content: Any) -> "Limits":
        """The limits in a map, as JSON gives it: ``{"dimensions": {name: {…}}, "workspace_m": [[…], […]]}``.

        Raises:
            ValueError: It holds something else; says where.
        """
        found = _only(content, ("dimensions", "workspace_m"), "limits")
        dimensions = {}
        known = tuple(f.name for f in dataclasses.fields(DimensionLimits))
        for name, entries in _only(found.get("dimensions", {}), None, "dimensions").items():
            values = dict(_only(entries, known, f"dimensions.{name}"))
            try:
                if values.get("position") is not None:
                    low, high = values["position"]
                    values["position"] = (float(low), float(high))
                dimensions[name] = DimensionLimits(**values)
            except (TypeError, ValueError) as error:
                raise ValueError(f"dimensions.{name}: {error}") from None
        box = found.get("workspace_m")
        if box is not None:
            try:
                corners = np.array(box, dtype=float)
            except (TypeError, ValueError):
                corners = np.zeros(0)
            if corners.ndim != 2 or len(corners) != 2 or not (corners[0] <= corners[1]).all():
                raise ValueError("workspace_m is two corners, the lower one first")
            box = (tuple(corners[0].tolist()), tuple(corners[1].tolist()))
        return cls(dimensions, box)


def _only(content: Any, known: tuple[str, ...] | None, where: str) -> Mapping[str, Any]:
    if not isinstance(content, Mapping):
        raise ValueError(f"{where} is a map, and not a {type(content).__name__}")
    unknown = [str(name) for name in content if known is not None and name not in known]
    if unknown:
        raise ValueError(f"{where} has no {', '.join(unknown)}; it has {', '.join(known or ())}")
    return content


@dataclass(frozen=True)
class Limited:
    """An action that was changed.

    Args:
        dimension: Its name, or "tip" for the workspace.
        limit: Which: "value", "position", "velocity" or "workspace".
        asked: Of the policy, in units of the action; for the workspace the share of the way, 1.
        sent: In its place.
    """

    dimension: str
    limit: str
    asked: float
    sent: float


Tip = Callable[[np.ndarray, np.ndarray], Sequence[float]]


class Limiter:
    """Keeps actions within limits.

    Args:
        limits: Which.
        action_names: Of the robot.
        state_names: Of its proprioception.
        rate_hz: Actions a second.
        tip_m: (action, state) → where the tip will be; for the workspace.

    Raises:
        ValueError: The limits name something that the robot lacks.
    """

    def __init__(
        self,
        limits: Limits,
        action_names: Sequence[str],
        state_names: Sequence[str],
        rate_hz: float,
        tip_m: Tip | None = None,
    ):
        unknown = [name for name in limits.dimensions if name not in action_names]
        if unknown:
            raise ValueError(f"limits of {', '.join(unknown)}; the robot's actions are {', '.join(action_names)}")
        of = [limits.dimensions.get(name, DimensionLimits()) for name in action_names]
        unknown = [d.state for d in of if d.state is not None and d.state not in state_names]
        if unknown:
            raise ValueError(f"limits name the states {', '.join(unknown)}; the robot's are {', '.join(state_names)}")
        if limits.workspace_m is not None and tip_m is None:
            raise ValueError("a workspace needs a robot that can say where its tip will be: tip_m(action, state)")
        if limits.workspace_m is not None and all(d.kind == "other" for d in of):
            raise ValueError(
                "a workspace needs the kind of each dimension that moves the tip: " + ", ".join(KINDS[:-1])
            )
        self.names, self.rate_hz = tuple(action_names), rate_hz
        self._of = of
        self._state = [None if d.state is None else list(state_names).index(d.state) for d in of]
        self._box = None if limits.workspace_m is None else np.array(limits.workspace_m, dtype=float)
        self._tip = tip_m
        self._last: np.ndarray | None = None

    def reset(self) -> None:
        """The robot stands still: what was sent before is no reference for what comes."""
        self._last = None

    def apply(self, action: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, tuple[Limited, ...]]:
        """The action that may be sent, and what was changed.

        Args:
            action: Finite.
            state: The newest proprioception.
        """
        sent, changed = action.astype(float), []
        for number, (limits, index) in enumerate(zip(self._of, self._state)):
            here = None if index is None else float(state[index])
            for name, bound in (("value", _value), ("position", _position), ("velocity", self._velocity(number))):
                low, high = bound(limits, here, self.rate_hz)
                before = float(sent[number])
                sent[number] = min(max(before, low), high)
                if abs(sent[number] - before) > ROUNDING * (1 + abs(before)):
                    changed.append(Limited(self.names[number], name, before, float(sent[number])))
        if self._box is not None and self._tip is not None:
            sent, share = self._within(sent, state, self._box, self._tip)
            if share < 1:
                changed.append(Limited("tip", "workspace", 1.0, share))
        self._last = sent
        return sent, tuple(changed)

    def _velocity(self, number: int) -> Callable[[DimensionLimits, float | None, float], tuple[float, float]]:
        def bounds(limits: DimensionLimits, here: float | None, rate_hz: float) -> tuple[float, float]:
            if limits.velocity is None:
                return -math.inf, math.inf
            if limits.kind == "velocity":
                return -limits.velocity / limits.scale, limits.velocity / limits.scale
            most = limits.velocity / rate_hz / limits.scale
            if limits.kind == "displacement":
                return -most, most
            # From the last target and not from where the arm is: an arm lags behind, and must be able to.
            if self._last is not None:
                start = float(self._last[number])
            else:
                assert here is not None, "checked by DimensionLimits"
                start = here / limits.scale
            return start - most, start + most

        return bounds

    def _within(self, action: np.ndarray, state: np.ndarray, box: np.ndarray, tip: Tip) -> tuple[np.ndarray, float]:
        still = np.array([self._still(n, state) if d.kind != "other" else action[n] for n, d in enumerate(self._of)])
        outside_now = _outside(tip(still, state), box)
        for share in (1.0, 0.5, 0.25, 0.125):
            tried = still + share * (action - still)
            if _outside(tip(tried, state), box) <= outside_now:
                return tried, share
        return still, 0.0

    def _still(self, number: int, state: np.ndarray) -> float:
        limits, index = self._of[number], self._state[number]
        if limits.kind != "position":
            return 0.0
        if self._last is not None:
            return float(self._last[number])
        return float(state[index]) / limits.scale if index is not None else 0.0


def _value(limits: DimensionLimits, here: float | None, rate_hz: float) -> tuple[float, float]:
    return limits.low, limits.high


def _position(limits: DimensionLimits, here: float | None, rate_hz: float) -> tuple[float, float]:
    if limits.position is None:
        return -math.inf, math.inf
    low, high = limits.position
    if limits.kind == "position":
        return low / limits.scale, high / limits.scale
    assert here is not None, "checked by DimensionLimits"
    step = limits.scale / rate_hz if limits.kind == "velocity" else limits.scale
    return (min(low, here) - here) / step, (max(high, here) - here) / step


def _outside(point: Sequence[float], box: np.ndarray) -> float:
    p = np.asarray(point, dtype=float)
    return float(np.maximum(0, np.maximum(box[0] - p, p - box[1])).sum())
