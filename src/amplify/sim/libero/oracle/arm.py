"""Moves the hand along lines and turns it, in closed loop, by actions of the pose controller."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from amplify.sim.libero.oracle.config import OracleConfig
from amplify.sim.libero.oracle.geometry import axis_angle, rotation_about
from amplify.sim.libero.oracle.trace import Trace

STEP_S = 0.05
ACTION_M, ACTION_RAD = 0.05, 0.5
"""What an action of 1 asks for."""

FEED_FORWARD = 3.27
"""Action for each m/s: the critically damped controller (150/s²) trails a moving goal by 0.163 s."""

PULL_POSITION, PULL_ROTATION = 1.0, 1.2
TURN_RAD_S = 1.6
OPEN, CLOSED = -1.0, 1.0

NOISE_MEMORY = 0.7
"""Part of a disturbance that is left one decision later."""

DOWN = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
"""The hand pointing down, closing along the world's y, as at the start of an episode."""


@dataclass(frozen=True, slots=True)
class Style:
    """What one performance keeps to: its pace and how far it strays."""

    speed_m_s: float
    approach_m: float
    noise: float
    detour_m: float

    @classmethod
    def drawn(cls, config: OracleConfig, generator: np.random.Generator) -> "Style":
        """A random one within the limits."""
        return cls(
            speed_m_s=generator.uniform(*config.speed_m_s),
            approach_m=generator.uniform(*config.approach_m),
            noise=config.noise * generator.uniform(0.3, 1.0),
            detour_m=config.detour_m * generator.uniform(0.0, 1.0),
        )


class Arm:
    """The robot's hand, as one who sees where it is and asks for small motions.

    Args:
        trace: What remembers the actions.
        style: Pace and disturbance.
        generator: Draws the disturbance.
    """

    def __init__(self, trace: Trace, style: Style, generator: np.random.Generator):
        self.trace, self.style, self.generator = trace, style, generator
        self.grip = OPEN
        self._disturbance = np.zeros(3)
        robot = trace.simulation.robot
        self._site = robot.eef_site_id
        self._fingers = list(robot._ref_gripper_joint_pos_indexes)

    @property
    def position(self) -> Float[np.ndarray, "3"]:
        """The point between the fingertips, in metres."""
        return self.trace.simulation.data.site_xpos[self._site].copy()

    @property
    def rotation(self) -> Float[np.ndarray, "3 3"]:
        """Columns are the closing axis, the axis across it, and the direction in which the hand points."""
        return self.trace.simulation.data.site_xmat[self._site].reshape(3, 3).copy()

    @property
    def opening(self) -> float:
        """Distance between the fingers, in metres."""
        return float(np.abs(self.trace.simulation.data.qpos[self._fingers]).sum())

    def go(
        self,
        position: Float[np.ndarray, "3"],
        rotation: Float[np.ndarray, "3 3"] | None = None,
        *,
        speed: float | None = None,
        tolerance: float = 0.006,
        angle_tolerance: float = 0.06,
        patience: int = 12,
        free: bool = False,
        until: Callable[[], bool] | None = None,
    ) -> bool:
        """Moves in a straight line; whether the goal was reached (or the condition came true).

        Args:
            position: Where to, in metres, in the world.
            rotation: Which way; as now by default.
            speed: In m/s; the style's by default.
            tolerance: Distance that counts as there, in metres.
            angle_tolerance: In radians.
            patience: Decisions that are waited once the goal has been asked for.
            free: Whether nothing is near, so that disturbance does no harm.
            until: Ends the motion early.
        """
        speed = self.style.speed_m_s if speed is None else speed
        asked, asked_rotation = self.position, self.rotation
        rotation = asked_rotation if rotation is None else rotation
        waited = 0
        while True:
            way = position - asked
            distance = float(np.linalg.norm(way))
            velocity = way * min(1.0, speed * STEP_S / max(distance, 1e-9)) / STEP_S
            asked = asked + velocity * STEP_S
            turn = axis_angle(rotation @ asked_rotation.T)
            angle = float(np.linalg.norm(turn))
            if angle > 1e-4:
                asked_rotation = rotation_about(turn, min(angle, TURN_RAD_S * STEP_S)) @ asked_rotation
            self._act(asked, asked_rotation, velocity, free)
            if until is not None and until():
                return True
            near = float(np.linalg.norm(position - self.position)) < tolerance
            if near and float(np.linalg.norm(axis_angle(rotation @ self.rotation.T))) < angle_tolerance:
                return True
            if distance < 1e-6 and angle < 1e-3:
                waited += 1
                if waited >= patience:
                    return False

    def hold(self, decisions: int, until: Callable[[], bool] | None = None) -> bool:
        """Stays in place; whether the condition came true."""
        position, rotation = self.position, self.rotation
        for _ in range(decisions):
            self._act(position, rotation, np.zeros(3), free=False)
            if until is not None and until():
                return True
        return False

    def close(self, decisions: int = 9) -> None:
        """Closes the fingers and waits until they hold."""
        self.grip = CLOSED
        self.hold(decisions)

    def open(self, decisions: int = 6) -> None:
        """Opens the fingers."""
        self.grip = OPEN
        self.hold(decisions)

    def rest(self, decisions: int) -> None:
        """Asks for nothing."""
        for _ in range(decisions):
            self.trace.step(np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, self.grip]))

    def _act(
        self,
        position: Float[np.ndarray, "3"],
        rotation: Float[np.ndarray, "3 3"],
        velocity: Float[np.ndarray, "3"],
        free: bool,
    ) -> None:
        linear = PULL_POSITION * (position - self.position) / ACTION_M + FEED_FORWARD * velocity
        angular = PULL_ROTATION * axis_angle(rotation @ self.rotation.T) / ACTION_RAD
        action = np.concatenate([linear, angular, [self.grip]])
        if not free:
            self._disturbance[:] = 0.0
            self.trace.step(action)
            return
        fresh = self.generator.normal(0.0, self.style.noise, size=3) * np.sqrt(1.0 - NOISE_MEMORY**2)
        self._disturbance = NOISE_MEMORY * self._disturbance + fresh
        self.trace.step(action, np.concatenate([self._disturbance, np.zeros(4)]))


def pointing_down(yaw_rad: float) -> Float[np.ndarray, "3 3"]:
    """The hand pointing down, turned about the vertical from where it is at the start of an episode."""
    return rotation_about(np.array([0.0, 0.0, 1.0]), yaw_rad) @ DOWN
