"""``amplify inspect``: what is in a dataset, and what is wrong with it."""

from pathlib import Path
from typing import Any

from tyro.conf import Positional

from amplify.errors import UsageError
from amplify.evaluate.inspection.config import InspectionConfig
from amplify.evaluate.inspection.inspecting import inspect_dataset


def inspect(
    dataset: Positional[Path],
    /,
    tracks: str = "",
    out: Path | None = None,
    window: int = 15,
    window_reach_px: float | None = None,
    checked: int = 2000,
    seen: int = 100,
    followed: int = 4,
    seed: int = 0,
    workers: int | None = None,
    strict: bool = False,
) -> dict[str, Any]:
    """Shows what is in a dataset and what is wrong with it; exit code 1 where nothing can be learned from it.

    Args:
        dataset: Folder of a LeRobotDataset v3.
        tracks: Sidecar folder of the tracks whose motion is measured; the only one of the dataset by default.
        out: An HTML page to write, with pictures.
        window: Side of the token window that motion is measured against, cells.
        window_reach_px: Largest displacement of a window whose cells grow from the centre; cells of a pixel by default.
        checked: Episodes whose files, proprioception and actions are read; 0 for all.
        seen: Of those, episodes whose video and tracks are read; 0 for all.
        followed: Of those, episodes that are followed by optical flow where there are no tracks; 0 for none.
        seed: Of the episodes that are drawn where there are more.
        workers: Processes; all cores by default.
        strict: Whether any problem gives exit code 1.
    """
    if out is not None and out.suffix.lower() not in (".html", ".htm"):
        raise UsageError("the page needs the name of an HTML file", got=out, allowed="page.html")
    config = InspectionConfig(
        tracks=tracks,
        window=window,
        window_reach_px=window_reach_px,
        checked=checked,
        seen=seen,
        followed=followed,
        seed=seed,
    )
    return Inspected(inspect_dataset(dataset, config, out=out, workers=workers, strict=strict))


class Inspected(dict[str, Any]):
    """All figures of an inspection; `brief` are those that a person reads."""

    @property
    def brief(self) -> dict[str, Any]:
        """What is in it, in a few lines, and all findings."""
        lengths, motion = self["lengths"], self["motion"]
        shown = {name: self[name] for name in ("dataset", "robot_type", "episodes", "frames", "fps", "cameras")}
        shown |= {
            "hours": self["hours"],
            "proprioception": ", ".join(self["proprioception_names"]) or None,
            "actions": ", ".join(self["action_names"]) or "none: video only",
            "lengths": f"{lengths['min']} … {lengths['max']} frames, median {lengths['median']:g}",
            "disk": f"{self['disk_bytes']['total'] / 1e6:.1f} MB",
            "sidecars": self["sidecars"],
            "tasks": [*map(_task, self["tasks"]["commonest"][:TASKS]), *_rest(self["tasks"]["count"])],
            "looked_at": self["looked_at"],
        }
        if motion:
            groups = {"all": motion["all"], **motion["by_camera"]}
            shown["motion"] = {
                "source": motion["source"],
                "window": motion["window"],
                "by_camera": [{"camera": name, **_in_short(one)} for name, one in groups.items()],
                "beyond_window_share": motion["all"]["beyond_share"],
            }
        for number, one in enumerate(self["findings"], 1):
            shown[f"{number}. {one['severity']}, {one['kind']}"] = _told(one)
        return shown | {name: self[name] for name in ("verdict", "page", "passed")}


TASKS = 10
"""Tasks that a person is shown."""


def _task(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "instruction": row["instruction"] or "(no instruction)"}


def _rest(count: int) -> list[dict[str, Any]]:
    return [{"instruction": f"… ({count} in all)", "episodes": None}] if count > TASKS else []


def _in_short(motion: dict[str, Any]) -> dict[str, Any]:
    return {
        "moving_points_share": motion["moving_points_share"],
        "beyond_window_share": motion["beyond_window_share"],
        "median_step_px": motion["step_px"]["median"],
        "moving_visible_share": motion["moving_visible_share"],
        "camera_moving_share": motion["camera"]["moving_share"],
    }


def _told(finding: dict[str, Any]) -> dict[str, Any]:
    listed = ", ".join(map(str, finding["episodes"])) + (" …" if finding["count"] > len(finding["episodes"]) else "")
    where = {"episodes": f"{finding['count']}: {listed}"} if finding["count"] else {}
    return {"what": finding["message"], **where, "do": finding["remedy"]}
