"""Clones of other people's repositories in miniature: the same files and calls, a network that matches patches.

The weights decide what is matched, so that wrong ones are noticed; the network itself is a random convolution, whose
features at the query point are looked for in the whole of every later frame.
"""

import functools
import tempfile
from pathlib import Path
from typing import Any

import torch

MATCHER = '''
import torch
from torch import nn
from torch.nn import functional as F


class Matcher(nn.Module):
    """Features (b, t, c, h, w) of video; positions in pixels from the centre of the first one."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 24, 7, padding=3, bias=False)
        nn.init.zeros_(self.conv.weight)  # without the checkpoint nothing is found
        self.dtypes = []

    def features(self, video):
        b, t, c, h, w = video.shape
        assert c == 3 and video.dtype == torch.float32, (video.shape, video.dtype)
        video = video - video.mean(dim=(1, 3, 4), keepdim=True)
        made = self.conv(video.reshape(b * t, c, h, w))
        self.dtypes.append(made.dtype)
        return F.normalize(made.float(), dim=1).reshape(b, t, -1, h, w)

    def match(self, features, at_px):
        b, t, c, h, w = features.shape
        near = at_px.round().long()
        x, y = near[..., 0].clamp(0, w - 1), near[..., 1].clamp(0, h - 1)
        rows = torch.arange(b)[:, None]
        wanted = features[rows, 0, :, y, x]
        alike = torch.einsum("bnc,btcp->btnp", wanted, features.flatten(-2))
        best, place = alike.max(dim=-1)
        found = torch.stack([place % w, place // w], dim=-1).float()
        return found + (at_px - near)[:, None], best
'''

COTRACKER = (
    MATCHER
    + """

dependencies = ["torch"]


class Predictor(nn.Module):
    def __init__(self):
        super().__init__()
        self.model = Matcher()

    @torch.no_grad()
    def forward(self, video, queries=None, segm_mask=None, grid_size=0, grid_query_frame=0, backward_tracking=False):
        b, t, c, h, w = video.shape
        assert video.min() >= 0 and video.max() > 2, "RGB from 0 to 255"
        assert queries.shape[0] == b and queries.shape[2] == 3 and (queries[..., 0] == 0).all(), "queries are (t, x, y)"
        at_px = queries[..., 1:].reshape(b, 1, -1, 2).expand(b, t, -1, 2).view(b * t, -1, 2).reshape(b, t, -1, 2)[:, 0]
        found, best = self.model.match(self.model.features(video), at_px)
        return found, best > 0.9


class OnlinePredictor(nn.Module):
    step = 2

    def __init__(self):
        super().__init__()
        self.model = Matcher()

    @torch.no_grad()
    def forward(self, video_chunk, is_first_step=False, queries=None, grid_size=5, grid_query_frame=0,
                add_support_grid=False):
        assert video_chunk.min() >= 0 and video_chunk.max() > 2, "RGB from 0 to 255"
        assert video_chunk.shape[1] == 2 * self.step, "pieces are two steps long"
        if is_first_step:
            self.queries, self.seen = queries[..., 1:].clone(), None
            return None, None
        made = self.model.features(video_chunk)
        self.seen = made if self.seen is None else torch.cat([self.seen, made[:, self.step:]], dim=1)
        found, best = self.model.match(self.seen, self.queries)
        return found, best > 0.9


def cotracker3_offline(*, pretrained=True, **kwargs):
    assert not pretrained, "the checkpoint is not to be downloaded by this code"
    return Predictor()


cotracker2 = cotracker3_offline


def cotracker3_online(*, pretrained=True, **kwargs):
    assert not pretrained, "the checkpoint is not to be downloaded by this code"
    return OnlinePredictor()
"""
)

