"""From what an inspection read to what is wrong: of files, columns, video and instructions."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from math import pi

import numpy as np

from amplify.data.sidecar import remedy_for
from amplify.evaluate.inspection.columns import ColumnSums, Steps, jumps
from amplify.evaluate.inspection.evidence import Evidence
from amplify.evaluate.inspection.finding import Finding
from amplify.evaluate.inspection.frames import FrameSums
from amplify.evaluate.inspection.wording import near_duplicates

SATURATED_SHARE = 0.05
"""A dimension with more of its rows at its limits is cut off there."""
REPEATED_SHARE = 0.3
"""More frames equal to the one before mean that the video has fewer pictures than frames."""
FAULTY_SHARE = 0.02
"""A few black frames at a cut are no fault."""
MOVES_SHARE = 0.1
"""Proprioception that goes through this share of its range while the picture stands still belongs to other frames."""
PLAUSIBLE_FPS = (2, 120)
LONG_S = 600
LEAN_SHARE = 0.1
"""A task with less than this share of the median task's episodes is lean."""
RECORD_AGAIN = "record or copy the episodes again; until then every command leaves them out"


def judge(evidence: Evidence) -> Iterator[Finding]:
    """Everything that is wrong with a dataset, or worth knowing, motion aside.

    Args:
        evidence: What was read.
    """
    yield from _usability(evidence)
    yield from _tables(evidence)
    yield from _sidecars(evidence)
    yield from _instructions(evidence)
    for name in ("proprioception", "actions"):
        column = evidence.column(name)
        if column is not None:
            yield from _column(evidence, name, *column)
    yield from _copies(evidence)
    yield from _video(evidence)


def _usability(evidence: Evidence) -> Iterator[Finding]:
    lost = evidence.broken | evidence.unseen
    if not evidence.contents.lengths:
        yield Finding(
            kind="no_episodes", severity="unusable", message="The table of episodes is empty.", remedy=RECORD_AGAIN
        )
    elif evidence.usable == 0:
        yield Finding(
            kind="no_usable_episode",
            severity="unusable",
            message=f"None of {len(lost)} episodes can be used.",
            remedy="see the reasons below; record, copy or import the dataset again",
        )
    for reason, episodes in _by_reason(evidence, lost).items():
        yield Finding(
            kind="broken_episode", severity="problem", message=reason, remedy=RECORD_AGAIN, episodes=tuple(episodes)
        )


def _by_reason(evidence: Evidence, lost: Mapping[int, str]) -> dict[str, list[int]]:
    """Episodes by reason, reasons that differ in numbers and files alone taken together under the first."""
    first: dict[str, str] = {}
    groups: dict[str, list[int]] = defaultdict(list)
    for index, reason in sorted(lost.items()):
        reason = reason.replace(f"{evidence.contents.root}/", "")
        groups[first.setdefault(re.sub(r"\d+", "#", reason), reason)].append(index)
    return groups


def _tables(evidence: Evidence) -> Iterator[Finding]:
    contents = evidence.contents
    for name, found in (("total_episodes", len(contents.lengths)), ("total_frames", contents.frames)):
        said = contents.info.get(name)
        if said is not None and said != found:
            yield Finding(
                kind="totals_disagree",
                severity="problem",
                message=f"info.json says {name} is {said}, the table of episodes has {found}.",
                remedy="copy the dataset again: a part of it may be missing",
            )
    for name, span in contents.splits.items():
        bounds = re.fullmatch(r"(\d+):(\d+)", span)
        if bounds and contents.lengths and int(bounds[2]) > max(contents.lengths) + 1:
            yield Finding(
                kind="split_beyond_end",
                severity="problem",
                message=f"The split {name!r} ({span}) names episodes that do not exist.",
                remedy="correct the splits in meta/info.json",
            )
    fps = contents.spec.fps
    if not PLAUSIBLE_FPS[0] <= fps <= PLAUSIBLE_FPS[1]:
        yield Finding(
            kind="implausible_fps",
            severity="problem",
            message=f"{fps} frames a second is not a rate at which robots are recorded.",
            remedy="correct fps in meta/info.json, or import the videos again at their own rate",
        )
    for key, feature in contents.info["features"].items():
        details = feature.get("info") or feature.get("video_info") or {}
        own = details.get("video.fps") if isinstance(details, dict) else None
        if isinstance(own, int | float) and abs(own - fps) > 0.5:
            yield Finding(
                kind="fps_disagree",
                severity="problem",
                message=f"The video of {key} has {own:g} frames a second, the dataset {fps}.",
                remedy="import the dataset again, so that frames and rows go together",
            )
    long = tuple(index for index, length in contents.lengths.items() if length / fps > LONG_S)
    if long:
        yield Finding(
            kind="long_episode",
            severity="note",
            message=f"{len(long)} episodes are longer than {LONG_S // 60} minutes.",
            remedy="cut them into one episode a task, so that each instruction fits all of its frames",
            episodes=long,
        )


