"""From what a robot sends to what a policy sees: names, layout, rotation, size."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import pydantic
import torch
from jaxtyping import UInt8
from pydantic import Field

from amplify.config import Config
from amplify.errors import DataError, UsageError
from amplify.policy.info import BundleInfo
from amplify.types import Observation

FRAME_PX = 128
"""Side of images for bundles that do not say theirs."""

MAX_SIDE_PX = 8192
_STATE = ("observation/state", "observation.state", "state")
_PROMPT = ("prompt", "task", "instruction")
_FIRST = ("observation/image", "observation/exterior_image_1_left", "image")
_SECOND = ("observation/wrist_image", "observation/wrist_image_left", "wrist_image")


class StatePart(Config):
    """A piece of proprioception.

    Args:
        key: Name of a vector in what is sent; the usual names of proprioception where empty.
        start: First entry of it that is used.
        stop: Entry before which to stop; its end where None.
    """

    key: str = ""
    start: int = Field(default=0, ge=0)
    stop: int | None = Field(default=None, ge=1)

    @property
    def keys(self) -> tuple[str, ...]:
        """Names under which it may be sent."""
        return (self.key,) if self.key else _STATE


class CameraMapping(Config):
    """How one view is read.

    Args:
        keys: Names under which the image may be sent; the first that is there counts. A ``/`` also leads into maps.
        rotate_deg: Counter-clockwise, before anything else.
        channels: Whether colours are the last axis or the first.
    """

    keys: tuple[str, ...] = Field(min_length=1)
    rotate_deg: Literal[0, 90, 180, 270] = 0
    channels: Literal["last", "first"] = "last"


class ObservationMapping(Config):
    """How observations are read.

    Args:
        cameras: By the policy's name of the view.
        state: Pieces that make up proprioception, in order.
        prompt: Names under which the instruction may be sent.
        default_prompt: The instruction where none is sent.
        fit: What makes an image square: edges of black ("pad"), or "stretch".
        size_px: Side of the square.
    """

    cameras: dict[str, CameraMapping] = Field(min_length=1)
    state: tuple[StatePart, ...] = Field(min_length=1)
    prompt: tuple[str, ...] = _PROMPT
    default_prompt: str | None = None
    fit: Literal["pad", "stretch"] = "pad"
    size_px: int = Field(default=FRAME_PX, ge=8, le=2048)

    @classmethod
    def of(cls, info: BundleInfo) -> "ObservationMapping":
        """The bundle's own, or one that knows the names that are usual.

        Raises:
            UsageError: The bundle's own is no mapping.
        """
        if info.serving:
            return _validated(info.serving, "the bundle's section 'serving'")
        usual = dict(enumerate((_FIRST, _SECOND)))
        cameras = {
            name: CameraMapping(keys=tuple(dict.fromkeys((*_named(name), *usual.get(number, ())))))
            for number, name in enumerate(info.cameras or ("image",))
        }
        return cls(cameras=cameras, state=(StatePart(),), size_px=info.frame_size_px or FRAME_PX)

    @classmethod
    def read(cls, path: Path) -> "ObservationMapping":
        """The mapping in a JSON file.

        Raises:
            UsageError: It is no mapping.
        """
        try:
            content = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise UsageError(f"cannot read the mapping {path}", got=str(error)) from None
        return _validated(content, str(path))


def _validated(content: Any, where: str) -> ObservationMapping:
    try:
        return ObservationMapping.model_validate(content)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        at = ".".join(map(str, first["loc"])) or "the whole"
        raise UsageError(f"{where} is no mapping of observations: {at}", got=first["msg"]) from None


def _named(camera: str) -> tuple[str, ...]:
    return f"observation/{camera}", f"observation/images/{camera}", f"observation.images.{camera}", camera


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads observations for one policy.

    Args:
        mapping: How.
        info: What the policy was trained with.
    """

    mapping: ObservationMapping
    info: BundleInfo

    def read(self, sent: Mapping[str, Any]) -> Observation:
        """The observation, of a batch of one.

        Args:
            sent: Arrays and strings, by name.

        Raises:
            DataError: Something is missing or of another form; says what and what would be right.
        """
        images = [self.image(name, sent) for name in self.mapping.cameras]
        return Observation(
            images=torch.from_numpy(np.stack(images))[None],
            cameras=tuple(self.mapping.cameras),
            proprio=torch.from_numpy(self.state(sent))[None],
            instruction=(self.prompt(sent),),
        )

    def image(self, camera: str, sent: Mapping[str, Any]) -> UInt8[np.ndarray, "h w 3"]:
        """One view, turned, square and of the policy's size; raises as `read` does."""
        how = self.mapping.cameras[camera]
        key, image = _found(sent, how.keys, f"no image of the camera {camera!r}")
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
            got = f"dtype {image.dtype}" if isinstance(image, np.ndarray) else type(image).__name__
            raise DataError(f"{key!r} is no image", got=got, allowed="an array of uint8 in 0 … 255, RGB")
        if image.ndim == 4 and len(image) == 1:
            image = image[0]
        if how.channels == "first" and image.ndim == 3:
            image = np.moveaxis(image, 0, -1)
        if image.ndim != 3 or image.shape[-1] != 3 or not all(0 < side <= MAX_SIDE_PX for side in image.shape[:2]):
            shape = "(3, height, width)" if how.channels == "first" else "(height, width, 3)"
            raise DataError(
                f"{key!r} is no image of three colours",
                got=f"shape {image.shape}",
                allowed=shape,
                remedy=None if how.channels == "first" else 'set "channels": "first" in the mapping for (3, h, w)',
            )
        turned = np.rot90(image, how.rotate_deg // 90)
        return fitted(np.ascontiguousarray(turned), self.mapping.size_px, self.mapping.fit)

    def state(self, sent: Mapping[str, Any]) -> np.ndarray:
        """Proprioception, environment units, float32; raises as `read` does."""
        parts = []
        for part in self.mapping.state:
            key, value = _found(sent, part.keys, "no proprioception")
            try:
                vector = np.asarray(value, dtype=np.float32).reshape(-1)
            except (TypeError, ValueError):
                raise DataError(f"{key!r} is no vector of numbers", got=type(value).__name__) from None
            parts.append(vector[part.start : part.stop])
        state = np.concatenate(parts)
        names = self.info.proprio_names
        if names and len(state) != len(names):
            raise DataError(
                "proprioception of another length than in training",
                got=len(state),
                allowed=f"{len(names)}: {', '.join(names)}",
                remedy="name its pieces in the mapping's 'state'",
            )
        if not np.isfinite(state).all():
            raise DataError("proprioception that is not finite numbers", got=state.tolist())
        return state

    def prompt(self, sent: Mapping[str, Any]) -> str:
        """The instruction; raises as `read` does."""
        if not any(_look(sent, key) is not None for key in self.mapping.prompt) and self.mapping.default_prompt:
            return self.mapping.default_prompt
        key, text = _found(sent, self.mapping.prompt, "no instruction")
        if isinstance(text, np.ndarray) and text.size == 1:
            text = text.item()
        if not isinstance(text, str) or len(text) > 2000:
            raise DataError(f"{key!r} is no instruction", got=type(text).__name__, allowed="up to 2000 characters")
        return text


def fitted(image: UInt8[np.ndarray, "h w 3"], side: int, fit: str) -> UInt8[np.ndarray, "s s 3"]:
    """A square image; what is added is black.

    Args:
        image: RGB.
        side: In pixels.
        fit: "pad" keeps the proportions, "stretch" does not.
    """
    height, width = image.shape[:2]
    if fit == "stretch":
        height = width = max(height, width)
    scale = side / max(height, width)
    inner = max(1, round(width * scale)), max(1, round(height * scale))
    if image.shape[1::-1] != inner:
        image = cv2.resize(image, inner, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    if inner == (side, side):
        return image
    square = np.zeros((side, side, 3), np.uint8)
    top, left = (side - inner[1]) // 2, (side - inner[0]) // 2
    square[top : top + inner[1], left : left + inner[0]] = image
    return square


def _look(sent: Mapping[str, Any], key: str) -> Any:
    if key in sent:
        return sent[key]
    found: Any = sent
    for part in key.split("/"):
        if not isinstance(found, Mapping) or part not in found:
            return None
        found = found[part]
    return found


def _found(sent: Mapping[str, Any], keys: tuple[str, ...], lacking: str) -> tuple[str, Any]:
    for key in keys:
        value = _look(sent, key)
        if value is not None:
            return key, value
    shown = ", ".join(repr(str(name)[:60]) for name in list(sent)[:20])
    raise DataError(lacking, got=shown or "nothing", allowed=" or ".join(map(repr, keys)))
