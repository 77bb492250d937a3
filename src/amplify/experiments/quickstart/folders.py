"""Where things lie in a quick-start's folder."""

from pathlib import Path

from amplify.data.sidecar import features_folder, text_folder, tracks_folder
from amplify.experiments.defaults import TEXT, VISION
from amplify.experiments.quickstart.config import QuickstartConfig, baseline_name, inverse_name


class Folders:
    """The folders and sidecar names of one run.

    Args:
        out: The run's folder.
        config: Its settings.
    """

    def __init__(self, out: Path, config: QuickstartConfig):
        self.out = out
        self.videos, self.held_out, self.demos = (out / "data" / name for name in ("videos", "held-out", "demos"))
        self.datasets = (self.demos, self.videos, self.held_out)
        self.tokenizer, self.forward = out / "training" / "tokenizer", out / "training" / "forward"
        self.films, self.bundle = out / "films", out / "bundle"
        self.tracks = tracks_folder(config.tracker, config.grid, config.horizon)
        self.truth = tracks_folder("ground-truth", config.grid, config.horizon)
        self.features, self.text = features_folder(VISION), text_folder(TEXT)

    def inverse(self, seed: int) -> Path:
        """The run of one inverse model."""
        return self.out / "training" / inverse_name(seed)

    def baseline(self, seed: int, budget: str) -> Path:
        """The run of one behaviour-cloning model."""
        return self.out / "training" / baseline_name(seed, budget)
