"""What surrounds a bundle's models: enough to use them on other data, in a simulator or on a robot."""

from typing import Any

import pydantic
from pydantic import Field

from amplify.config import Config
from amplify.errors import BundleError
from amplify.policy.bundle import Bundle


class EncoderInfo(Config):
    """A frozen encoder.

    Args:
        name: As in the registry of encoders and in sidecar names.
        settings: What changes its result.
    """

    name: str
    settings: dict[str, str | int | float | bool] = Field(default_factory=dict)


class BundleInfo(Config):
    """The typed form of a bundle's ``meta``; entries are empty where they do not apply.

    Args:
        vision_encoder: The eyes that the models were trained with.
        text_encoder: The ears.
        cameras: Names of the views, in order.
        optional_cameras: Those that some source of training lacked, which observations may therefore lack, too.
        frame_size_px: Width of the images.
        grid: Points along one side of the query grid.
        horizon: Frames of a window, the query frame included.
        tracker: Name, version and settings of the tracker.
        action_names: Names of the action dimensions.
        proprio_names: Names of the proprioception dimensions.
        instructions: What was asked for in training.
        fps: Frames, and so decisions, a second.
        robot_type: Which robot the actions are for.
        serving: How a server reads what this robot sends, see `amplify.serve.mapping.ObservationMapping`.
    """

    vision_encoder: EncoderInfo | None = None
    text_encoder: EncoderInfo | None = None
    cameras: tuple[str, ...] = ()
    optional_cameras: tuple[str, ...] = ()
    frame_size_px: int | None = None
    grid: int | None = None
    horizon: int | None = None
    tracker: dict[str, Any] = Field(default_factory=dict)
    action_names: tuple[str, ...] = ()
    proprio_names: tuple[str, ...] = ()
    instructions: tuple[str, ...] = ()
    fps: int | None = None
    robot_type: str | None = None
    serving: dict[str, Any] = Field(default_factory=dict)

    @property
    def meta(self) -> dict[str, Any]:
        """JSON values, as `amplify.policy.bundle.save_bundle` takes them."""
        return self.model_dump(mode="json")


def info_of(bundle: Bundle) -> BundleInfo:
    """The bundle's meta, checked.

    Raises:
        BundleError: It has entries that this version does not know.
    """
    try:
        return BundleInfo.model_validate(bundle.meta)
    except pydantic.ValidationError as error:
        raise BundleError(f"{bundle.path} has a meta section of another version", got=str(error)) from error
