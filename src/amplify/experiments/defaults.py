"""What all studies share: frozen encoders, trackers by name."""

from collections.abc import Callable

from amplify.protocols import Tracker
from amplify.sim.ground_truth import GroundTruthTracker
from amplify.tracks import TRACKERS

VISION, TEXT = "efficientnet-lite0-128px", "minilm"
"""Frozen encoders, by the names of their sidecars."""

ALL_TRACKERS: dict[str, Callable[[], Tracker]] = {**TRACKERS, "ground-truth": GroundTruthTracker}
"""Trackers of pixels, and the simulator's."""
