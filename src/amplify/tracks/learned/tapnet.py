"""What the trackers of google-deepmind/tapnet have in common: code from a clone or a package, weights from a file."""

from pathlib import Path

from amplify.errors import UsageError
from amplify.tracks.learned.code import fingerprint, installed_version
from amplify.tracks.learned.config import LearnedConfig
from amplify.tracks.learned.tracker import LearnedTracker
from amplify.tracks.learned.weights import file_hash

REPOSITORY = "google-deepmind/tapnet"
WEIGHTS = "https://storage.googleapis.com/dm-tapnet"


class TapnetTracker(LearnedTracker):
    """A tracker of the package ``tapnet``."""

    notice = "tapnet's code and weights are licensed Apache-2.0"
    url: str

    def __init__(self, config: LearnedConfig):
        if config.allow_code:
            remedy = f"clone github.com/{REPOSITORY} and name it with --code, or install its package"
            raise UsageError(f"the code of {self.name!r} is not downloaded", got="--allow-code", remedy=remedy)
        if config.weights is None:
            raise UsageError(
                f"the tracker {self.name!r} needs weights that do not come with this software",
                got="no --weights",
                remedy=f"download {self.url} and name the file with --weights",
            )
        super().__init__(config)

    @property
    def settings(self) -> dict[str, str | int | float | bool]:
        """What changes the result."""
        code = self.config.code
        return {
            "code": f"tapnet {installed_version('tapnet')}" if code is None else fingerprint(code),
            "weights_sha256": file_hash(self.weights),
            "precision": self.config.precision,
        }

    @property
    def weights(self) -> Path:
        """The checkpoint's file."""
        assert self.config.weights is not None
        return self.config.weights
