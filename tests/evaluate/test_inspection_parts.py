from collections import Counter
from functools import reduce
from operator import add

import numpy as np
import pytest

from amplify.evaluate.inspection.columns import MOST_DISTINCT, column_sums, jumps, steps
from amplify.evaluate.inspection.finding import SHOWN, Finding, counted, worst_first
from amplify.evaluate.inspection.frames import LOOKED_AT, STILL_FRAMES, STRETCH, FrameWatch, stretches
from amplify.evaluate.inspection.wording import near_duplicates


def test_sums_of_parts_are_those_of_the_whole():
    rng = np.random.default_rng(0)
    values = np.stack([rng.normal(3, 2, 400), rng.integers(0, 2, 400), np.full(400, 5.0)], axis=1).astype(np.float32)
    parts = reduce(add, [column_sums(part) for part in np.split(values, [7, 150, 151])])
    whole = column_sums(values)
    assert parts.count == whole.count == 400
    for name in ("mean", "std", "low", "high", "at_low", "at_high", "saturated_share"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-9)
    np.testing.assert_allclose(whole.std, values.astype(float).std(axis=0))
    assert parts.constant.tolist() == [False, False, True]
    assert parts.discrete.tolist() == [False, True, False]


def test_limits_that_differ_between_parts_count_once():
    low, high = (column_sums(np.array([[value], [value], [0.5]], np.float32)) for value in (0.0, 1.0))
    both = low + high
    assert (both.at_low.tolist(), both.at_high.tolist()) == ([2], [2])
    assert both.saturated_share.tolist() == pytest.approx([4 / 6])


def test_more_values_than_a_few_are_not_discrete():
    values = np.tile(np.arange(MOST_DISTINCT + 1, dtype=np.float32), 10)[:, None]
    assert not column_sums(values).discrete[0]
    assert column_sums(values[values[:, 0] < 3]).distinct[0] is not None


def test_jumps_are_far_beyond_typical_steps():
    smooth = np.sin(np.arange(60) / 10)[:, None].repeat(2, axis=1).astype(np.float32)
    torn = smooth.copy()
    torn[30:, 0] += 2
    sums = column_sums(smooth) + column_sums(torn)
    assert jumps(sums, [steps(smooth), steps(torn)]).tolist() == [[False, False], [True, False]]
    assert steps(torn).frame[0] == 30
    assert steps(torn[:1]).largest.tolist() == [0, 0]


def scene(count, seed=0):
    pattern = np.random.default_rng(seed).integers(30, 220, (8, 12, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    return np.stack([np.roll(pattern, 3 * i, axis=1) for i in range(count)])


def watched(*parts):
    watch = FrameWatch()
    for frames, start in parts:
        watch.look(frames, start)
    return watch.sums()


def test_frames_that_show_nothing_are_counted_apart():
    frames = scene(20)
    frames[2:4], frames[6:9], frames[12] = 0, 255, 128
    sums = watched((frames, 0))
    assert (sums.looked_at, sums.black, sums.overexposed, sums.empty, sums.repeated) == (20, 2, 3, 1, 0)
    assert sums.longest == 0


def test_a_still_picture_is_found_across_parts():
    frames = scene(40)
    frames[10:30] = frames[10]
    sums = watched((frames[:16], 0), (frames[16:], 16))
    assert (sums.repeated, sums.longest, sums.longest_from) == (19, 20, 10)
    apart = watched((frames[:16], 0), (frames[16:], 116))
    assert (apart.repeated, apart.longest, apart.longest_from) == (18, 14, 116)
    short = scene(20)
    short[4 : 3 + STILL_FRAMES] = short[4]
    assert watched((short, 0)).longest == 0


def test_compression_does_not_hide_a_repeated_frame():
    frames = scene(6)
    frames[3] = (frames[2].astype(int) + np.random.default_rng(1).integers(-2, 3, frames[2].shape)).clip(0, 255)
    assert watched((frames, 0)).repeated == 1


def test_long_episodes_are_looked_at_in_parts():
    assert stretches(100) == [(0, 64), (64, 36)]
    parts = stretches(100_000)
    assert sum(count for _, count in parts) == LOOKED_AT
    assert parts[0] == (0, STRETCH)
    assert parts[-1] == (100_000 - STRETCH, STRETCH)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("open the door", "Open the door.", True),
        ("open the door", "open  the door", True),
        ("press the button", "press the buton", True),
        ("open the drawer", "close the drawer", False),
        ("push it left", "push it right", False),
        ("put block1 away", "put block2 away", False),
        ("put the red cup away", "put the red mug away", False),
        ("go", "go there", False),
    ],
)
def test_spellings_of_one_instruction(one, other, same):
    assert bool(near_duplicates(Counter({one: 5, other: 1}))) == same


def test_empty_instructions_are_no_spelling():
    assert near_duplicates(Counter({"": 3, " ": 2, "a": 1})) == []


def test_findings_come_worst_first_and_list_some_episodes():
    note, problem = (
        Finding(kind=kind, severity=kind, message="m", episodes=tuple(range(30))) for kind in ("note", "problem")
    )
    assert worst_first([note, problem]) == [problem, note]
    assert len(note.summary()["episodes"]) == SHOWN
    assert note.summary()["count"] == 30
    assert note.where.endswith("and 10 more")
    assert Finding(kind="k", severity="note", message="m").where == ""
    assert (counted(1, "task"), counted(2000, "task")) == ("1 task", "2,000 tasks")
