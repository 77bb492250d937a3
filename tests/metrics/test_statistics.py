import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from amplify.metrics.statistics import (
    bootstrap,
    codebook_usage,
    hierarchical_bootstrap,
    paired_comparison,
    paired_ratio,
    wilson,
)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (5, 10, 0.2366, 0.7634), (81, 263, 0.2553, 0.3662)],
)  # the last one is Newcombe (1998), table I, method 3
def test_wilson_known_values(successes, trials, low, high):
    interval = wilson(successes, trials)
    assert interval.mean == successes / trials
    assert interval.low == pytest.approx(low, abs=5e-5)
    assert interval.high == pytest.approx(high, abs=5e-5)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_symmetric_and_holds_its_mean(case):
    successes, trials = case
    ours, mirrored = wilson(successes, trials), wilson(trials - successes, trials)
    assert 0 <= ours.low <= ours.mean + 1e-12
    assert ours.mean - 1e-12 <= ours.high <= 1
    assert ours.low == pytest.approx(1 - mirrored.high, abs=1e-12)


def test_wilson_of_nothing_knows_nothing():
    interval = wilson(0, 0)
    assert math.isnan(interval.mean)
    assert (interval.low, interval.high) == (0, 1)


def test_wilson_refuses_impossible_counts():
    with pytest.raises(ValueError, match="3 successes of 2"):
        wilson(3, 2)


def test_bootstrap_covers_the_true_mean_about_as_often_as_it_says():
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        interval = bootstrap(generator.normal(1.0, 2.0, size=40), generator=generator, resamples=400)
        covered += interval.low <= 1.0 <= interval.high
    assert 0.88 <= covered / 200 <= 0.99


def test_bootstrap_of_another_statistic():
    interval = bootstrap(
        np.arange(101.0), generator=np.random.default_rng(0), statistic=lambda x: np.median(x, axis=-1)
    )
    assert interval.mean == 50
    assert interval.low < 50 < interval.high


def test_bootstrap_depends_on_the_generator_alone():
    values = np.arange(20.0)
    assert bootstrap(values, generator=np.random.default_rng(1)) == bootstrap(
        values, generator=np.random.default_rng(1)
    )


def test_bootstrap_of_nothing_is_refused():
    with pytest.raises(ValueError, match="no values"):
        bootstrap(np.array([]), generator=np.random.default_rng(0))


def test_hierarchical_bootstrap_is_wider_when_tasks_differ():
    def width(spread):
        tasks = {str(k): np.full(50, k * spread) + np.tile([-1.0, 1.0], 25) for k in range(6)}
        interval = hierarchical_bootstrap(tasks, generator=np.random.default_rng(0))
        return interval.high - interval.low

    assert width(1.0) > 3 * width(0.0)


def test_hierarchical_bootstrap_counts_every_task_the_same():
    interval = hierarchical_bootstrap([np.ones(1), np.zeros(99)], generator=np.random.default_rng(0))
    assert interval.mean == 0.5
    assert (interval.low, interval.high) == (0, 1)


def test_pairing_removes_what_the_states_have_in_common():
    generator = np.random.default_rng(0)
    luck = {task: generator.normal(0, 10, size=30) for task in "abcd"}
    ours = {task: list(values + 1) for task, values in luck.items()}
    theirs = {task: list(values) for task, values in luck.items()}
    interval = paired_comparison(ours, theirs, generator=generator)
    assert interval.low == pytest.approx(1)
    assert interval.high == pytest.approx(1)


def test_pairs_must_match():
    with pytest.raises(ValueError, match="same tasks"):
        paired_comparison({"a": [1.0]}, {"a": [1.0, 0.0]}, generator=np.random.default_rng(0))
    with pytest.raises(ValueError, match="same tasks"):
        paired_ratio({"a": [1.0]}, {"b": [1.0]}, generator=np.random.default_rng(0))


def test_a_ratio_holds_for_every_resample_where_states_are_proportional():
    values = np.random.default_rng(0).uniform(0.2, 0.4, size=(4, 20))
    theirs = {task: list(row) for task, row in zip("abcd", values)}
    ours = {task: list(2 * row) for task, row in zip("abcd", values)}
    interval = paired_ratio(ours, theirs, generator=np.random.default_rng(1))
    assert (interval.low, interval.mean, interval.high) == pytest.approx((2, 2, 2))


def test_codebook_usage():
    even = codebook_usage(torch.tensor([[0, 3], [5, 7]]), 8)
    assert (even.size, even.used, even.share) == (8, 4, 0.5)
    assert even.perplexity == pytest.approx(4)
    assert codebook_usage(torch.zeros(9, dtype=torch.long), 8).perplexity == pytest.approx(1)
    uneven = codebook_usage(torch.tensor([0, 0, 0, 1]), 8)
    assert uneven.perplexity == pytest.approx(2 ** (0.75 * math.log2(4 / 3) + 0.25 * 2))
    assert codebook_usage(torch.zeros(0, dtype=torch.long), 8).used == 0
