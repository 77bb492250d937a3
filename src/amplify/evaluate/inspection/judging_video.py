"""From black, repeated and still frames to what is wrong with the video."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from amplify.evaluate.inspection.evidence import Evidence
from amplify.evaluate.inspection.finding import Finding
from amplify.evaluate.inspection.frames import FrameSums

REPEATED_SHARE = 0.3
"""More frames equal to the one before mean that the video has fewer pictures than frames."""
FAULTY_SHARE = 0.02
"""A few black frames at a cut are no fault."""
MOVES_SHARE = 0.1
"""Proprioception that goes through this share of its range while the picture stands still belongs to other frames."""


def judge_video(evidence: Evidence) -> Iterator[Finding]:
    """What is wrong with the frames.

    Args:
        evidence: What was read.
    """
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
        affected = [one.frames[camera] for one in evidence.seen if one.index in episodes]
        shares = [sums.repeated / sums.looked_at for sums in affected]
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


def _cameras_where(evidence: Evidence, holds: Callable[[FrameSums], bool]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for one in evidence.seen:
        for camera, sums in one.frames.items():
            if holds(sums):
                found[camera].append(one.index)
    return found
