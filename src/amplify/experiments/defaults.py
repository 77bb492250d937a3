"""What all studies share: frozen encoders, trackers by name, versions that a report names."""

import platform
from collections.abc import Callable
from importlib.metadata import version

from amplify.protocols import Tracker
from amplify.sim.ground_truth import GroundTruthTracker
from amplify.tracks import TRACKERS

VISION, TEXT = "efficientnet-lite0-128px", "minilm"
"""Frozen encoders, by the names of their sidecars."""

ALL_TRACKERS: dict[str, Callable[[], Tracker]] = {**TRACKERS, "ground-truth": GroundTruthTracker}
"""Trackers of pixels, and the simulator's."""

PACKAGES = ("amplify-robot", "torch", "numpy", "mujoco", "metaworld", "opencv-python-headless", "transformers", "av")


def versions() -> dict[str, str]:
    """Versions of everything that a result depends on."""
    return {name: version(name) for name in PACKAGES} | {"python": platform.python_version()}
