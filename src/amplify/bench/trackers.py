"""Trackers against the truth: TAP-Vid's figures with intervals, and what a start frame costs."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from pydantic import Field

from amplify import rng
from amplify.bench.judged_videos import Source, judged_sources
from amplify.bench.trackers_page import overlay, write_trackers_page
from amplify.config import Config
from amplify.coords import EVALUATION_SIZE_PX
from amplify.errors import DataError, UsageError
from amplify.jobs import map_jobs, one_thread
from amplify.metrics.benchmark import KINDS, BenchmarkSums, benchmark_sums, paired_difference, with_intervals
from amplify.metrics.tracks import no_motion
from amplify.protocols import Tracker
from amplify.types import Clip, TrackWindow

BASELINE, STILL = "dis", "no motion"
PICTURES = 3
"""Videos of which the page shows what each tracker made."""


class TrackerBench(Config):
    """How trackers are judged.

    Args:
        grid: Points a side, where they may be chosen.
        horizon: Frames of a window.
        episodes: The first so many of each dataset.
        cameras: Only these.
        noise: Standard deviation of Gaussian noise that is added to the video, in grey levels of 255.
        size_px: Side of the frame whose pixels errors are counted in; TAP-Vid's own figures are those of 256.
        stride: Frames from one query frame to the next in annotated videos.
        seed: Of noise and intervals.
    """

    grid: int = Field(default=20, ge=1)
    horizon: int = Field(default=16, ge=2)
    episodes: int | None = Field(default=None, ge=1)
    cameras: tuple[str, ...] | None = None
    noise: float = Field(default=0.0, ge=0)
    size_px: int = Field(default=EVALUATION_SIZE_PX, ge=1)
    stride: int = Field(default=5, ge=1)
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one video said of all trackers.

    Args:
        sums: By tracker.
        wall_s: Seconds by tracker.
        cpu_s: Processor seconds by tracker, of all threads.
        starts: Start frames.
        picture: Truth and trackers side by side, where one was asked for.
    """

    sums: Mapping[str, BenchmarkSums]
    wall_s: Mapping[str, float]
    cpu_s: Mapping[str, float]
    starts: int
    picture: UInt8[np.ndarray, "h w 3"] | None = None


@dataclass(frozen=True, slots=True)
class _Work:
    index: int
    source: Source
    draw: bool = field(default=False)


class TrackerBenchSummary(dict[str, Any]):
    """All figures; `brief` are those that a person reads."""

    @property
    def brief(self) -> dict[str, Any]:
        """One row a tracker for each kind of points."""
        shown: dict[str, Any] = {}
        for kind in KINDS:
            rows = [
                {"tracker": name, **{figure: row["tracks"][kind][figure] for figure in _SHOWN}}
                for name, row in self["trackers"].items()
                if row["tracks"][kind]
            ]
            shown |= {f"{kind} points": rows} if rows else {}
        costs = ("frames_per_s", "cpu_ms_per_start", f"cost_of_{BASELINE}")
        shown["speed"] = [
            {"tracker": name, **{cost: row[cost] for cost in costs}}
            for name, row in self["trackers"].items()
            if name != STILL
        ]
        return shown | {key: self[key] for key in ("videos", "start_frames", "set_aside", "page") if self[key]}


_SHOWN = ("delta_avg", "average_jaccard", "occlusion_accuracy", "base_rate", "error_px")


def bench_trackers(
    folders: Sequence[Path],
    trackers: Mapping[str, Tracker],
    config: TrackerBench,
    *,
    out: Path | None = None,
    workers: int = 0,
) -> TrackerBenchSummary:
    """Judges trackers on the same videos: figures, intervals, costs, and a page.

    Args:
        folders: Recordings of a simulator, or folders of annotated videos.
        trackers: By name; ``dis`` among them is what the others are compared with.
        config: How.
        out: Folder of the page; none is written by default.
        workers: Processes; more than one disturb each other's times.

    Raises:
        DataError: No video could be used.
        UsageError: No tracker is named.
    """
    if not trackers:
        raise UsageError("no tracker to judge", remedy="name some after --trackers")
    sources, set_aside = judged_sources(folders, cameras=config.cameras, episodes=config.episodes)
    drawn = {round(at) for at in np.linspace(0, len(sources) - 1, PICTURES)} if out is not None else set()
    work = [_Work(index, source, index in drawn) for index, source in enumerate(sources)]
    if workers == 0:
        one_thread()
    verdicts: dict[int, Verdict] = {}
    for done in map_jobs(partial(judge, trackers, config), work, workers=workers, label="tracking", unit="video"):
        if done.result is None:
            assert done.error is not None
            set_aside[done.item.source.name] = done.error.what
        else:
            verdicts[done.item.index] = done.result
    if not verdicts:
        raise DataError("no video could be used to judge trackers", got=next(iter(set_aside.values())))
    ordered = [verdicts[index] for index in sorted(verdicts)]
    summary = TrackerBenchSummary(
        videos=len(ordered),
        start_frames=sum(verdict.starts for verdict in ordered),
        settings=config.model_dump(mode="json"),
        trackers={name: _row(name, trackers.get(name), ordered, config) for name in ordered[0].sums},
        set_aside=set_aside,
        page=None,
    )
    if out is not None:
        pictures = [(sources[i].name, v.picture) for i, v in sorted(verdicts.items()) if v.picture is not None]
        summary["page"] = str(write_trackers_page(out, summary, pictures))
    return summary


