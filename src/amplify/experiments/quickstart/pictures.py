"""The quick-start's pictures: predicted tracks, bars, curves, films."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from amplify.data.dataset import Dataset
from amplify.data.windows import Source, WindowSet
from amplify.draw import draw_tracks, label, panels, plot_bars, plot_curves, png, sheet
from amplify.evaluate.report import Picture, Video
from amplify.experiments.quickstart.config import QuickstartConfig
from amplify.experiments.quickstart.folders import Folders
from amplify.forward.dynamics import ForwardDynamics
from amplify.metrics.statistics import Interval
from amplify.metrics.tracks import path_px
from amplify.policy.bundle import load_bundle
from amplify.tokens.tokenizer import MotionTokenizer
from amplify.train.log import read_metrics

SCALE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """The motion that the model foresees from one held-out frame, and the motion that came.

    Args:
        instruction: What was asked for.
        start: The frame's number.
        image: The frame.
        predicted: Tracks decoded from free-running forward dynamics.
        truth: The simulator's.
    """

    instruction: str
    start: int
    image: UInt8[np.ndarray, "h w 3"]
    predicted: Float[Tensor, "t n 2"]
    truth: Float[Tensor, "t n 2"]


@torch.no_grad()
def foresee(config: QuickstartConfig, folders: Folders) -> list[Foreseen]:
    """One a task: the frame of the first held-out episode from which most moves."""
    bundle = load_bundle(folders.bundle)
    tokenizer, forward = bundle.module("tokenizer", MotionTokenizer), bundle.module("forward", ForwardDynamics)
    dataset = Dataset.open(folders.held_out, columns=False)
    windows = WindowSet(
        [Source(path=folders.held_out)],
        tracks=folders.truth,
        features=folders.features,
        text=folders.text,
        horizon=config.horizon,
        actions=False,
    )
    found = []
    for task in config.tasks:
        episode = next(e for e in dataset.episodes if e.info["task"] == task)
        rows = np.flatnonzero(windows.index[:, 1] == episode.index)
        batch = windows.batch(rows)
        assert batch.tracks is not None
        assert batch.features is not None
        liveliest = int(path_px(batch.tracks).mean(dim=(1, 2)).argmax())
        start = int(windows.index[rows[liveliest], 2])
        truth = batch.tracks.points[liveliest]
        codes = forward.foresee(batch.features.map(lambda x, i=liveliest: x[i : i + 1]))
        found.append(
            Foreseen(
                instruction=episode.instruction,
                start=start,
                image=dataset.frames(episode.index, dataset.spec.cameras[0])[start],
                predicted=tokenizer.decode_codes(codes, truth[:, 0]).points[0, 0],
                truth=truth[0],
            )
        )
    return found


def predicted_tracks(found: Sequence[Foreseen]) -> list[Picture]:
    """Foreseen and true motion side by side."""
    shown = []
    for one in found:
        pair = [
            label(draw_tracks(one.image, one.predicted, scale=SCALE), "predicted"),
            label(draw_tracks(one.image, one.truth, scale=SCALE), "truth"),
        ]
        caption = f"“{one.instruction}”, frame {one.start}"
        shown.append(Picture(png=png(panels(pair)), caption=caption, width_percent=49))
    return shown


def overview(found: Sequence[Foreseen]) -> bytes:
    """One wide PNG: the foreseen motion of all tasks."""
    drawn = [label(draw_tracks(one.image, one.predicted, scale=SCALE), one.instruction) for one in found]
    return png(sheet(drawn, columns=3))


def success_bars(config: QuickstartConfig, success: Mapping[str, Any]) -> Picture:
    """Success by task of both methods."""
    series = {"AMPLIFY": success["amplify"], "behaviour cloning": success["behaviour_cloning"]}
    rows = {"mean": lambda row: row, **{task: lambda row, t=task: row["tasks"][t] for task in config.tasks}}
    groups = {
        group: {name: Interval(cell(row)["mean"], *cell(row)["ci95"]) for name, row in series.items()}
        for group, cell in rows.items()
    }
    dots = {"mean": {name: row["by_seed"] for name, row in series.items()}}
    return Picture(
        png=plot_bars(groups, y="success rate", dots=dots, limit=(0, 1), size_in=(9.0, 3.4)),
        caption="Success by task.",
        width_percent=100,
    )


def training_curves(config: QuickstartConfig, folders: Folders) -> list[Picture]:
    """Loss against steps, of every stage."""
    stages = {
        "tokenizer": (folders.tokenizer, "cross_entropy"),
        "forward": (folders.forward, "cross_entropy"),
        "inverse": (folders.inverse(0), "action_error"),
        "behaviour-cloning": (folders.baseline(0, "long"), "action_error"),
    }
    shown = []
    for stage, (run, figure) in stages.items():
        lines = read_metrics(run)
        series = {}
        for split in ("train", "held_out"):
            key = f"{stage}/{split}/{figure}"
            points = [(line["step"], line[key]) for line in lines if key in line]
            if points:
                series[split.replace("_", "-")] = tuple(zip(*points))
        shown.append(
            Picture(
                png=plot_curves(series, x="step", y=figure.replace("_", " "), size_in=(4.6, 2.8)),
                caption=stage,
                width_percent=49,
            )
        )
    return shown


def films(folders: Folders) -> list[Video]:
    """All films, AMPLIFY's first."""
    paths = sorted(folders.films.glob("*.mp4"))
    return [Video(path=path, caption=path.stem.replace("_", " ")) for path in paths]