def _sidecars(evidence: Evidence) -> Iterator[Finding]:
    root = evidence.contents.root
    for state in evidence.sidecars:
        if state.set_aside:
            yield Finding(
                kind="set_aside",
                severity="problem",
                message=f"{state.folder} could not be made: {next(iter(state.set_aside.values()))}",
                remedy="record these episodes again, or leave them out",
                episodes=tuple(sorted(state.set_aside)),
            )
        missing = tuple(index for index in state.missing if index not in evidence.broken)
        if missing and state.kind in ("tracks", "features"):
            yield Finding(
                kind="incomplete_sidecar",
                severity="problem",
                message=f"{state.folder} lacks {len(missing)} of {len(evidence.contents.lengths)} episodes.",
                remedy=remedy_for(root, state.folder),
                episodes=missing,
            )
    stale = {one.index: one.tracks_error for one in evidence.seen if one.tracks_error}
    stale = {index: reason for index, reason in stale.items() if not _known_missing(evidence, index)}
    for reason, episodes in _by_reason(evidence, stale).items():
        yield Finding(
            kind="unusable_tracks",
            severity="problem",
            message=reason,
            remedy=remedy_for(root, evidence.tracks),
            episodes=tuple(episodes),
        )


def _known_missing(evidence: Evidence, index: int) -> bool:
    state = next((state for state in evidence.sidecars if state.folder == evidence.tracks), None)
    return state is not None and (index in state.missing or index in state.set_aside)


def _instructions(evidence: Evidence) -> Iterator[Finding]:
    contents = evidence.contents
    empty = tuple(index for index, text in contents.instructions.items() if not text.strip())
    if empty:
        yield Finding(
            kind="empty_instruction",
            severity="problem",
            message=f"{len(empty)} episodes have no instruction: the model cannot know what they are about.",
            remedy="give every episode a sentence when importing it",
            episodes=empty,
        )
    for group in near_duplicates(contents.tasks):
        yield Finding(
            kind="near_duplicate_instruction",
            severity="note",
            message="One instruction in several spellings: " + ", ".join(f"“{text}”" for text in group),
            remedy="spell it one way, unless the difference is meant",
        )
    counts = contents.tasks
    median = float(np.median(list(counts.values()))) if counts else 0.0
    lean = [task for task, count in counts.items() if count < LEAN_SHARE * median]
    if lean:
        shown = ", ".join(f"“{task}” ({counts[task]})" for task in lean[:5]) + (" …" if len(lean) > 5 else "")
        yield Finding(
            kind="lean_task",
            severity="note",
            message=f"{len(lean)} tasks have far fewer episodes than the median of {median:g}: {shown}",
            remedy="record more of them, or raise their weight in a mixture",
        )


