"""A tracker and encoders whose results are known."""

import torch

from amplify.data.extract import encode_dataset, track_dataset
from amplify.errors import DataError
from amplify.types import TrackWindow

HORIZON, GRID = 4, 3
TRACKS, FEATURES = "tracks-drift-3x3-h4", "features-grey"


class Drift:
    """Says that every point moves right by 0.01 a frame, and down by the start frame's grey level / 10,000.

    Its error is the grey level / 100.
    """

    name = "drift"
    version = "1"

    def __init__(self, step=0.01, refuse_length=None):
        self.step, self.refuse_length = step, refuse_length

    @property
    def settings(self):
        return {"step": self.step}

    def track(self, clip, queries, *, horizon):
        frames = len(clip.frames)
        if frames == self.refuse_length:
            raise DataError(f"cannot track {frames} frames")
        times = torch.arange(frames)[:, None] + torch.arange(horizon)
        valid = times < frames
        moved = torch.minimum(times, torch.tensor(frames - 1)) - torch.arange(frames)[:, None]
        points = queries.expand(frames, 1, horizon, -1, 2).clone()
        grey = torch.from_numpy(clip.frames[:, 0, 0, 0].copy()).float()
        points[..., 0] += self.step * moved[:, None, :, None]
        points[..., 1] += (grey[:, None] / 1e4 * moved)[:, None, :, None]
        return TrackWindow(
            points=points,
            visible=valid[:, None, :, None].expand(points.shape[:-1]).clone(),
            valid=valid[:, None],
            error_px=(grey / 100)[:, None, None, None].expand(points.shape[:-1]).clone(),
        )


class Lost(Drift):
    name = "lost"

    def track(self, clip, queries, *, horizon):
        window = super().track(clip, queries, horizon=horizon)
        window.points[0, 0, 1, 0, 0] = torch.nan
        return window


class Grey:
    """Two patches: the image's mean grey level, and its double."""

    name = "grey"
    version = "1"
    patches = 2
    width = 3

    def __init__(self, gain=1):
        self.gain = gain

    @property
    def settings(self):
        return {"gain": self.gain}

    def encode(self, images):
        grey = self.gain * images.float().mean(dim=(-3, -2, -1))
        return torch.stack([grey, 2 * grey], -1)[..., None].expand(*grey.shape, 2, 3).contiguous()


class Letters:
    """The number of letters of a sentence."""

    name = "minilm"
    version = "1"
    tokens = 1
    width = 2
    settings = {}  # noqa: RUF012

    def encode(self, sentences):
        return torch.tensor([[[len(s), s.count("o")]] for s in sentences], dtype=torch.float32)


def extract(dataset, tracker=None):
    track_dataset(dataset, tracker or Drift(), grid=GRID, horizon=HORIZON, workers=0)
    encode_dataset(dataset, Grey(), Letters(), workers=0)
    return dataset
