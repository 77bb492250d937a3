"""The quick-start's pictures: predicted tracks, bars, curves, films."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from amplify.data.dataset import Dataset
from amplify.data.windows import Source, WindowSet
from amplify.draw import draw_tracks, label, panels, plot_bars, plot_curves, png
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


def predicted_tracks(config: QuickstartConfig, folders: Folders) -> list[Picture]:
    """One pair a task: foreseen and true motion from the frame where most moves."""
    bundle = load_bundle(folders.bundle)
    tokenizer, forward = bundle.module("tokenizer", MotionTokenizer), bundle.module("forward", ForwardDynamics)
    dataset = Dataset.open(folders.held_out)
    windows = WindowSet(
        [Source(path=folders.held_out)],
        tracks=folders.truth,
        features=folders.features,
        text=folders.text,
        actions=False,
    )
    shown = []
    for task in config.tasks:
        episode = next(e for e in dataset.episodes if e.info["task"] == task)
        rows = np.flatnonzero(windows.index[:, 1] == episode.index)
        batch = windows.batch(rows)
        assert batch.tracks is not None
        assert batch.features is not None
        liveliest = int(path_px(batch.tracks).mean(dim=(1, 2)).argmax())
        start = int(windows.index[rows[liveliest], 2])
        image = dataset.frames(episode.index, dataset.spec.cameras[0])[start]
        truth = batch.tracks.points[liveliest]
        with torch.no_grad():
            tokens = forward.generate(batch.features.map(lambda x, i=liveliest: x[i : i + 1]))
            foreseen = tokenizer.decode(tokens, truth[:, 0]).points[0]
        pair = [
            label(draw_tracks(image, foreseen[0], scale=SCALE), "predicted"),
            label(draw_tracks(image, truth[0], scale=SCALE), "truth"),
        ]
        shown.append(
            Picture(png=png(panels(pair)), caption=f"“{episode.instruction}”, frame {start}", width_percent=49)
        )
    return shown


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
