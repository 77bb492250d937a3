"""What tokens keep of motion, and what their likelihood says of it, as cells."""

from collections.abc import Mapping
from typing import Any, Literal

from amplify.data.sidecar import features_folder, text_folder
from amplify.evaluate.tokens import round_trip, told_apart
from amplify.experiments.cells.data import Data, Part, Recording, Tracking
from amplify.experiments.cells.models import Forward, Tokenizer
from amplify.experiments.defaults import TEXT, VISION
from amplify.experiments.engine.cell import Cell
from amplify.experiments.engine.store import Store
from amplify.policy.bundle import load_bundle
from amplify.policy.motion import MotionModel
from amplify.tokens.tokenizer import MotionTokenizer


class RoundTrip(Cell):
    """Tracks of held-out episodes encoded and decoded.

    Args:
        recording: The episodes, recorded with their scenes.
        tokenizer: What encodes and decodes them.
        tracking: Grid and horizon of the true tracks.
    """

    kind: Literal["round-trip"] = "round-trip"
    recording: Recording
    tokenizer: Tokenizer
    tracking: Tracking = Tracking(tracker="ground-truth")

    @property
    def also_needs(self) -> tuple[Cell, ...]:
        """The true tracks of the episodes."""
        return Data(parts=(Part(recording=self.recording),), tracking=self.tracking, features=False).also_needs

    def run(self, store: Store) -> Mapping[str, Any]:
        """Scores the round trip, and counts what the window clips and which codes are used."""
        tokenizer = load_bundle(self.tokenizer.bundle(store)).module("tokenizer", MotionTokenizer)
        return round_trip(tokenizer, self.recording.dataset(store), tracks=self.tracking.sidecar)


class ToldApart(Cell):
    """Whether the likelihood of a given motion tells what was asked for.

    Args:
        recording: Episodes of opposite tasks in the same scenes.
        forward: Scores their motion.
        rivals: Pairs of a sentence and the one that it is compared with.
        tracking: Of the motions that are scored.
    """

    kind: Literal["told-apart"] = "told-apart"
    recording: Recording
    forward: Forward
    rivals: tuple[tuple[str, str], ...]
    tracking: Tracking = Tracking(tracker="ground-truth")

    @property
    def also_needs(self) -> tuple[Cell, ...]:
        """The tracks and features of the episodes."""
        return Data(parts=(Part(recording=self.recording),), tracking=self.tracking).also_needs

    def run(self, store: Store) -> Mapping[str, Any]:
        """Scores every window under both sentences."""
        predictor = self.forward.predictor(store)
        assert isinstance(predictor, MotionModel)
        return told_apart(
            predictor,
            self.recording.dataset(store),
            tracks=self.tracking.sidecar,
            features=features_folder(VISION),
            text=text_folder(TEXT),
            rivals=dict(self.rivals),
        )
