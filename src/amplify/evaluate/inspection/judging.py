"""From what an inspection read to what is wrong with files, instructions, columns and video."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping

import numpy as np

from amplify.data.sidecar import remedy_for
from amplify.evaluate.inspection.evidence import Evidence
from amplify.evaluate.inspection.finding import LISTED, Finding, counted, more
from amplify.evaluate.inspection.judging_columns import judge_column
from amplify.evaluate.inspection.judging_video import judge_video
from amplify.evaluate.inspection.wording import near_duplicates

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
            yield from judge_column(evidence, name, *column)
    yield from _copies(evidence)
    yield from judge_video(evidence)


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
            message=f"None of {counted(len(lost), 'checked episode')} can be used.",
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
            message=f"{counted(len(long), 'episode')} longer than {LONG_S // 60} minutes.",
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
            message=f"{counted(len(empty), 'episode')} without an instruction: the model cannot know what is asked.",
            remedy="give every episode a sentence when importing it",
            episodes=empty,
        )
    groups = near_duplicates(contents.tasks)
    if groups:
        shown = "; ".join(" = ".join(f"“{text}”" for text in group) for group in groups[:LISTED])
        yield Finding(
            kind="near_duplicate_instruction",
            severity="note",
            message=f"{counted(len(groups), 'instruction')} in several spellings: {shown}{more(groups)}",
            remedy="spell it one way, unless the difference is meant",
        )
    counts = contents.tasks
    median = float(np.median(list(counts.values()))) if counts else 0.0
    lean = [task for task, count in counts.items() if count < LEAN_SHARE * median]
    if lean:
        shown = ", ".join(f"“{task}” ({counts[task]})" for task in lean[:LISTED]) + more(lean)
        yield Finding(
            kind="lean_task",
            severity="note",
            message=f"{counted(len(lean), 'task')} with far fewer episodes than the median of {median:g}: {shown}",
            remedy="record more of them, or raise their weight in a mixture",
        )


def _copies(evidence: Evidence) -> Iterator[Finding]:
    if evidence.copies:
        shown = "; ".join(" = ".join(map(str, group)) for group in evidence.copies[:LISTED])
        yield Finding(
            kind="duplicate_episode",
            severity="problem",
            message=f"Episodes that are copies of others: {shown}{more(evidence.copies)}",
            remedy="leave the copies out, so that none is both trained on and held out",
            episodes=tuple(index for group in evidence.copies for index in group[1:]),
        )
