"""Points followed through video: query grids, re-initialised windows, trackers."""

import importlib
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from amplify.errors import UsageError
from amplify.protocols import Tracker


@dataclass(frozen=True, slots=True)
class Recipe:
    """Makes a tracker of one kind; its module is imported only then.

    Args:
        module: Where the two lie.
        tracker: The class.
        config: Its settings, the options that the tracker has.
    """

    module: str
    tracker: str
    config: str

    @property
    def learned(self) -> bool:
        """Whether it is a network with weights of its own."""
        return self.module.startswith("amplify.tracks.learned.")

    def __call__(self, **options: Any) -> Tracker:
        """A tracker, with its default settings where no option replaces them.

        Raises:
            UsageError: The tracker has no such option, or the option's value is not allowed.
        """
        module = importlib.import_module(self.module)
        config, tracker = getattr(module, self.config), getattr(module, self.tracker)
        for option in options:
            if option not in config.model_fields:
                allowed = ", ".join(map(_flag, config.model_fields))
                raise UsageError(f"the tracker {tracker.name!r} has no {_flag(option)}", allowed=allowed)
        try:
            return tracker(config(**options))
        except ValidationError as error:
            first = error.errors()[0]
            where = _flag(str(first["loc"][0]))
            raise UsageError(f"{where} of the tracker {tracker.name!r}: {first['msg']}", got=first["input"]) from None


def _flag(option: str) -> str:
    return "--" + option.replace("_", "-")


TRACKERS: dict[str, Recipe] = {
    "flow": Recipe("amplify.tracks.flow", "FlowTracker", "FlowConfig"),
    "dis": Recipe("amplify.tracks.dis", "DisTracker", "DisConfig"),
    "lucas-kanade": Recipe("amplify.tracks.lucas_kanade", "LucasKanadeTracker", "LucasKanadeConfig"),
    "cotracker3": Recipe("amplify.tracks.learned.cotracker", "CoTracker3", "CoTrackerConfig"),
    "cotracker3-online": Recipe("amplify.tracks.learned.cotracker", "CoTracker3Online", "CoTrackerConfig"),
    "cotracker2": Recipe("amplify.tracks.learned.cotracker", "CoTracker2", "CoTrackerConfig"),
    "bootstapir": Recipe("amplify.tracks.learned.tapir", "BootsTapir", "TapirConfig"),
    "tapnext": Recipe("amplify.tracks.learned.tapnext", "TapNext", "TapNextConfig"),
}
"""Trackers that see nothing but the video, by name; each entry makes one from the options that it is given."""
