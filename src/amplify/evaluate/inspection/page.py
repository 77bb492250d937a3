"""An inspection as one self-contained HTML page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from amplify.draw.histograms import plot_histogram, plot_small_histograms
from amplify.evaluate.inspection.config import named
from amplify.evaluate.inspection.evidence import Evidence
from amplify.evaluate.inspection.finding import Finding
from amplify.evaluate.inspection.summary import QUICK
from amplify.evaluate.report import Notice, Photo, Picture, Section, Table, write_page

MOST_ROWS = 25
"""Tasks that a table of the page lists."""
MOST_DIMENSIONS = 24


def write_inspection(
    path: Path, evidence: Evidence, findings: Sequence[Finding], figures: Mapping[str, Any], verdict: str
) -> None:
    """Writes the page, aside first.

    Args:
        path: The HTML file; its folder is made.
        evidence: What was read, with pictures.
        findings: What is wrong, the worst first.
        figures: Of `amplify.evaluate.inspection.summary`.
        verdict: The outcome in a sentence or two.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sections = [
        _contents(evidence, figures),
        _findings(findings),
        _episodes(evidence),
        *_motion(evidence, figures),
        _tasks(figures),
        *(_column(evidence, figures, name) for name in ("proprioception", "actions") if figures[name]),
        _video(figures),
        _sidecars(figures),
    ]
    name = evidence.contents.root.resolve().name
    write_page(path, title=f"Dataset {name}", verdict=verdict, sections=[section for section in sections if section])


def _contents(evidence: Evidence, figures: Mapping[str, Any]) -> Section:
    contents, looked = evidence.contents, figures["looked_at"]
    drawn = "all of them" if looked["checked_episodes"] == len(contents.lengths) else "drawn evenly over tasks"
    sizes = ", ".join(f"{c['name']} {c['width']}×{c['height']}" for c in figures["cameras"])
    facts = [
        ("episodes", f"{figures['episodes']:,}"),
        ("usable of the checked", f"{looked['usable_episodes']:,} of {looked['checked_episodes']:,}"),
        ("frames", f"{figures['frames']:,}"),
        ("duration", _duration(figures["hours"])),
        ("frames a second", f"{figures['fps']:g}"),
        ("tasks", f"{figures['tasks']['count']:,}"),
        ("robot", figures["robot_type"]),
        ("cameras", sizes),
        (
            "proprioception",
            f"{len(figures['proprioception_names'])} numbers" if figures["proprioception_names"] else "none",
        ),
        ("actions", f"{len(figures['action_names'])} numbers" if figures["action_names"] else "none: video only"),
        ("splits", ", ".join(f"{name} {span}" for name, span in figures["splits"].items()) or "none"),
        ("on disk", _bytes(figures["disk_bytes"]["total"])),
    ]
    lengths = figures["lengths"]
    return Section(
        heading="What is in it",
        text=f"Files, proprioception and actions of {looked['checked_episodes']:,} episodes were checked ({drawn}), "
        f"video and tracks of {looked['seen_episodes']:,} were read (at most 512 frames of each camera, spread over "
        f"an episode); seed {looked['seed']}. Lengths and instructions are those of all episodes.",
        facts=facts,
        pictures=[
            Picture(
                png=plot_histogram(
                    lengths["histogram"]["edges"],
                    lengths["histogram"]["counts"],
                    x="frames an episode",
                    y="episodes",
                    size_in=(9.0, 2.2),
                ),
                caption=f"{lengths['min']} to {lengths['max']} frames, median {lengths['median']:g}.",
            )
        ],
    )


def _findings(findings: Sequence[Finding]) -> Section:
    if not findings:
        return Section(heading="Problems", notices=[Notice(level="good", text="Nothing was found to be wrong.")])
    return Section(
        heading="Problems",
        notices=[Notice(level=one.severity, text=one.message, detail=one.where, remedy=one.remedy) for one in findings],
    )


def _episodes(evidence: Evidence) -> Section | None:
    shown = [one for one in evidence.seen if one.strip]
    if not shown:
        return None
    cameras = evidence.contents.spec.cameras
    contents = evidence.contents
    return Section(
        heading="Episodes",
        text=f"First, middle and last frames of {len(shown)} episodes"
        + (f"; rows from the top: {', '.join(cameras)}." if len(cameras) > 1 else "."),
        pictures=[
            Photo(
                jpeg=one.strip,
                caption=f"{one.index} · {contents.lengths[one.index]} frames · "
                f"{_quoted(contents.instructions[one.index])}",
                width_percent=49,
            )
            for one in shown
        ],
    )


