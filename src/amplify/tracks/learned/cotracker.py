"""CoTracker 2 and 3 (Karaev et al., 2023 and 2024), through the interface that their hubconf.py offers."""

from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Int, UInt8
from pydantic import Field
from torch import Tensor
from torch.overrides import TorchFunctionMode

from amplify.coords import inside_frame, pixels_to_points, points_to_pixels
from amplify.errors import UsageError
from amplify.tracks.learned.code import fingerprint, from_clone, from_hub
from amplify.tracks.learned.config import LearnedConfig
from amplify.tracks.learned.tracker import LearnedTracker, resized
from amplify.tracks.learned.weights import downloaded, file_hash, fill, read_weights

REPOSITORY, COMMIT = "facebookresearch/co-tracker", "82e02e8029753ad4ef13cf06be7f4fc5facdda4d"
HUB = "https://huggingface.co/facebook"


class CoTrackerConfig(LearnedConfig):
    """Settings of CoTracker; further ones in `LearnedConfig`.

    Args:
        side_px: Larger frames are first reduced to this shorter side; the network works at 384×512.
    """

    side_px: int = Field(default=384, ge=32)


class _ViewOrCopy(TorchFunctionMode):
    """Copies where a tensor cannot be seen in another shape: CoTracker3 asks for that with more than one window."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        is_view = func is torch.Tensor.view and not isinstance(args[1], torch.dtype)
        return (torch.Tensor.reshape if is_view else func)(*args, **(kwargs or {}))


class CoTrackerNetwork:
    """The offline predictor: it sees a whole window at once.

    It counts pixels from the centre of the first one, takes queries as (t, x, y) and RGB from 0 to 255.

    Args:
        predictor: As hubconf.py makes it.
        side_px: See `CoTrackerConfig`.
    """

    def __init__(self, predictor: Any, side_px: int):
        self._predictor = predictor
        self._side_px = side_px

    def follow(
        self, frames: UInt8[Tensor, "f h w 3"], order: Int[Tensor, "b t"], queries: Float[Tensor, "n 2"]
    ) -> tuple[Float[Tensor, "b t n 2"], Bool[Tensor, "b t n"]]:
        """See `amplify.tracks.learned.tracker.Network`."""
        height, width = frames.shape[1:3]
        share = min(1.0, self._side_px / min(height, width))
        high, wide = round(height * share), round(width * share)
        video = resized(frames, (high, wide))[order]  # (b, t, 3, h, w)
        at_px = points_to_pixels(queries, (wide, high))
        asked = torch.cat([torch.zeros_like(at_px[:, :1]), at_px], dim=-1).expand(len(order), -1, 3)
        with _ViewOrCopy():
            tracks_px, visible = self.predicted(video, asked)
        points = pixels_to_points(tracks_px.float(), (wide, high))
        return points, visible.bool() & inside_frame(points)

    def predicted(self, video: Tensor, asked: Tensor) -> tuple[Tensor, Tensor]:
        """Tracks in pixels (b, t, n, 2) and visibility (b, t, n)."""
        return self._predictor(video, queries=asked)


class OnlineCoTrackerNetwork(CoTrackerNetwork):
    """The online predictor: it is handed overlapping pieces of a window, one after the other."""

    def predicted(self, video: Tensor, asked: Tensor) -> tuple[Tensor, Tensor]:
        """The same, after the last piece."""
        length, step = video.shape[1], int(self._predictor.step)
        pieces = max(1, -(-(length - step) // step))
        lacking = (pieces + 1) * step - length
        whole = torch.cat([video, video[:, -1:].expand(-1, lacking, -1, -1, -1)], dim=1)
        self._predictor(whole[:, : 2 * step], is_first_step=True, queries=asked)
        for piece in range(pieces):
            tracks_px, visible = self._predictor(whole[:, piece * step : (piece + 2) * step])
        return tracks_px[:, :length], visible[:, :length]


class _CoTracker(LearnedTracker):
    notice = "CoTracker's code and weights are licensed CC-BY-NC 4.0: not for commercial use, nor are models of them"
    entry: ClassVar[str]
    url: ClassVar[str]
    network: ClassVar[type[CoTrackerNetwork]] = CoTrackerNetwork
    config: CoTrackerConfig

    def __init__(self, config: CoTrackerConfig | None = None):
        config = config or CoTrackerConfig()
        if not config.allow_code and (config.code is None or config.weights is None):
            lacking = " and ".join(f"--{name}" for name in ("code", "weights") if getattr(config, name) is None)
            raise UsageError(
                f"the tracker {self.name!r} consists of code and weights that do not come with this software",
                got=f"no {lacking}",
                remedy=f"clone github.com/{REPOSITORY} and download {self.url}, and name both; or give --allow-code to "
                "download what is lacking and run it (licence CC-BY-NC 4.0)",
            )
        super().__init__(config)

    @property
    def settings(self) -> dict[str, str | int | float | bool]:
        """What changes the result."""
        return {
            "code": f"{REPOSITORY}@{COMMIT[:12]}" if self.config.code is None else fingerprint(self.config.code),
            "weights_sha256": file_hash(self._weights()),
            "precision": self.config.precision,
            "side_px": self.config.side_px,
        }

    def load(self, device: torch.device) -> CoTrackerNetwork:
        """The predictor with its weights."""
        code, path = self.config.code, self._weights()
        predictor = from_hub(REPOSITORY, COMMIT, self.entry) if code is None else from_clone(code, self.entry)
        fill(predictor.model, read_weights(path), path=path)
        return self.network(predictor.to(device).eval(), self.config.side_px)

    def _weights(self) -> Path:
        return downloaded(self.url) if self.config.weights is None else self.config.weights


class CoTracker3(_CoTracker):
    """CoTracker3 that sees whole windows: the better one for windows of up to 60 frames."""

    name = "cotracker3"
    entry = "cotracker3_offline"
    url = f"{HUB}/cotracker3/resolve/main/scaled_offline.pth"


class CoTracker3Online(_CoTracker):
    """CoTracker3 that sees 16 frames at a time: for long windows."""

    name = "cotracker3-online"
    entry = "cotracker3_online"
    url = f"{HUB}/cotracker3/resolve/main/scaled_online.pth"
    network = OnlineCoTrackerNetwork


class CoTracker2(_CoTracker):
    """CoTracker2, with which the paper's reference implementation makes its tracks."""

    name = "cotracker2"
    entry = "cotracker2"
    url = f"{HUB}/cotracker/resolve/main/cotracker2.pth"
