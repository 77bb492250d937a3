import math

import numpy as np

from amplify.evaluate.rollout import RolloutResult
from amplify.evaluate.success import paired_difference, success_ratio, success_table


def outcomes(label, table):
    """One rollout for each (variant, task, state) of a nested mapping."""
    return [
        RolloutResult(label, variant, task, index, index, bool(success), 1)
        for variant, tasks in enumerate(table)
        for task, states in tasks.items()
        for index, success in enumerate(states)
    ]


def test_table():
    results = [
        RolloutResult("ours", variant, task, i, i, success=i < 2 + variant, decisions=10)
        for variant in (0, 1)
        for task in ("a", "b")
        for i in range(4)
    ]
    table = success_table(results)["ours"]
    assert (table["mean"], table["rollouts"], table["by_seed"]) == (10 / 16, 16, [0.5, 0.75])
    assert table["tasks"]["a"]["mean"] == 5 / 8
    low, high = table["ci95"]
    assert 0.3 < low < 10 / 16 < high < 0.9


def test_difference_is_paired_by_state_and_averaged_over_training_seeds():
    ours = outcomes("ours", [{"a": [1, 1, 0, 0]}, {"a": [1, 1, 0, 0]}])
    theirs = outcomes("theirs", [{"a": [1, 0, 0, 0]}, {"a": [0, 0, 0, 0]}])
    gap = paired_difference(ours + theirs, "ours", "theirs", seed=0)
    assert gap.mean == (0.5 + 1.0) / 4
    assert gap.low < gap.mean < gap.high
    swapped = paired_difference(ours + theirs, "theirs", "ours", seed=0)
    assert (swapped.mean, swapped.low, swapped.high) == (-gap.mean, -gap.high, -gap.low)


def test_a_constant_lead_has_no_interval():
    ours = outcomes("ours", [{"a": [1, 1], "b": [1, 1]}])
    theirs = outcomes("theirs", [{"a": [0, 1], "b": [1, 0]}])
    ratio = success_ratio(ours + theirs, "ours", "theirs", seed=0)
    assert ratio.mean == 2
    assert 1 <= ratio.low < 2 < ratio.high
    same = success_ratio(ours + outcomes("again", [{"a": [1, 1], "b": [1, 1]}]), "ours", "again", seed=0)
    assert (same.mean, same.low, same.high) == (1, 1, 1)


def test_a_ratio_to_nothing_is_infinite():
    ours = outcomes("ours", [{"a": [1] * 8}])
    theirs = outcomes("theirs", [{"a": [0] * 8}])
    ratio = success_ratio(ours + theirs, "ours", "theirs", seed=0)
    assert math.isinf(ratio.mean)
    assert math.isinf(ratio.low)
    assert np.isnan(success_ratio(theirs + outcomes("other", [{"a": [0] * 8}]), "theirs", "other", seed=0).mean)
