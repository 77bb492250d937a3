"""One engine for every format: recordings in, a LeRobotDataset v3 out, on all cores, going on where it stopped.

A format gives a `Plan`: what every episode has, and a list of recordings that read themselves. A recording that cannot
be read is set aside with its reason; the rest goes on.
"""

import hashlib
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from amplify.config import Config
from amplify.data.episode import Footage
from amplify.data.health import reason_of
from amplify.data.layout import DatasetSpec
from amplify.data.writer import DatasetWriter, report_of
from amplify.errors import DataError
from amplify.jobs import map_jobs

SHOWN = 20
"""Reasons in a summary; all are in the dataset's report."""


@runtime_checkable
class Recording(Protocol):
    """One episode to be; picklable, and small."""

    @property
    def name(self) -> str:
        """Unique in its source, the same in every run: a path and a number, as a user knows them."""
        ...

    def footage(self) -> Footage:
        """The episode, its frames read as they are gone through.

        Raises:
            DataError: It cannot be read.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is imported.

    Args:
        spec: What every episode has.
        settings: All that changes the result, beside the source.
        recordings: In the order of the episodes.
        set_aside: Names of those that are known to be broken, and why.
    """

    spec: DatasetSpec
    settings: Config
    recordings: tuple[Recording, ...]
    set_aside: Mapping[str, str] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits that change with any setting."""
        described = self.settings.model_dump_json() + self.spec.model_dump_json()
        return hashlib.sha256(described.encode()).hexdigest()[:12]

    def key(self, recording: Recording) -> str:
        """Names the recording for resuming; begins with the settings' fingerprint, so that others are recognised."""
        readable = re.sub(r"[^A-Za-z0-9._-]+", "_", recording.name)[-60:]
        unique = hashlib.sha256(recording.name.encode("utf-8", errors="surrogateescape")).hexdigest()[:8]
        return f"{self.fingerprint}-{readable}-{unique}"

    def limited(self, limit: int | None) -> "Plan":
        """The plan for the first so many recordings; all if None."""
        return Plan(
            spec=self.spec,
            settings=self.settings,
            recordings=self.recordings[:limit],
            set_aside=self.set_aside,
        )


def run_import(plan: Plan, out: Path, *, workers: int | None = None, strict: bool = False) -> dict[str, Any]:
    """A dataset at ``out``; what an interrupted run of the same settings left there is kept.

    Args:
        plan: What to import.
        out: The dataset's folder.
        workers: Processes; all cores by default.
        strict: Whether one recording that cannot be read is an error; what could be read stays staged.

    Returns:
        Counts of episodes and frames, the rate, and the reasons of those that were set aside.

    Raises:
        DataError: The folder holds other data, nothing could be imported, or (if strict) not everything.
    """
    started = time.monotonic()
    writer = DatasetWriter(out, plan.spec)
    staged = writer.staged()
    _refuse_foreign(plan, out, staged)
    set_aside = dict(plan.set_aside)
    recordings: dict[str, Recording] = {}
    for recording in plan.recordings:
        if recordings.setdefault(plan.key(recording), recording) is not recording:
            set_aside[f"{recording.name}, again"] = "twice in the source"
    todo = {key: recording for key, recording in recordings.items() if key not in staged}
    frames = 0
    if writer.finished:
        set_aside |= report_of(out).get("set_aside", {})
        _refuse_more(out, todo, set_aside)
    else:
        work = partial(_import, out, plan.spec)
        for done in map_jobs(work, list(todo.items()), workers=workers, label="import", unit="episode"):
            if done.error is not None:
                set_aside[done.item[1].name] = reason_of(done.error)
            else:
                frames += done.result or 0
        kept = [key for key in recordings if recordings[key].name not in set_aside]
        _check(out, kept, set_aside, strict=strict)
        writer.finalize(kept, _report(plan, set_aside))
    _check(out, list(recordings), set_aside, strict=strict)
    seconds = time.monotonic() - started
    shown = dict(sorted(set_aside.items())[:SHOWN])
    if len(set_aside) > SHOWN:
        shown["…"] = f"and {len(set_aside) - SHOWN} more, in meta/amplify/report.json"
    return {
        "dataset": str(out),
        "episodes": len(writer.staged()),
        "imported_now": len([key for key in todo if recordings[key].name not in set_aside]),
        "frames": frames,
        "seconds": round(seconds, 2),
        "frames_per_s": round(frames / seconds, 1),
        "skipped": len(set_aside),
        "set_aside": shown,
    }


def _import(out: Path, spec: DatasetSpec, item: tuple[str, Recording]) -> int:
    key, recording = item
    footage = recording.footage()
    DatasetWriter(out, spec).write_footage(key, footage)
    return footage.length * len(spec.cameras)


def _report(plan: Plan, set_aside: Mapping[str, str]) -> dict[str, Any]:
    return {
        "imported_with": plan.settings.model_dump(mode="json"),
        "set_aside": dict(sorted(set_aside.items())),
    }


def _refuse_foreign(plan: Plan, out: Path, staged: frozenset[str]) -> None:
    if any(not key.startswith(f"{plan.fingerprint}-") for key in staged):
        raise DataError(
            f"{out} holds a dataset that was made with other settings",
            got=plan.settings.model_dump_json(),
            allowed=report_of(out).get("imported_with"),
            remedy="choose another folder with --out, or remove this one",
        )


def _refuse_more(out: Path, todo: Mapping[str, Recording], set_aside: Mapping[str, str]) -> None:
    new = [recording.name for recording in todo.values() if recording.name not in set_aside]
    if new:
        raise DataError(
            f"{out} is complete, and the source has more than it had",
            got=f"{len(new)} new: {', '.join(new[:5])}",
            remedy="import into another folder with --out",
        )


def _check(out: Path, kept: list[str], set_aside: Mapping[str, str], *, strict: bool) -> None:
    if kept and not (strict and set_aside):
        return
    shown = [f"{name}: {reason}" for name, reason in sorted(set_aside.items())[:10]]
    raise DataError(
        f"{len(set_aside)} of {len(kept) + len(set_aside)} recordings could not be imported into {out}",
        got="\n           ".join(shown) or "nothing was found",
        remedy="mend or remove them and run the command again" + (", or go on without --strict" if kept else ""),
    )
