"""A light simulated arm, two links in a plane seen from above, and a policy that reaches what it sees."""

import math
import random
from collections.abc import Mapping
from typing import Any

import numpy as np

from amplify_client.realtime.clock import Clock, WallClock
from amplify_client.realtime.robot import STATE

LINKS_M = (0.3, 0.25)
REACH_M = 0.6
"""Half the side of what the camera sees."""
TARGET_RGB, ARM_RGB, TIP_RGB, TABLE_RGB = (220, 40, 40), (60, 70, 90), (40, 90, 220), (235, 232, 225)
NEAR_M = 0.03
STEP_RAD = 0.04
"""Joint motion of one step of the policy."""


class KinematicArm:
    """A `Robot` whose joints follow their targets at a limited speed while time passes.

    Args:
        clock: Whose time it is.
        size_px: Side of its camera's images.
        speed_rad_s: Of each joint.
    """

    action_names = ("shoulder_rad", "elbow_rad")
    state_names = ("shoulder_rad", "elbow_rad")
    instruction = "reach the red disc"
    rate_hz = 20.0

    def __init__(self, clock: Clock | None = None, size_px: int = 96, speed_rad_s: float = 2.0):
        self._clock: Clock = clock or WallClock()
        self.size_px, self.speed_rad_s = size_px, speed_rad_s
        self.success = False
        self._joints = np.array([0.5, 1.2])
        self._goal = self._joints.copy()
        self._moved_s = self._clock.now_s()
        self._target = np.array([0.3, 0.2])
        self._reached = 0

    limits: Mapping[str, Any] = {
        "dimensions": {
            "shoulder_rad": {"kind": "position", "state": "shoulder_rad", "position": [-0.5, 3.0], "velocity": 2.0},
            "elbow_rad": {"kind": "position", "state": "elbow_rad", "position": [0.1, 2.8], "velocity": 2.0},
        },
        "workspace_m": [[-0.5, -0.1], [0.5, 0.56]],
    }

    def reset(self, seed: int) -> None:
        """The start pose, and a target that the seed fixes."""
        draw = random.Random(seed)
        joints = (draw.uniform(0.1, 1.6), draw.uniform(0.5, 2.2))
        self._target = tip_of(joints)
        self._joints = np.array([0.5, 1.2])
        self._goal = self._joints.copy()
        self._moved_s, self.success, self._reached = self._clock.now_s(), False, 0

    def observe(self) -> dict[str, Any]:
        """A picture from above, and the joints' angles."""
        self._move()
        near = math.dist(tip_of(self._joints), self._target) < NEAR_M
        self._reached = self._reached + 1 if near else 0
        self.success = self.success or self._reached >= 3
        return {"observation/image": self._picture(), STATE: self._joints.astype(np.float32)}

    def act(self, action: np.ndarray) -> None:
        """New targets of the joints, in rad."""
        self._move()
        self._goal = np.asarray(action, dtype=float).copy()

    def stop(self) -> np.ndarray:
        """Stays where it is."""
        self._move()
        self._goal = self._joints.copy()
        return self._goal.copy()

    def close(self) -> None:
        """Nothing to let go of."""

    def tip_m(self, action: np.ndarray, state: np.ndarray) -> np.ndarray:
        """Where the tip would be with such targets."""
        return tip_of(action)

    def _move(self) -> None:
        now_s = self._clock.now_s()
        most = self.speed_rad_s * (now_s - self._moved_s)
        self._joints = self._joints + np.clip(self._goal - self._joints, -most, most)
        self._moved_s = now_s

    def _picture(self) -> np.ndarray:
        axis = ((np.arange(self.size_px) + 0.5) / self.size_px * 2 - 1) * REACH_M
        x, y = np.meshgrid(axis, -axis)
        elbow = LINKS_M[0] * np.array([math.cos(self._joints[0]), math.sin(self._joints[0])])
        tip = tip_of(self._joints)
        image = np.full((self.size_px, self.size_px, 3), TABLE_RGB, np.uint8)
        image[np.hypot(x - self._target[0], y - self._target[1]) < 0.045] = TARGET_RGB
        for start, end in ((np.zeros(2), elbow), (elbow, tip)):
            image[_distance(x, y, start, end) < 0.018] = ARM_RGB
        image[np.hypot(x - tip[0], y - tip[1]) < 0.024] = TIP_RGB
        return image


class ArmExpert:
    """Reaches the red disc of a `KinematicArm`'s picture: a policy without a network, with `infer` and `reset`.

    Args:
        horizon: Actions of a chunk.
    """

    def __init__(self, horizon: int = 16):
        self.horizon = horizon
        self.metadata = {"policy": "scripted", "action_horizon": horizon, "fps": 20, "mode": "chunk"}

    def infer(self, observation: Mapping[str, Any]) -> dict[str, Any]:
        """Joint targets on the way to the disc; those of the present where the disc is hidden."""
        joints = np.asarray(observation[STATE], dtype=float)
        goal = self._seen(np.asarray(observation["observation/image"]), joints)
        way = goal - joints
        steps = np.arange(1, self.horizon + 1)[:, None] * STEP_RAD
        actions = joints + np.clip(way, -steps, steps)
        return {"actions": actions.astype(np.float32)}

    def reset(self) -> None:
        """Nothing is remembered."""

    def _seen(self, image: np.ndarray, joints: np.ndarray) -> np.ndarray:
        size = len(image)
        rows, columns = np.nonzero((image[..., 0] > 150) & (image[..., 1] < 110) & (image[..., 2] < 110))
        if not len(rows):
            return joints
        x = ((columns.mean() + 0.5) / size * 2 - 1) * REACH_M
        y = -((rows.mean() + 0.5) / size * 2 - 1) * REACH_M
        return joints_at(x, y)


def tip_of(joints: Any) -> np.ndarray:
    """Where the tip is, (x, y) in metres from the shoulder.

    Args:
        joints: Shoulder and elbow, rad.
    """
    shoulder, both = float(joints[0]), float(joints[0] + joints[1])
    return np.array(
        [
            LINKS_M[0] * math.cos(shoulder) + LINKS_M[1] * math.cos(both),
            LINKS_M[0] * math.sin(shoulder) + LINKS_M[1] * math.sin(both),
        ]
    )


def joints_at(x: float, y: float) -> np.ndarray:
    """Shoulder and elbow (bent to the left) that bring the tip there, or as near as the arm reaches; rad."""
    a, b = LINKS_M
    cosine = (x * x + y * y - a * a - b * b) / (2 * a * b)
    elbow = math.acos(min(1.0, max(-1.0, cosine)))
    shoulder = math.atan2(y, x) - math.atan2(b * math.sin(elbow), a + b * math.cos(elbow))
    return np.array([shoulder, elbow])


def _distance(x: np.ndarray, y: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    along = end - start
    share = np.clip(((x - start[0]) * along[0] + (y - start[1]) * along[1]) / (along @ along), 0, 1)
    return np.hypot(x - start[0] - share * along[0], y - start[1] - share * along[1])