def _motion(evidence: Evidence, figures: Mapping[str, Any]) -> list[Section]:
    motion = figures["motion"]
    if not motion:
        return []
    quick = motion["source"] == QUICK
    count = figures["looked_at"]["followed_episodes"]
    source = (
        f"There are no tracks yet: a quick look with optical flow at the middle of {count} episodes. "
        f"'amplify track {evidence.contents.root}' makes tracks."
        if quick
        else f"Windows of {motion['source']}, {count} episodes."
    )
    windows = evidence.config.windows
    reach = windows[0].axis_px[-1].item()
    groups = {"all": motion["all"], **{f"camera {name}": one for name, one in motion["by_camera"].items()}}
    tasks = dict(list(motion["by_task"].items())[:MOST_ROWS])
    return [
        Section(
            heading="How points move",
            text=f"{source} Pixels are those of a 128×128 frame, whatever the camera's. A point moves when its path "
            "over a window is longer than a pixel, a step when it is longer than half a pixel.",
            tables=[
                _motion_table(groups, "Motion by camera."),
                _windows_table(groups),
                *([_motion_table(tasks, f"Motion by task{_more(motion['by_task'])}.")] if len(tasks) > 1 else []),
            ],
            pictures=[
                Picture(
                    png=plot_histogram(
                        motion["histogram"]["edges_px"],
                        motion["histogram"]["counts"][: len(motion["histogram"]["edges_px"]) - 1],
                        x="px a step, along the longer axis",
                        y="moving steps",
                        log_x=True,
                        lines={f"end of the window, {named(windows[0])}": reach + 0.5},
                        size_in=(9.0, 2.8),
                    ),
                    caption="How far moving points go in a step. What lies right of the line, no token can say.",
                )
            ],
        ),
        Section(
            heading="Tracks on frames",
            text="The window with most motion of each episode shown above, on its first frame; colours tell "
            "directions, dots rest.",
            pictures=[
                Photo(
                    jpeg=overlay.jpeg,
                    caption=f"{one.index} · {overlay.camera}, from frame {overlay.frame} · "
                    f"{_quoted(evidence.contents.instructions[one.index])}",
                    width_percent=32,
                )
                for camera in evidence.contents.spec.cameras
                for one in evidence.seen
                for overlay in one.overlays
                if overlay.camera == camera
            ],
        ),
    ]


def _motion_table(groups: Mapping[str, Mapping[str, Any]], caption: str) -> Table:
    header = [
        "",
        "points moving",
        "beyond window",
        "median px",
        "99 % px",
        "visible, moving",
        "error < 1 px",
        "camera moves",
    ]
    rows = [
        [
            name or "(no instruction)",
            _percent(one["moving_points_share"]),
            _percent(one["beyond_window_share"]),
            one["step_px"]["median"],
            one["step_px"]["p99"],
            _percent(one["moving_visible_share"]),
            _percent(one["moving_error_share_below"]["1_px"]),
            _percent(one["camera"]["moving_share"]),
        ]
        for name, one in groups.items()
    ]
    return Table(header=header, rows=rows, caption=caption)


def _windows_table(groups: Mapping[str, Mapping[str, Any]]) -> Table:
    names = list(groups["all"]["beyond_share"])
    rows = [[name, *[_percent(one["beyond_share"][name]) for one in groups.values()]] for name in names]
    return Table(
        header=["token window", *groups],
        rows=rows,
        caption="Share of the moving steps beyond each window of tokens; the first one was asked for.",
    )


def _tasks(figures: Mapping[str, Any]) -> Section:
    tasks = figures["tasks"]
    rows = [[row["instruction"] or "(no instruction)", row["episodes"]] for row in tasks["commonest"][:MOST_ROWS]]
    return Section(
        heading="Tasks",
        tables=[Table(header=["instruction", "episodes"], rows=rows, caption=f"{tasks['count']} tasks{_more(rows)}.")],
    )


def _column(evidence: Evidence, figures: Mapping[str, Any], name: str) -> Section:
    rows = [
        [
            row["name"],
            row["min"],
            row["max"],
            row["mean"],
            row["std"],
            "constant" if row["constant"] else f"{row['discrete_values']} values" if row["discrete_values"] else None,
            _percent(row["saturated_share"]) if row["saturated_share"] else None,
            row["jumping_episodes"] or None,
        ]
        for row in figures[name]
    ]
    samples = np.concatenate([one.rows[name] for one in evidence.checks if name in one.rows])
    shown = {row["name"]: samples[:, d] for d, row in enumerate(figures[name][:MOST_DIMENSIONS])}
    return Section(
        heading=name.capitalize(),
        tables=[
            Table(
                header=["", "min", "max", "mean", "std", "kind", "at limits", "episodes with jumps"],
                rows=rows,
                caption="Environment units, of all checked episodes.",
            )
        ],
        pictures=[Picture(png=plot_small_histograms(shown), caption=f"Distribution of {len(samples):,} rows.")],
    )


def _video(figures: Mapping[str, Any]) -> Section:
    rows = [
        [
            camera,
            one["frames"],
            *[_percent(one[f"{fault}_share"]) for fault in ("black", "overexposed", "empty", "repeated")],
            one["longest_still_frames"],
            one["brightness"],
        ]
        for camera, one in figures["video"].items()
    ]
    header = ["camera", "frames", "black", "over-exposed", "one colour", "as before", "longest still", "mean level"]
    return Section(heading="Video", tables=[Table(header=header, rows=rows, caption="Of the frames that were read.")])


def _sidecars(figures: Mapping[str, Any]) -> Section:
    rows = [
        [
            row["folder"],
            row["producer"],
            row["version"],
            row["episodes"],
            row["missing"] or None,
            row["set_aside"] or None,
        ]
        for row in figures["sidecars"]
    ]
    disk = [[name, _bytes(size)] for name, size in figures["disk_bytes"].items()]
    tables = [Table(header=["disk", "size"], rows=disk)]
    if rows:
        header = ["sidecar", "made by", "version", "episodes", "missing", "set aside"]
        tables.insert(0, Table(header=header, rows=rows))
    return Section(heading="Sidecars and disk", text="" if rows else "There are no sidecars yet.", tables=tables)


def _more(rows: Any) -> str:
    return f", the first {MOST_ROWS} of them" if len(rows) > MOST_ROWS else ""


def _quoted(instruction: str) -> str:
    return f"“{instruction}”" if instruction.strip() else "(no instruction)"


def _percent(share: float | None) -> str | None:
    if share is None:
        return None
    return f"{100 * share:.1f} %" if 0.0005 < share < 0.9995 else f"{100 * share:.0f} %"


def _duration(hours: float) -> str:
    return f"{hours:,.1f} h" if hours >= 1 else f"{60 * hours:.1f} min"


def _bytes(size: int) -> str:
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size / 1e3:.3g} kB"
