"""Foreseen tracks against the simulator's truth, as a cell."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from pydantic import SerializeAsAny

from amplify.config import Config
from amplify.data.sidecar import features_folder, text_folder
from amplify.evaluate.tracks import EPISODE_FIGURES, KINDS, score_predictors
from amplify.experiments.cells.data import Data, Part, Recording, Tracking
from amplify.experiments.cells.models import Forward, TrackModel
from amplify.experiments.defaults import TEXT, VISION
from amplify.experiments.engine.cell import Cell
from amplify.experiments.engine.store import Store
from amplify.policy.bundle import load_bundle
from amplify.protocols import TrackPredictor
from amplify.tokens.tokenizer import MotionTokenizer


class Foreseen(Config):
    """A model whose tracks are scored.

    Args:
        name: Of its row.
        model: It.
    """

    name: str
    model: SerializeAsAny[TrackModel]

    def predictor(self, store: Store) -> TrackPredictor:
        """The trained model, ready to predict."""
        return self.model.predictor(store)


class Decoded(Foreseen):
    """Forward dynamics, read in a way of its own; see `MotionModel`.

    Args:
        futures: Random futures whose mean is taken; 1 is the motion to expect.
        temperature: Of the random futures.
        decoding: Of tokens; by default the motion model's choice.
    """

    model: Forward
    futures: int = 1
    temperature: float = 1.0
    decoding: str | None = None

    def predictor(self, store: Store) -> TrackPredictor:
        """The trained model, ready to predict."""
        return self.model.predictor(store, futures=self.futures, temperature=self.temperature, decoding=self.decoding)


class TrackScores(Cell):
    """Track figures of several models on the same held-out episodes.

    Args:
        recording: The episodes, recorded with their scenes.
        predictors: What is scored.
        tracking: Grid and horizon of the true tracks.
        ceiling: The forward dynamics whose tokenizer's own round trip is a row; none by default.
    """

    kind: Literal["track-scores"] = "track-scores"
    recording: Recording
    predictors: tuple[SerializeAsAny[Foreseen], ...]
    tracking: Tracking = Tracking(tracker="ground-truth")
    ceiling: Forward | None = None

    @property
    def also_needs(self) -> tuple[Cell, ...]:
        """The true tracks and the features of the episodes."""
        return Data(parts=(Part(recording=self.recording),), tracking=self.tracking).also_needs

    def run(self, store: Store) -> Mapping[str, Any]:
        """Scores them all in one pass."""
        tokenizer = None
        if self.ceiling is not None:
            tokenizer = load_bundle(self.ceiling.bundle(store)).module("tokenizer", MotionTokenizer)
        return score_predictors(
            {foreseen.name: foreseen.predictor(store) for foreseen in self.predictors},
            self.recording.dataset(store),
            truth=self.tracking.sidecar,
            features=features_folder(VISION),
            text=text_folder(TEXT),
            horizon=self.tracking.horizon,
            tokenizer=tokenizer,
        )


def mean_over_seeds(scores: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Scores of the same episodes under several training seeds as one: every figure is the mean over seeds.

    Args:
        scores: Results of `score_predictors` on one dataset, with the same rows.
    """
    first = scores[0]

    def mean(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return {figure: float(np.mean([row[figure] for row in rows])) for figure in EPISODE_FIGURES}

    names = tuple(first[KINDS[0]])
    merged: dict[str, Any] = {kind: {n: mean([s[kind][n] for s in scores]) for n in names} for kind in KINDS}
    merged["episodes"] = [
        {
            "episode": episode["episode"],
            "instruction": episode["instruction"],
            **{kind: {n: mean([s["episodes"][i][kind][n] for s in scores]) for n in names} for kind in KINDS},
        }
        for i, episode in enumerate(first["episodes"])
    ]
    return merged | {"windows": first["windows"]}