def judge(trackers: Mapping[str, Tracker], config: TrackerBench, work: _Work) -> Verdict:
    """What one video says of all trackers.

    Args:
        trackers: By name.
        config: How they are judged.
        work: The video.
    """
    video = work.source.read(grid=config.grid, horizon=config.horizon, stride=config.stride)
    clip = _seen(video.clip, config, work.index)
    found: dict[str, TrackWindow] = {}
    wall_s: dict[str, float] = {}
    cpu_s: dict[str, float] = {}
    for name, tracker in trackers.items():
        # Whatever is loaded or compiled at the first call is no part of the cost of a start frame.
        tracker.track(Clip(frames=clip.frames[:2], fps=clip.fps, camera=clip.camera), video.queries[:1], horizon=2)
        wall, cpu = time.perf_counter(), time.process_time()
        found[name] = tracker.track(clip, video.queries, horizon=config.horizon)
        wall_s[name], cpu_s[name] = time.perf_counter() - wall, time.process_time() - cpu
    still = replace(no_motion(video.truth), visible=torch.ones_like(video.truth.visible))
    sums = {
        name: benchmark_sums(window, video.truth, objects=video.objects, size_px=config.size_px)
        for name, window in {**found, STILL: still}.items()
    }
    picture = overlay(clip, video.truth, found) if work.draw else None
    return Verdict(sums=sums, wall_s=wall_s, cpu_s=cpu_s, starts=len(clip.frames), picture=picture)


def _seen(clip: Clip, config: TrackerBench, index: int) -> Clip:
    """The video without the truth, with noise."""
    frames = clip.frames
    if config.noise > 0:
        generator = rng.numpy_generator(config.seed, "bench trackers", "noise", index)
        noisy = frames + generator.normal(0.0, config.noise, frames.shape).astype(np.float32)
        frames = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    return Clip(frames=frames, fps=clip.fps, camera=clip.camera)


def _row(name: str, tracker: Tracker | None, verdicts: Sequence[Verdict], config: TrackerBench) -> dict[str, Any]:
    """A tracker's figures; None is the tracker that says that nothing moves."""
    sums = [verdict.sums[name] for verdict in verdicts]
    generator = rng.numpy_generator(config.seed, "bench trackers", "intervals")
    rows = with_intervals(sums, generator=generator)
    row: dict[str, Any] = {
        "tracks": {kind: {figure: value.mean for figure, value in row.items()} for kind, row in rows.items()},
        "ci95": {
            kind: {figure: [value.low, value.high] for figure, value in row.items()} for kind, row in rows.items()
        },
    }
    if tracker is None:
        return row
    starts = sum(verdict.starts for verdict in verdicts)
    wall_s, cpu_s = (sum(getattr(v, key)[name] for v in verdicts) for key in ("wall_s", "cpu_s"))
    row |= {
        "version": tracker.version,
        "settings": dict(tracker.settings),
        "frames_per_s": starts / wall_s,
        "cpu_ms_per_start": 1e3 * cpu_s / starts,
        f"cost_of_{BASELINE}": None,
        f"delta_avg_above_{BASELINE}": {},
    }
    if BASELINE in verdicts[0].sums:
        theirs = [verdict.sums[BASELINE] for verdict in verdicts]
        row[f"cost_of_{BASELINE}"] = wall_s / sum(verdict.wall_s[BASELINE] for verdict in verdicts)
        for kind in rows:
            if rows[kind]:
                gap = paired_difference(sums, theirs, "delta_avg", kind, generator=generator)
                row[f"delta_avg_above_{BASELINE}"][kind] = [gap.mean, gap.low, gap.high]
    return row
