"""Windows of a learned tracker: batches of clips through a network, the ends of episodes padded."""

import functools
import logging
from abc import ABC, abstractmethod
from typing import ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from amplify.coords import inside_frame
from amplify.errors import DataError, UsageError
from amplify.tracks.learned.config import LearnedConfig, checked_device
from amplify.tracks.learned.weights import file_hash
from amplify.types import Clip, TrackWindow

_log = logging.getLogger(__name__)


@runtime_checkable
class Network(Protocol):
    """Other people's network behind our conventions."""

    def follow(
        self, frames: UInt8[Tensor, "f h w 3"], order: Int[Tensor, "b t"], queries: Float[Tensor, "n 2"]
    ) -> tuple[Float[Tensor, "b t n 2"], Bool[Tensor, "b t n"]]:
        """Normalised positions, and whether each point is seen, in every frame of every window.

        Args:
            frames: What the windows have in common.
            order: The frames of each window; its first one is the query frame.
            queries: Normalised points in each query frame.
        """
        ...


class LearnedTracker(ABC):
    """Follows points with a network that is loaded when it is first needed, once a process.

    A tracker can be pickled: it holds its settings, never the network.

    Args:
        config: Where it comes from and how it computes.

    Raises:
        UsageError: Code or weights are not named, or the device cannot do what is asked.
    """

    name: ClassVar[str]
    version: ClassVar[str] = "1"
    notice: ClassVar[str]

    def __init__(self, config: LearnedConfig):
        self.config = config
        checked_device(config)
        if config.code is not None and not config.code.is_dir():
            raise UsageError(f"no folder {config.code}", remedy="name a clone of the authors' repository with --code")
        if config.weights is not None:
            file_hash(config.weights)
        _say_once(self.name, self.notice)

    @property
    @abstractmethod
    def settings(self) -> dict[str, str | int | float | bool]:
        """What changes the result: the code's and the weights' fingerprints among it, device and batch not."""

    @abstractmethod
    def load(self, device: torch.device) -> Network:
        """The network with its weights."""

    @torch.inference_mode()
    def track(self, clip: Clip, queries: Float[Tensor, "n 2"], *, horizon: int) -> TrackWindow:
        """The queries, re-initialised at every frame; see `amplify.protocols.Tracker`.

        Raises:
            DataError: The clip has no frame, or code or weights cannot be used.
            UsageError: ``horizon`` is not positive.
        """
        if horizon < 1:
            raise UsageError("a window needs at least one frame", got=f"horizon {horizon}", allowed="≥ 1")
        count = len(clip.frames)
        if count == 0:
            raise DataError(f"camera {clip.camera!r} has a clip without frames", remedy="record the episode again")
        device, queries = checked_device(self.config), queries.to(torch.float32)
        length = min(horizon, count)
        points = queries.expand(count, horizon, -1, 2).clone()
        visible = inside_frame(queries).expand(count, horizon, -1).clone()
        for starts in torch.arange(count).split(self.config.batch) if length > 1 else ():
            order = (starts[:, None] + torch.arange(length)).clamp(max=count - 1)
            shown = torch.from_numpy(clip.frames[int(starts[0]) : int(order.max()) + 1].copy())
            with torch.autocast(device.type, getattr(torch, self.config.precision), self.config.precision != "float32"):
                network = _network(type(self), self.config)  # type: ignore[arg-type]  # frozen, hence hashable
                found, seen = network.follow(shown.to(device), (order - starts[0]).to(device), queries.to(device))
            points[starts, 1:length] = found[:, 1:].float().cpu()
            visible[starts, 1:length] = seen[:, 1:].cpu()
        return _held(points, visible)


@functools.lru_cache(maxsize=1)
def _network(kind: type[LearnedTracker], config: LearnedConfig) -> Network:
    # Work is sent to processes episode by episode, each time with its tracker: the network must outlive it.
    device = checked_device(config)
    with torch.inference_mode(False), torch.autocast(device.type, enabled=False):
        return kind(config).load(device)


@functools.cache
def _say_once(name: str, notice: str) -> None:
    _log.warning("%s: %s", name, notice)


def _held(points: Float[Tensor, "t horizon n 2"], visible: Bool[Tensor, "t horizon n"]) -> TrackWindow:
    """Past the clip's end the last position is repeated, neither valid nor visible."""
    count, horizon = visible.shape[:2]
    ages = torch.arange(horizon)
    last = (count - 1 - torch.arange(count))[:, None].clamp(max=horizon - 1)
    valid = ages <= last
    held = points[torch.arange(count)[:, None], torch.minimum(ages, last)]
    return TrackWindow(points=held[:, None], visible=(visible & valid[..., None])[:, None], valid=valid[:, None])


def resized(frames: Tensor, size: tuple[int, int]) -> Float[Tensor, "f 3 h w"]:
    """Frames as float32 of 0 … 255 at another height and width.

    Args:
        frames: uint8 RGB (f, h, w, 3).
        size: Height and width.
    """
    video = frames.permute(0, 3, 1, 2).float()
    if tuple(video.shape[-2:]) == size:
        return video
    return torch.nn.functional.interpolate(video, size, mode="bilinear", align_corners=False, antialias=True)
