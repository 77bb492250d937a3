"""Ranges, means and oddities of proprioception and actions, dimension by dimension, added up over episodes."""

from dataclasses import dataclass
from functools import reduce
from operator import or_

import numpy as np
from jaxtyping import Float, Int

MOST_DISTINCT = 8
"""A dimension with no more values than this is discrete, as a gripper's command is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnSums:
    """What is known of a column after some of its rows; sums of parts add up exactly.

    Args:
        count: Rows.
        mean: Of each dimension.
        squares: Sum of the squared distances from the mean.
        low: Least value.
        high: Largest value.
        at_low: Rows that have the least value.
        at_high: Rows that have the largest value.
        distinct: The values that occur; None where they are more than `MOST_DISTINCT`.
    """

    count: int
    mean: Float[np.ndarray, " d"]
    squares: Float[np.ndarray, " d"]
    low: Float[np.ndarray, " d"]
    high: Float[np.ndarray, " d"]
    at_low: Int[np.ndarray, " d"]
    at_high: Int[np.ndarray, " d"]
    distinct: tuple[frozenset[float] | None, ...]

    def __add__(self, other: "ColumnSums") -> "ColumnSums":
        # Chan, Golub and LeVeque, Updating formulae and a pairwise algorithm for computing sample variances, 1979.
        count = self.count + other.count
        apart = other.mean - self.mean
        low, high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)
        return ColumnSums(
            count=count,
            mean=self.mean + apart * (other.count / count),
            squares=self.squares + other.squares + apart**2 * (self.count * other.count / count),
            low=low,
            high=high,
            at_low=self.at_low * (self.low == low) + other.at_low * (other.low == low),
            at_high=self.at_high * (self.high == high) + other.at_high * (other.high == high),
            distinct=tuple(_union(*pair) for pair in zip(self.distinct, other.distinct)),
        )

    @property
    def std(self) -> Float[np.ndarray, " d"]:
        """Standard deviation of each dimension."""
        return np.sqrt(self.squares / self.count)

    @property
    def constant(self) -> np.ndarray:
        """Which dimensions never change."""
        return self.low == self.high

    @property
    def discrete(self) -> np.ndarray:
        """Which dimensions have two or a few values."""
        return np.array([values is not None for values in self.distinct]) & ~self.constant & (self.count > 50)

    @property
    def saturated_share(self) -> Float[np.ndarray, " d"]:
        """Share of the rows at the least or largest value, of dimensions that are neither constant nor discrete."""
        share = (self.at_low + self.at_high) / self.count
        return np.where(self.constant | self.discrete, 0.0, share)


def column_sums(values: Float[np.ndarray, "t d"]) -> ColumnSums:
    """The sums of an episode's rows.

    Args:
        values: One row a frame, at least one.
    """
    values = values.astype(np.float64)
    low, high, mean = values.min(axis=0), values.max(axis=0), values.mean(axis=0)
    found = [frozenset(np.unique(column).tolist()) for column in values.T]
    return ColumnSums(
        count=len(values),
        mean=mean,
        squares=((values - mean) ** 2).sum(axis=0),
        low=low,
        high=high,
        at_low=(values == low).sum(axis=0),
        at_high=(values == high).sum(axis=0),
        distinct=tuple(one if len(one) <= MOST_DISTINCT else None for one in found),
    )


def _union(one: frozenset[float] | None, other: frozenset[float] | None) -> frozenset[float] | None:
    if one is None or other is None:
        return None
    both = reduce(or_, (one, other))
    return both if len(both) <= MOST_DISTINCT else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """How far a column goes from one frame of an episode to the next.

    Args:
        typical: Median step of each dimension.
        largest: Largest step.
        frame: The frame that the largest step leads to.
    """

    typical: Float[np.ndarray, " d"]
    largest: Float[np.ndarray, " d"]
    frame: Int[np.ndarray, " d"]


def steps(values: Float[np.ndarray, "t d"]) -> Steps:
    """The steps of an episode; zero where it has one frame.

    Args:
        values: One row a frame.
    """
    if len(values) < 2:
        values = np.repeat(values, 2, axis=0)
    apart = np.abs(np.diff(values.astype(np.float64), axis=0))
    return Steps(typical=np.median(apart, axis=0), largest=apart.max(axis=0), frame=apart.argmax(axis=0) + 1)


JUMP_STEPS = 25.0
"""A step so many times the typical one is a jump, …"""
JUMP_SHARE = 0.25
"""… if it also crosses this share of the dimension's range."""


def jumps(sums: ColumnSums, of_episodes: list[Steps]) -> np.ndarray:
    """Which dimensions jump in which episodes, (episodes, d).

    Args:
        sums: Of all episodes.
        of_episodes: Steps of each.
    """
    typical = np.median(np.stack([one.typical for one in of_episodes]), axis=0)
    largest = np.stack([one.largest for one in of_episodes])
    far = np.maximum(JUMP_STEPS * typical, JUMP_SHARE * (sums.high - sums.low))
    # Where the typical step is nothing, the dimension switches: that is its way, not a fault.
    return (largest > far) & (typical > 0) & ~sums.constant & ~sums.discrete
