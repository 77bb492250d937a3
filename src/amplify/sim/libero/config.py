"""Settings of the LIBERO simulator."""

from typing import Literal

from pydantic import NonNegativeInt, PositiveInt, field_validator

from amplify.config import Config
from amplify.sim.renderer import CameraSettings, RenderSettings, different

HZ = 20
"""Decisions, and so frames, a second."""

ACTION_NAMES = ("x", "y", "z", "roll", "pitch", "yaw", "gripper")
"""Each in [−1, 1]: 1 asks for 5 cm or 0.5 rad a decision; gripper 1 closes, −1 opens. As imported demonstrations."""

PROPRIO_NAMES = (*(f"joint_{i}" for i in range(7)), "finger_left", "finger_right")
"""Angles in radians, then finger positions in metres. As imported demonstrations."""

CAMERAS: dict[str, CameraSettings] = {
    "agentview": CameraSettings(name="agentview"),
    "eye_in_hand": CameraSettings(name="robot0_eye_in_hand"),
    "frontview": CameraSettings(name="frontview"),
    "galleryview": CameraSettings(name="galleryview"),
    "sideview": CameraSettings(name="sideview"),
}
"""View name, as in the demonstrations → camera of the scene; the first two are those of the demonstrations."""

ROBOT_PREFIX = "robot0_"

STEP_LIMITS = {
    "libero_spatial": 280,
    "libero_object": 280,
    "libero_goal": 300,
    "libero_10": 520,
    "libero_90": 400,
}
"""Decisions after which an episode has failed; LIBERO-PRO's variants have the limit of their suite."""

OTHER_STEP_LIMIT = 400

SETTLE_ACTION = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0)
"""What is done before an episode begins: stand still and open the gripper, as evaluations of the field do."""

Body = Literal["panda", "ur5e", "iiwa", "hand"]
DEFAULT_BODY: Body = "panda"
Quality = Literal["fast", "full"]


class LiberoConfig(Config):
    """How a task is seen and controlled.

    Args:
        cameras: The views, in order; see `view_name`.
        render: Image size; the rest follows from the quality.
        quality: "fast" draws simplified meshes without reflections and multisampling; "full" draws what LIBERO draws,
            pixel by pixel.
        max_decisions: An episode that has not succeeded by then has failed; None is the suite's usual limit.
        settle: Decisions of standing still after a reset, which objects use to come to rest.
        body: Whose arm acts; of "hand" only the Panda's gripper is seen.
    """

    cameras: tuple[CameraSettings, ...] = (CAMERAS["agentview"], CAMERAS["eye_in_hand"])
    render: RenderSettings = RenderSettings()
    quality: Quality = "fast"
    max_decisions: PositiveInt | None = None
    settle: NonNegativeInt = 10
    body: Body = DEFAULT_BODY

    @field_validator("cameras")
    @classmethod
    def _different(cls, cameras: tuple[CameraSettings, ...]) -> tuple[CameraSettings, ...]:
        return different(cameras)

    @property
    def camera_names(self) -> tuple[str, ...]:
        """The views' names, in order."""
        return tuple(view_name(camera) for camera in self.cameras)

    @property
    def fps(self) -> int:
        """Decisions, and so frames, a second."""
        return HZ

    def step_limit(self, suite: str) -> int:
        """Decisions after which an episode of the suite has failed."""
        if self.max_decisions is not None:
            return self.max_decisions
        of = [known for known in STEP_LIMITS if suite == known or suite.startswith(f"{known}_")]
        return STEP_LIMITS[of[0]] if of else OTHER_STEP_LIMIT


def view_name(camera: CameraSettings) -> str:
    """What a camera's images are called in datasets: "eye_in_hand" for the scene's "robot0_eye_in_hand"."""
    return camera.name.removeprefix(ROBOT_PREFIX)
