"""Points followed through video: query grids, re-initialised windows, trackers."""

from collections.abc import Callable

from amplify.protocols import Tracker


def _flow() -> Tracker:
    from amplify.tracks.flow import FlowTracker

    return FlowTracker()


TRACKERS: dict[str, Callable[[], Tracker]] = {"flow": _flow}
"""Trackers that see nothing but the video, by name; each entry makes one with its default settings."""