def _column(evidence: Evidence, column: str, sums: ColumnSums, steps: list[Steps]) -> Iterator[Finding]:
    spec = evidence.contents.spec
    names = (spec.proprio_names if column == "proprioception" else spec.action_names) or ()
    constant = [name for name, is_constant in zip(names, sums.constant) if is_constant]
    if constant:
        yield Finding(
            kind="constant_dimension",
            severity="note",
            message=f"{column}: {', '.join(constant)} never changes.",
            remedy="expected of unused axes; otherwise look for a sensor or a mapping that is broken",
        )
    saturated = {n: float(s) for n, s in zip(names, sums.saturated_share) if s > SATURATED_SHARE}
    if saturated:
        listed = ", ".join(f"{name} ({100 * share:.0f} %)" for name, share in saturated.items())
        yield Finding(
            kind="saturated_dimension",
            severity="note",
            message=f"{column}: rows at the least or largest value: {listed}.",
            remedy="expected where a controller limits its commands; otherwise widen the range when recording",
        )
    # Commands may change from one frame to the next; what a body senses may not.
    found = jumps(sums, steps) if column == "proprioception" else np.zeros((1, 0), bool)
    for d in np.flatnonzero(found.any(axis=0)):
        rows = np.flatnonzero(found[:, d])
        worst = int(max(rows, key=lambda row: steps[row].largest[d]))
        step, frame = float(steps[worst].largest[d]), int(steps[worst].frame[d])
        wraps = abs(step - 2 * pi) < 0.1
        yield Finding(
            kind="jump",
            severity="problem",
            message=f"{column}: {names[d]} jumps by {step:.3g} before frame {frame} of episode "
            f"{evidence.checks[worst].index}" + (": an angle that wraps around." if wraps else "."),
            remedy="unwrap the angle, or store its sine and cosine"
            if wraps
            else "look at these episodes: frames may be missing, or two recordings joined",
            episodes=tuple(evidence.checks[row].index for row in rows),
        )


def _copies(evidence: Evidence) -> Iterator[Finding]:
    if evidence.copies:
        shown = "; ".join(" = ".join(map(str, group)) for group in evidence.copies[:5])
        yield Finding(
            kind="duplicate_episode",
            severity="problem",
            message=f"Episodes that are copies of others: {shown}{' …' if len(evidence.copies) > 5 else ''}.",
            remedy="leave the copies out, so that none is both trained on and held out",
            episodes=tuple(index for group in evidence.copies for index in group[1:]),
        )


def _video(evidence: Evidence) -> Iterator[Finding]:
    faults = {
        "black": ("black_frames", "black frames"),
        "overexposed": ("overexposed_frames", "over-exposed frames"),
        "empty": ("empty_frames", "frames of one colour"),
    }
    for fault, (kind, words) in faults.items():
        found = _cameras_where(evidence, lambda one, name=fault: getattr(one, name) > FAULTY_SHARE * one.looked_at)
        for camera, episodes in found.items():
            yield Finding(
                kind=kind,
                severity="problem",
                message=f"Camera {camera} has {words} in {len(episodes)} of {len(evidence.seen)} episodes.",
                remedy="leave these episodes out, or cut them where the camera works",
                episodes=tuple(episodes),
            )
    repeated = _cameras_where(evidence, lambda one: one.repeated > REPEATED_SHARE * one.looked_at and not one.longest)
    for camera, episodes in repeated.items():
        shares = [one.frames[camera].repeated / one.frames[camera].looked_at for one in evidence.seen]
        rate = evidence.contents.spec.fps * (1 - float(np.median(shares)))
        yield Finding(
            kind="repeated_frames",
            severity="problem",
            message=f"Camera {camera} shows the same picture in several frames in a row: about {rate:.0f} pictures a "
            f"second at {evidence.contents.spec.fps} frames.",
            remedy="import the videos again at the camera's own rate",
            episodes=tuple(episodes),
        )
    yield from _still(evidence)


def _still(evidence: Evidence) -> Iterator[Finding]:
    still = [one for one in evidence.seen if any(sums.longest for sums in one.frames.values())]
    frozen = [one for one in still if (one.still_picture_moves or 0) > MOVES_SHARE]
    if frozen:
        longest = max(sums.longest for one in frozen for sums in one.frames.values())
        yield Finding(
            kind="frozen_video",
            severity="problem",
            message=f"The picture stands still for up to {longest} frames while proprioception goes on.",
            remedy="leave these episodes out: what is seen and what is done do not belong together there",
            episodes=tuple(one.index for one in frozen),
        )
    resting = [one for one in still if one not in frozen and _longest_share(one.frames) > 0.5]
    if resting:
        yield Finding(
            kind="resting_video",
            severity="note",
            message=f"In {len(resting)} of {len(evidence.seen)} episodes nothing happens for over half of the time.",
            remedy="cut the waiting, or leave these episodes out",
            episodes=tuple(one.index for one in resting),
        )


def _longest_share(frames: Mapping[str, FrameSums]) -> float:
    return max(sums.longest / max(1, sums.looked_at) for sums in frames.values())


def _cameras_where(evidence: Evidence, holds) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for one in evidence.seen:
        for camera, sums in one.frames.items():
            if holds(sums):
                found[camera].append(one.index)
    return found
