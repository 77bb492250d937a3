"""How sure a figure is, and how much of a codebook is used."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

Z95 = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its 95 % confidence interval."""

    mean: float
    low: float
    high: float


def wilson(successes: int, trials: int) -> Interval:
    """The success rate of one policy on one task, with Wilson's score interval.

    Args:
        successes: Between 0 and ``trials``.
        trials: Independent rollouts; with none the interval is [0, 1] and the mean NaN.

    Raises:
        ValueError: The counts are impossible.

    Source: Wilson, Probable inference, the law of succession, and statistical inference, 1927.
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes of {trials} trials")
    if trials == 0:
        return Interval(math.nan, 0.0, 1.0)
    rate = successes / trials
    centre = (rate + Z95**2 / (2 * trials)) / (1 + Z95**2 / trials)
    half = Z95 / (1 + Z95**2 / trials) * math.sqrt(rate * (1 - rate) / trials + Z95**2 / (4 * trials**2))
    return Interval(rate, max(0.0, centre - half), min(1.0, centre + half))


def bootstrap(
    values: Float[np.ndarray, " n"],
    *,
    generator: np.random.Generator,
    statistic: Callable[[np.ndarray], np.ndarray] = lambda samples: samples.mean(axis=-1),
    resamples: int = 2000,
) -> Interval:
    """A statistic of independent values with its percentile bootstrap interval.

    Args:
        values: One a unit of sampling (an episode, a rollout), never one a frame.
        generator: Draws the resamples.
        statistic: Reduces the last axis.
        resamples: Bootstrap samples.

    Raises:
        ValueError: There are no values.
    """
    if len(values) == 0:
        raise ValueError("bootstrap of no values")
    drawn = statistic(values[generator.integers(len(values), size=(resamples, len(values)))])
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Interval(float(statistic(values)), float(low), float(high))


def hierarchical_bootstrap(
    tasks: Mapping[str, Float[np.ndarray, " _"]] | Sequence[Float[np.ndarray, " _"]],
    *,
    generator: np.random.Generator,
    resamples: int = 2000,
) -> Interval:
    """The mean over tasks of the mean over units, with an interval that resamples tasks and, within each, units.

    For a comparison give the paired differences: `paired_comparison`.

    Args:
        tasks: For each task one value a unit (an initial state). Every task counts the same.
        generator: Draws the resamples.
        resamples: Bootstrap samples.

    Raises:
        ValueError: There are no tasks, or a task has no values.
    """
    groups = list(tasks.values()) if isinstance(tasks, Mapping) else list(tasks)
    if not groups or any(len(group) == 0 for group in groups):
        raise ValueError("hierarchical bootstrap of no tasks, or of a task without values")
    # Each draw of a task is resampled anew, so that a task drawn twice does not count its luck twice.
    chosen = generator.integers(len(groups), size=(resamples, len(groups)))
    means = np.empty(chosen.shape)
    for index, group in enumerate(groups):
        drawn = chosen == index
        units = generator.integers(len(group), size=(int(drawn.sum()), len(group)))
        means[drawn] = np.asarray(group, dtype=float)[units].mean(axis=-1)
    low, high = np.percentile(means.mean(axis=-1), [2.5, 97.5])
    return Interval(float(np.mean([np.mean(group) for group in groups])), float(low), float(high))


def paired_comparison(
    ours: Mapping[str, Sequence[float]],
    theirs: Mapping[str, Sequence[float]],
    *,
    generator: np.random.Generator,
    resamples: int = 2000,
) -> Interval:
    """How much better ours is: the mean difference on the same initial states, hierarchical bootstrap over tasks.

    Args:
        ours: For each task the outcome from each initial state (1 for success).
        theirs: The same tasks and states in the same order.
        generator: Draws the resamples.
        resamples: Bootstrap samples.

    Raises:
        ValueError: Tasks or numbers of states differ, so that outcomes cannot be paired.
    """
    if ours.keys() != theirs.keys() or any(len(ours[task]) != len(theirs[task]) for task in ours):
        raise ValueError("a paired comparison needs the same tasks and the same number of states in each")
    differences = {t: np.asarray(ours[t], dtype=float) - np.asarray(theirs[t], dtype=float) for t in ours}
    return hierarchical_bootstrap(differences, generator=generator, resamples=resamples)


def paired_ratio(
    ours: Mapping[str, Sequence[float]],
    theirs: Mapping[str, Sequence[float]],
    *,
    generator: np.random.Generator,
    resamples: int = 2000,
) -> Interval:
    """How many times theirs ours is: the ratio of the means on the same initial states; infinite where theirs is zero.

    Tasks are resampled, and within each its states, the same for both.

    Args:
        ours: For each task the outcome from each initial state (1 for success).
        theirs: The same tasks and states in the same order.
        generator: Draws the resamples.
        resamples: Bootstrap samples.

    Raises:
        ValueError: Tasks or numbers of states differ, so that outcomes cannot be paired.
    """
    if ours.keys() != theirs.keys() or any(len(ours[task]) != len(theirs[task]) for task in ours):
        raise ValueError("a paired ratio needs the same tasks and the same number of states in each")
    pairs = [np.stack((np.asarray(ours[t], dtype=float), np.asarray(theirs[t], dtype=float))) for t in ours]
    drawn = np.zeros((resamples, 2))
    for row in drawn:
        for index in generator.integers(len(pairs), size=len(pairs)):
            states = generator.integers(pairs[index].shape[1], size=pairs[index].shape[1])
            row += pairs[index][:, states].mean(axis=1)
    mean = np.mean([pair.mean(axis=1) for pair in pairs], axis=0)
    low, high = np.percentile([_ratio(*row) for row in drawn], [2.5, 97.5], method="nearest")
    return Interval(_ratio(*mean), float(low), float(high))


def _ratio(numerator: float, denominator: float) -> float:
    if denominator == 0:
        return math.nan if numerator == 0 else math.inf
    return float(numerator / denominator)


@dataclass(frozen=True, slots=True)
class CodebookUsage:
    """How much of a codebook is in use.

    Args:
        size: Codes there are.
        used: Codes that occur.
        perplexity: 2^H of their frequencies: the number of codes, were they used evenly.
    """

    size: int
    used: int
    perplexity: float

    @property
    def share(self) -> float:
        """Share of the codes that occur."""
        return self.used / self.size


def codebook_usage(indices: Int[Tensor, "*b"], size: int) -> CodebookUsage:
    """Usage and perplexity of the codes seen.

    Args:
        indices: Codes, all below ``size``.
        size: Codes in the book.
    """
    counts = torch.bincount(indices.flatten(), minlength=size).double()
    shares = counts[counts > 0] / counts.sum()
    return CodebookUsage(size, len(shares), float(torch.exp2(-(shares * shares.log2()).sum())) if len(shares) else 0.0)
