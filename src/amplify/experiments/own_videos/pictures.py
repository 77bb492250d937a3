"""Foreseen motion over held-out frames, as pictures and as films; curves of training."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from amplify.data.windows import WindowSet
from amplify.draw import draw_tracks, label, panels, plot_curves, png
from amplify.evaluate.report import Picture, Video
from amplify.experiments.own_videos.parts import Parts
from amplify.forward.dynamics import ForwardDynamics
from amplify.metrics.tracks import path_px
from amplify.policy.bundle import load_bundle
from amplify.policy.motion import MotionModel
from amplify.tokens.tokenizer import MotionTokenizer
from amplify.train.log import read_metrics
from amplify.video import write_video

PANEL_PX = 320
"""Height of a drawn frame."""
SHOWN = 4
"""Held-out episodes that are drawn."""
FILM_FPS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Filmed:
    """A held-out episode: at every frame the motion that is foreseen from it, and the motion that the tracker saw.

    Args:
        name: Where it is from.
        instruction: What was asked for.
        frames: Of the first view that its source has.
        predicted: Tracks from every frame.
        tracked: The training tracker's.
        liveliest: The frame from which most moves.
    """

    name: str
    instruction: str
    frames: UInt8[np.ndarray, "f h w 3"]
    predicted: Float[Tensor, "f t n 2"]
    tracked: Float[Tensor, "f t n 2"]
    liveliest: int

    def pair(self, frame: int) -> UInt8[np.ndarray, "h w 3"]:
        """Foreseen and tracked motion side by side, over one frame."""
        image = self.frames[frame]
        scale = PANEL_PX / image.shape[0]
        drawn = [(self.predicted, "foreseen"), (self.tracked, "tracked")]
        return panels([label(draw_tracks(image, tracks[frame], scale=scale), text) for tracks, text in drawn])


@torch.no_grad()
def filmed(parts: Parts) -> list[Filmed]:
    """Held-out episodes, evenly spread."""
    bundle = load_bundle(parts.bundle)
    model = MotionModel(bundle.module("tokenizer", MotionTokenizer), bundle.module("forward", ForwardDynamics))
    windows = WindowSet(
        parts.held_out,
        tracks=parts.tracks,
        features=parts.features,
        goal=model.forward.config.goal != "text",
        text=parts.text,
        horizon=parts.config.horizon,
        actions=False,
        views=parts.views,
        rate=parts.config.rate,
    )
    ends: list[int] = np.cumsum([info.length for _, info in windows.episodes]).tolist()
    chosen = np.unique(np.linspace(0, len(ends) - 1, min(SHOWN, len(ends))).astype(int))
    found = []
    for number in chosen.tolist():
        source, info = windows.episodes[number]
        batch = windows.batch(np.arange(ends[number] - info.length, ends[number]))
        assert batch.tracks is not None
        assert batch.features is not None
        view = int(batch.tracks.valid[0].any(dim=-1).int().argmax())
        dataset, mapping = windows.datasets[source], windows.sources[source].views
        cameras = dataset.spec.cameras
        # Without names of views, the cameras are the views.
        named = [camera for camera in cameras if mapping.get(camera, camera) == windows.views[view]]
        predicted = model.predict(batch.features, batch.tracks.points[:, :, 0])
        moved = path_px(batch.tracks)[:, view].mean(dim=-1)
        found.append(
            Filmed(
                name=f"{dataset.root.name}, episode {info.index}",
                instruction=info.instruction,
                frames=dataset.frames(info.index, named[0] if named else cameras[view]),
                predicted=predicted.points[:, view],
                tracked=batch.tracks.points[:, view],
                liveliest=int(moved.argmax()),
            )
        )
    return found


def stills(episodes: list[Filmed]) -> list[Picture]:
    """Of every episode the frame from which most moves."""
    return [
        Picture(
            png=png(one.pair(one.liveliest)),
            caption=f"“{one.instruction}” ({one.name}, frame {one.liveliest})",
            width_percent=49,
        )
        for one in episodes
    ]


def films(parts: Parts, episodes: list[Filmed]) -> list[Video]:
    """The first episodes as films: at every frame, the motion that is foreseen from it."""
    shown = []
    for number, one in enumerate(episodes[: parts.config.films]):
        path = parts.films / f"held-out-{number}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        frames = np.stack([one.pair(frame) for frame in range(len(one.frames))])
        write_video(path, frames, FILM_FPS, gop=FILM_FPS)
        shown.append(Video(path=path, caption=f"“{one.instruction}” ({one.name})"))
    return shown


def curves(parts: Parts) -> list[Picture]:
    """Loss, and error of actions, against steps, in training and on what is held out."""
    stages = (
        (parts.tokenizer, "tokenizer", "cross_entropy"),
        (parts.forward, "forward", "cross_entropy"),
        (parts.inverse, "inverse", "action_error"),
    )
    shown = []
    for run, stage, figure in stages:
        lines, series = read_metrics(run), {}
        for part in ("train", "held_out"):
            key = f"{stage}/{part}/{figure}"
            points = [(line["step"], line[key]) for line in lines if key in line]
            if len(points) > 1:
                series[part.replace("_", "-")] = tuple(zip(*points))
        plot = plot_curves(series, x="step", y=figure.replace("_", " "), size_in=(4.6, 2.8))
        shown.append(Picture(png=plot, caption=stage, width_percent=32))
    return shown
