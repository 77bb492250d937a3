"""The page of the bench of trackers: tables with intervals, bars, and tracks beside the true ones."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from amplify.draw import draw_tracks, panels, plot_bars, png
from amplify.evaluate.report import Picture, Section, Table, write_page
from amplify.metrics.benchmark import KINDS
from amplify.metrics.statistics import Interval
from amplify.metrics.tracks import MOVING_PX, path_px
from amplify.types import Clip, TrackWindow

FIGURES = ("delta_avg", "average_jaccard", "occlusion_accuracy", "base_rate", "error_px")
PICTURE_PX = 320


def overlay(clip: Clip, truth: TrackWindow, found: Mapping[str, TrackWindow]) -> UInt8[np.ndarray, "h w 3"]:
    """The window in which most moves: the true tracks of its moving points, and what each tracker made of them.

    Args:
        clip: The video.
        truth: Windows of shape (t, 1, horizon, n).
        found: The trackers' windows.
    """
    moves = (path_px(truth)[:, 0] > MOVING_PX) & truth.visible[:, 0, 0]  # (t, n)
    whole = truth.valid[:, 0].all(dim=-1)
    start = int((moves.sum(dim=-1) * (0.5 + whole)).argmax())
    last = int(truth.valid[start, 0].sum()) - 1
    chosen = moves[start]
    image = clip.frames[start + last]
    pictures = [
        draw_tracks(
            image,
            window.points[start, 0, : last + 1, chosen],
            visible=window.visible[start, 0, : last + 1, chosen],
            scale=PICTURE_PX / min(image.shape[:2]),
            dim=0.35,
        )
        for window in (truth, *found.values())
    ]
    return panels(pictures, ["truth", *found])


def write_trackers_page(
    out: Path, summary: Mapping[str, Any], pictures: Sequence[tuple[str, UInt8[np.ndarray, "h w 3"]]]
) -> Path:
    """Writes OUT/trackers.html and OUT/trackers.json; the page's path.

    Args:
        out: A folder; it is made.
        summary: All figures.
        pictures: With the names of their videos.
    """
    out.mkdir(parents=True, exist_ok=True)
    aside = out / ".trackers.json.partial"
    aside.write_text(json.dumps(summary, indent=1, default=str) + "\n")
    os.replace(aside, out / "trackers.json")
    rows = summary["trackers"]
    kinds = [kind for kind in KINDS if any(row["tracks"][kind] for row in rows.values())]
    shown = Section(
        heading="Tracks",
        text=f"{summary['videos']} videos, {summary['start_frames']} start frames. Pixels of a frame of "
        f"{summary['settings']['size_px']} px a side; noise of {summary['settings']['noise']:g} grey levels. Visible "
        "points, without the query frame; 95 % intervals by bootstrap over videos. Fainter tails: said to be hidden.",
        pictures=[
            Picture(png=_bars(rows, kinds), caption="δ_avg: mean share of points within 1, 2, 4, 8 and 16 px."),
            *(Picture(png=png(picture), caption=name) for name, picture in pictures),
        ],
    )
    figures = Section(heading="Figures", tables=[*(_table(rows, kind) for kind in kinds), _speed(rows)])
    settings = {name: row.get("settings") for name, row in rows.items()}
    write_page(
        out / "trackers.html",
        title="Point trackers against the truth",
        verdict=_verdict(rows, kinds),
        sections=[
            shown,
            figures,
            Section(heading="Settings", preformatted=json.dumps([summary["settings"], settings], indent=1)),
        ],
    )
    return out / "trackers.html"


def _verdict(rows: Mapping[str, Any], kinds: Sequence[str]) -> str:
    sentences = []
    for kind in kinds:
        best = max(
            (name for name in rows if "version" in rows[name]), key=lambda n: rows[n]["tracks"][kind]["delta_avg"]
        )
        value = _with_interval(rows[best], kind, "delta_avg")
        sentences.append(f"{kind.capitalize()} points: {best} is best, δ_avg {value}.")
    return " ".join(sentences)


def _bars(rows: Mapping[str, Any], kinds: Sequence[str]) -> bytes:
    groups = {
        kind: {
            name: Interval(row["tracks"][kind]["delta_avg"], *row["ci95"][kind]["delta_avg"])
            for name, row in rows.items()
        }
        for kind in kinds
    }
    return plot_bars(groups, y="δ_avg", limit=(0, 1), size_in=(9.0, 3.4))


def _with_interval(row: Mapping[str, Any], kind: str, figure: str) -> str:
    low, high = row["ci95"][kind][figure]
    return f"{row['tracks'][kind][figure]:.3f} [{low:.3f}, {high:.3f}]"


def _table(rows: Mapping[str, Any], kind: str) -> Table:
    pck = [figure for figure in next(iter(rows.values()))["tracks"][kind] if figure.startswith("pck_")]
    return Table(
        header=[
            "tracker",
            "δ_avg ↑",
            "Average Jaccard ↑",
            "occlusion accuracy ↑",
            "its base rate",
            "error px ↓",
            *[f"within {figure.removeprefix('pck_')} px" for figure in pck],
        ],
        rows=[
            [
                name,
                *[_with_interval(row, kind, figure) for figure in FIGURES],
                *[f"{row['tracks'][kind][figure]:.3f}" for figure in pck],
            ]
            for name, row in rows.items()
        ],
        caption=f"{kind.capitalize()} points.",
    )


def _speed(rows: Mapping[str, Any]) -> Table:
    return Table(
        header=[
            "tracker",
            "start frames / s",
            "CPU ms a start frame",
            "cost, dis = 1",
            "δ_avg above dis, moving points",
        ],
        rows=[
            [
                name,
                row["frames_per_s"],
                row["cpu_ms_per_start"],
                row["cost_of_dis"],
                _gap(row["delta_avg_above_dis"].get("moving")),
            ]
            for name, row in rows.items()
            if "version" in row
        ],
        caption="On this machine, one thread unless a tracker uses a GPU.",
    )


def _gap(gap: Sequence[float] | None) -> str | None:
    return None if gap is None else f"{gap[0]:+.3f} [{gap[1]:+.3f}, {gap[2]:+.3f}]"
