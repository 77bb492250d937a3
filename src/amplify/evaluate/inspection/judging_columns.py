"""From ranges and steps of proprioception and actions to what is wrong with them."""

from collections.abc import Iterator, Sequence
from math import pi

import numpy as np

from amplify.evaluate.inspection.columns import ColumnSums, Steps, jumps
from amplify.evaluate.inspection.evidence import Evidence
from amplify.evaluate.inspection.finding import LISTED, Finding, more

SATURATED_SHARE = 0.05
"""A dimension with more of its rows at its limits is cut off there."""
TURN_SLACK = 0.1
"""A jump that is a full turn but for this, in radians, is an angle that wraps around."""


def judge_column(evidence: Evidence, column: str, sums: ColumnSums, steps: list[Steps]) -> Iterator[Finding]:
    """What is wrong with proprioception or actions.

    Args:
        evidence: What was read.
        column: "proprioception" or "actions".
        sums: Of all checked episodes.
        steps: Of each checked episode.
    """
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
    if column == "proprioception":
        yield from _jumps(evidence, names, jumps(sums, steps), steps)


def _jumps(evidence: Evidence, names: Sequence[str], found: np.ndarray, steps: list[Steps]) -> Iterator[Finding]:
    largest = np.stack([one.largest for one in steps])
    turn = np.less(np.abs(largest - 2 * pi), TURN_SLACK)
    remedies = {
        "jump": "look at these episodes: frames may be missing, or two recordings joined",
        "wrapping_angle": "unwrap the angle, or store its sine and cosine",
    }
    groups = {"jump": found & ~turn, "wrapping_angle": found & turn}
    for kind, these in groups.items():
        if not these.any():
            continue
        row, d = divmod(int(np.where(these, largest, -1).argmax()), these.shape[1])
        jumping = [names[int(column)] for column in np.unique(np.nonzero(these)[1])]
        yield Finding(
            kind=kind,
            severity="problem",
            message=f"Proprioception jumps ({', '.join(jumping[:LISTED])}{more(jumping)}): {names[d]} by "
            f"{largest[row, d]:.3g} at frame {steps[row].frame[d]} of episode {evidence.checks[row].index}.",
            remedy=remedies[kind],
            episodes=tuple(evidence.checks[row].index for row in np.unique(np.nonzero(these)[0])),
        )
