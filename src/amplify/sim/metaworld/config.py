"""Settings of the Meta-World simulator."""

from pydantic import PositiveInt, field_validator

from amplify.config import Config
from amplify.errors import pick
from amplify.sim.metaworld.body import BODIES, ROBOT
from amplify.sim.renderer import CameraSettings, RenderSettings, different

CAMERAS: dict[str, CameraSettings] = {
    # Nearer than Meta-World's own corner2, so that objects cover more pixels.
    "corner2": CameraSettings(name="corner2", position_m=(0.75, 0.075, 0.7), fovy_deg=50, turned=True),
    "corner": CameraSettings(name="corner", turned=True),
    "corner3": CameraSettings(name="corner3", turned=True),
    "corner4": CameraSettings(name="corner4", turned=True),
    "topview": CameraSettings(name="topview"),
    "behindGripper": CameraSettings(name="behindGripper"),
    "gripperPOV": CameraSettings(name="gripperPOV"),
}
"""Cameras of every Meta-World scene, the upside-down ones turned; gripperPOV moves with the hand."""

SIMULATOR_HZ = 80
"""Steps a second of Meta-World's own control loop."""

PROPRIO_NAMES = ("hand_x", "hand_y", "hand_z", "gripper_opening")
"""Metres in the world frame; the opening is 0 (closed) … 1 (open)."""

ACTION_NAMES = ("hand_dx", "hand_dy", "hand_dz", "gripper_effort")
"""Each in [−1, 1]; a displacement of 1 asks for one centimetre a simulator step; effort 1 closes."""


class MetaWorldConfig(Config):
    """How a task is seen and controlled.

    Args:
        cameras: The views, in order.
        render: Image size and quality.
        action_repeat: Simulator steps a decision; 3 makes motion visible within sixteen frames.
        max_decisions: An episode that has not succeeded by then has failed.
        body: Whose hand is seen (see `amplify.sim.metaworld.body`); what happens is the same.
    """

    cameras: tuple[CameraSettings, ...] = (CAMERAS["corner2"],)
    render: RenderSettings = RenderSettings()
    action_repeat: PositiveInt = 3
    max_decisions: PositiveInt = 80
    body: str = ROBOT

    @field_validator("cameras")
    @classmethod
    def _different(cls, cameras: tuple[CameraSettings, ...]) -> tuple[CameraSettings, ...]:
        return different(cameras)

    @field_validator("body")
    @classmethod
    def _known(cls, body: str) -> str:
        pick(body, BODIES, kind="body")
        return body

    @property
    def camera_names(self) -> tuple[str, ...]:
        """The views' names, in order."""
        return tuple(camera.name for camera in self.cameras)

    @property
    def fps(self) -> int:
        """Decisions, and so frames, a second."""
        return round(SIMULATOR_HZ / self.action_repeat)
