"""Whether the files of episodes are whole, and what their proprioception and actions are: many episodes at once."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float

from amplify.data.dataset import Dataset
from amplify.evaluate.inspection.columns import ColumnSums, Steps, column_sums, steps

COLUMNS = ("proprioception", "actions")
ROWS_KEPT = 24
"""Rows of an episode that are kept for histograms, evenly spread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeCheck:
    """What was read of an episode's files, video aside.

    Args:
        index: Its number.
        identity: Two episodes that differ in it are no copies.
        sums: Of each column that the dataset has.
        steps: Of each column.
        rows: Some rows of each column.
    """

    index: int
    identity: str
    sums: dict[str, ColumnSums] = field(default_factory=dict)
    steps: dict[str, Steps] = field(default_factory=dict)
    rows: dict[str, Float[np.ndarray, "r d"]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """Outcome of a few episodes.

    Args:
        episodes: Those that can be used.
        reasons: Why the others cannot, by episode.
    """

    episodes: tuple[EpisodeCheck, ...]
    reasons: dict[int, str]


def check(root: Path, indices: tuple[int, ...]) -> Checked:
    """Opens some episodes of a dataset and reads their columns.

    Args:
        root: The dataset's folder.
        indices: Of the episodes.

    Raises:
        DataError: The dataset as a whole is damaged.
    """
    dataset = Dataset.open(root, only=frozenset(indices), allow_empty=True)
    reasons = {problem.episode_index: problem.reason for problem in dataset.problems}
    found = [_check(dataset, index, dict(zip(COLUMNS, columns))) for index, *columns in dataset.columns()]
    return Checked(episodes=tuple(found), reasons=reasons)


def _check(dataset: Dataset, index: int, columns: Mapping[str, np.ndarray | None]) -> EpisodeCheck:
    present = {name: values for name, values in columns.items() if values is not None}
    digest = hashlib.sha256(str(dataset.length(index)).encode())
    for values in present.values():
        digest.update(np.ascontiguousarray(values).tobytes())
    return EpisodeCheck(
        index=index,
        identity=digest.hexdigest() if present else dataset.fingerprint(index),
        sums={name: column_sums(values) for name, values in present.items()},
        steps={name: steps(values) for name, values in present.items()},
        rows={name: values[_spread(len(values))] for name, values in present.items()},
    )


def _spread(length: int) -> np.ndarray:
    return np.linspace(0, length - 1, min(length, ROWS_KEPT)).round().astype(int)