TAPIR = (
    MATCHER
    + """
from typing import NamedTuple


class FeatureGrids(NamedTuple):
    lowres: tuple
    hires: tuple
    resolutions: tuple


class QueryFeatures(NamedTuple):
    lowres: tuple
    hires: tuple
    resolutions: tuple


class TAPIR(nn.Module):
    num_pips_iter = 4

    def __init__(self, pyramid_level=1):
        super().__init__()
        assert pyramid_level == 1, "BootsTAPIR's pyramid"
        self.matcher = Matcher()
        self.frames_encoded = []

    def get_feature_grids(self, video, is_training, refinement_resolutions=None):
        b, t, h, w, c = video.shape
        assert video.min() >= -1 and video.max() <= 1 and video.min() < 0, "RGB from -1 to 1"
        self.frames_encoded.append(b * t)
        made = self.matcher.features(video.permute(0, 1, 4, 2, 3).float()).permute(0, 1, 3, 4, 2)
        return FeatureGrids((made, made), (made, made), ((h, w), (h, w)))

    def get_query_features(self, video, is_training, query_points, feature_grids=None, refinement_resolutions=None):
        assert video.shape[:4] == feature_grids.lowres[0].shape[:4], "the video of the windows"
        assert (query_points[..., 0] == 0).all(), "queries are (t, y, x)"
        return QueryFeatures((query_points,), (query_points,), feature_grids.resolutions)

    def estimate_trajectories(self, video_size, is_training, feature_grids, query_features, query_points_in_video,
                              query_chunk_size=None):
        grid = feature_grids.hires[0].permute(0, 1, 4, 2, 3)
        assert tuple(grid.shape[-2:]) == tuple(video_size)
        at_px = query_features.lowres[0][..., 1:].flip(-1) - 0.5
        found, best = self.matcher.match(grid, at_px)
        tracks, doubt = (found + 0.5).transpose(1, 2), 40 * (0.9 - best).transpose(1, 2)
        rough = [torch.zeros_like(tracks)] * 4
        vague = [torch.zeros_like(doubt)] * 4
        return {"tracks": [*rough, tracks], "occlusion": [*vague, doubt], "expected_dist": [*vague, doubt]}
"""
)

TAPNEXT = (
    MATCHER
    + """


class TAPNext(nn.Module):
    def __init__(self, image_size):
        super().__init__()
        assert tuple(image_size) == (256, 256)
        self.matcher = Matcher()

    def forward(self, video, query_points=None, state=None):
        b, t, h, w, c = video.shape
        assert video.min() >= -1 and video.max() <= 1 and video.min() < 0, "RGB from -1 to 1"
        assert (query_points[..., 0] == 0).all(), "queries are (t, y, x)"
        scale = torch.tensor([256 / w, 256 / h])
        at_px = query_points[..., 1:].flip(-1) / scale - 0.5
        found, best = self.matcher.match(self.matcher.features(video.permute(0, 1, 4, 2, 3)), at_px)
        tracks_yx = ((found + 0.5) * scale).flip(-1)
        return tracks_yx, tracks_yx, (best - 0.9)[..., None], None
"""
)

UTILS = """
import numpy as np
import torch


def restore_model_from_jax_checkpoint(model, ckpt_path):
    kernel = np.load(ckpt_path)["conv/kernel"]
    model.matcher.conv.weight.data.copy_(torch.tensor(kernel).permute(3, 2, 0, 1))
    return model
"""

LEARNED = ("cotracker3", "cotracker3-online", "cotracker2", "bootstapir", "tapnext")


def kernel() -> torch.Tensor:
    return torch.randn(24, 3, 7, 7, generator=torch.Generator().manual_seed(5))


@functools.cache
def clones() -> Path:
    """A folder with both clones and a checkpoint of each tracker, for the whole process: modules are imported once."""
    root = Path(tempfile.mkdtemp(prefix="clones-"))
    write_cotracker(root / "co-tracker")
    for path, text in {"torch/tapir_model.py": TAPIR, "tapnext/tapnext_torch.py": TAPNEXT}.items():
        file = root / "tapnet" / "tapnet" / path
        file.parent.mkdir(parents=True)
        file.write_text(text)
    (root / "tapnet" / "tapnet" / "tapnext" / "tapnext_torch_utils.py").write_text(UTILS)
    torch.save({"model": {"conv.weight": kernel()}}, root / "cotracker.pth")
    torch.save({"matcher.conv.weight": kernel()}, root / "bootstapir.pt")
    torch.save({"state_dict": {"tapnext.matcher.conv.weight": kernel()}}, root / "tapnext.pt")
    return root


def write_cotracker(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "hubconf.py").write_text(COTRACKER)


def options(name: str, **changes: Any) -> dict[str, Any]:
    """What a learned tracker needs, as its options."""
    root = clones()
    if name.startswith("cotracker"):
        return {"code": root / "co-tracker", "weights": root / "cotracker.pth", **changes}
    return {"code": root / "tapnet", "weights": root / f"{name}.pt", "side_px": 128, **changes}
