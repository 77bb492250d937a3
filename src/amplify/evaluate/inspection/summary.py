"""An inspection by stable names, ready for JSON."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from amplify.evaluate.inspection.columns import ColumnSums, Steps, jumps
from amplify.evaluate.inspection.config import named
from amplify.evaluate.inspection.evidence import Evidence
from amplify.evaluate.inspection.finding import Finding
from amplify.evaluate.inspection.frames import FrameSums
from amplify.evaluate.inspection.motion import CAMERA_PX, EDGES_PX, ERRORS_PX, MotionSums
from amplify.evaluate.inspection.wording import near_duplicates
from amplify.tokens.local_window import LocalWindow

MOST_TASKS = 50
"""Tasks that are listed, the commonest first."""
QUICK = "quick look with optical flow"


def summary(evidence: Evidence, findings: Sequence[Finding]) -> dict[str, Any]:
    """All figures of an inspection.

    Args:
        evidence: What was read.
        findings: What is wrong.
    """
    contents, spec = evidence.contents, evidence.contents.spec
    return {
        "dataset": str(contents.root),
        "robot_type": spec.robot_type,
        "episodes": len(contents.lengths),
        "frames": contents.frames,
        "hours": contents.hours,
        "fps": spec.fps,
        "cameras": [{"name": c, "width": spec.size(c)[0], "height": spec.size(c)[1]} for c in spec.cameras],
        "proprioception_names": list(spec.proprio_names or ()),
        "action_names": list(spec.action_names or ()),
        "splits": contents.splits,
        "looked_at": {
            "checked_episodes": len(evidence.checks) + len(evidence.broken),
            "usable_episodes": evidence.usable,
            "seen_episodes": len(evidence.seen),
            "followed_episodes": sum(bool(one.motion) for one in evidence.seen),
            "seed": evidence.config.seed,
        },
        "disk_bytes": evidence.disk,
        "sidecars": [
            {
                "folder": state.folder,
                "kind": state.kind,
                "producer": state.header.producer if state.header else None,
                "version": state.header.version if state.header else None,
                "episodes": state.episodes,
                "missing": len(state.missing),
                "set_aside": len(state.set_aside),
            }
            for state in evidence.sidecars
        ],
        "lengths": _lengths(evidence),
        "tasks": tasks(contents.tasks),
        "proprioception": column_rows(spec.proprio_names, evidence.column("proprioception")),
        "actions": column_rows(spec.action_names, evidence.column("actions")),
        "video": {camera: _frames([one.frames[camera] for one in evidence.seen]) for camera in spec.cameras},
        "duplicates": [list(group) for group in evidence.copies],
        "motion": motion(evidence),
        "findings": [finding.summary() for finding in findings],
    }


def _lengths(evidence: Evidence) -> dict[str, Any]:
    lengths = np.array(list(evidence.contents.lengths.values()) or [0])
    counts, edges = np.histogram(lengths, bins=min(20, max(1, len(np.unique(lengths)))))
    return {
        "min": int(lengths.min()),
        "median": float(np.median(lengths)),
        "mean": float(lengths.mean()),
        "max": int(lengths.max()),
        "histogram": {"edges": edges.tolist(), "counts": counts.tolist()},
    }


def tasks(counts: Counter[str]) -> dict[str, Any]:
    """How many episodes have each instruction.

    Args:
        counts: Of every instruction.
    """
    return {
        "count": len(counts),
        "empty": sum(count for text, count in counts.items() if not text.strip()),
        "near_duplicates": [list(group) for group in near_duplicates(counts)],
        "commonest": [{"instruction": text, "episodes": count} for text, count in counts.most_common(MOST_TASKS)],
    }


def column_rows(names: Sequence[str] | None, column: tuple[ColumnSums, list[Steps]] | None) -> list[dict[str, Any]]:
    """A row of figures for each dimension; none where there is no such column.

    Args:
        names: Of the dimensions.
        column: Sums over all episodes, and steps of each.
    """
    if column is None or names is None:
        return []
    sums, steps = column
    jumping = jumps(sums, steps).sum(axis=0)
    return [
        {
            "name": name,
            "min": float(sums.low[d]),
            "max": float(sums.high[d]),
            "mean": float(sums.mean[d]),
            "std": float(sums.std[d]),
            "constant": bool(sums.constant[d]),
            "discrete_values": len(sums.distinct[d] or ()) if sums.discrete[d] else None,
            "saturated_share": float(sums.saturated_share[d]),
            "jumping_episodes": int(jumping[d]),
        }
        for d, name in enumerate(names)
    ]


def _frames(of_episodes: Sequence[FrameSums]) -> dict[str, Any]:
    looked_at = sum(one.looked_at for one in of_episodes)
    shares = {
        f"{name}_share": sum(getattr(one, name) for one in of_episodes) / looked_at if looked_at else None
        for name in ("black", "overexposed", "empty", "repeated")
    }
    brightness = float(np.mean([one.brightness for one in of_episodes])) if of_episodes else None
    longest = max((one.longest for one in of_episodes), default=0)
    return {"frames": looked_at, **shares, "longest_still_frames": longest, "brightness": brightness}


def motion(evidence: Evidence) -> dict[str, Any]:
    """How points move: of all, by camera and by task; empty where it was not measured.

    Args:
        evidence: What was read.
    """
    every = evidence.motion_by(None)
    if not every:
        return {}
    windows = evidence.config.windows
    by_task = sorted(evidence.motion_by(1).items(), key=lambda item: -item[1].windows)[:MOST_TASKS]
    return {
        "source": evidence.tracks or QUICK,
        "window": named(windows[0]),
        "all": motion_figures(every["all"], windows),
        "by_camera": {camera: motion_figures(sums, windows) for camera, sums in evidence.motion_by(0).items()},
        "by_task": {task: motion_figures(sums, windows) for task, sums in by_task},
        "histogram": {"edges_px": EDGES_PX[:-1].tolist(), "counts": every["all"].histogram.tolist()},
    }


def motion_figures(sums: MotionSums, windows: Sequence[LocalWindow]) -> dict[str, Any]:
    """The figures of one group of windows; a share of nothing is None.

    Args:
        sums: Their counts.
        windows: The token windows that were measured.
    """
    return {
        "windows": sums.windows,
        "moving_points_share": _share(sums.moving_points, sums.points),
        "visible_share": _share(sums.visible, sums.positions),
        "moving_visible_share": _share(sums.moving_visible, sums.moving_positions),
        "moving_steps_share": _share(sums.moving_steps, sums.steps),
        "beyond_window_share": _share(int(sums.beyond[0]), sums.moving_steps),
        "beyond_share": {named(w): _share(int(count), sums.moving_steps) for w, count in zip(windows, sums.beyond)},
        "beyond_window_share_without_camera": _share(sums.still_beyond, sums.still_moving_steps),
        "step_px": {
            "median": sums.quantile_px(0.5),
            "p95": sums.quantile_px(0.95),
            "p99": sums.quantile_px(0.99),
            "max": sums.largest_px,
        },
        "moving_error_share_below": {
            f"{limit:g}_px": _share(int(count), sums.error_moving_points)
            for limit, count in zip(ERRORS_PX, sums.error_moving)
        },
        "camera": {
            "moving": sums.camera_moves,
            "moving_share": _share(int((sums.camera_px > CAMERA_PX).sum()), len(sums.camera_px)),
            "median_px": float(np.median(sums.camera_px)) if len(sums.camera_px) else None,
            "max_px": float(sums.camera_px.max()) if len(sums.camera_px) else None,
        },
    }


def _share(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None
