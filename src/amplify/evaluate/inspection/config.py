"""How much of a dataset an inspection looks at, and what it measures motion against."""

from pydantic import Field, field_validator, model_validator

from amplify.config import Config
from amplify.tokens.local_window import LocalWindow

WIDER = (LocalWindow(15), LocalWindow(21), LocalWindow(31), LocalWindow(15, 16.0), LocalWindow(15, 32.0))
"""Token windows that every inspection measures besides the one that was asked for."""


class InspectionConfig(Config):
    """How much of a dataset an inspection looks at, so that any dataset takes a bounded time.

    Args:
        tracks: Sidecar folder of the tracks whose motion is measured; the only one of the dataset by default.
        window: Side of the token window, cells.
        window_reach_px: Largest displacement of a window whose cells grow from the centre; None for cells of a pixel.
        checked: Episodes whose files, proprioception and actions are read; 0 for all.
        seen: Of those, episodes whose video and tracks are read; 0 for all.
        followed: Of those, episodes that are followed by optical flow where there are no tracks; 0 for none.
        seed: Of the episodes that are drawn where there are more.
    """

    tracks: str = ""
    window: int = Field(default=15, ge=3, le=255)
    window_reach_px: float | None = None
    checked: int = Field(default=2000, ge=0)
    seen: int = Field(default=100, ge=0)
    followed: int = Field(default=4, ge=0)
    seed: int = 0

    @field_validator("window")
    @classmethod
    def _has_a_middle(cls, window: int) -> int:
        if window % 2 == 0:
            raise ValueError("must be odd")
        return window

    @model_validator(mode="after")
    def _reaches_beyond(self) -> "InspectionConfig":
        if self.window_reach_px is not None and self.window_reach_px <= self.window // 2:
            raise ValueError(f"the window's reach must be beyond {self.window // 2} px, which it has without")
        return self

    @property
    def windows(self) -> tuple[LocalWindow, ...]:
        """The token windows that are measured, the one that was asked for first."""
        asked = LocalWindow(self.window, self.window_reach_px)
        return (asked, *(window for window in WIDER if window != asked))


def named(window: LocalWindow) -> str:
    """A token window in words."""
    if window.reach_px is None:
        return f"{window.side}×{window.side}, ±{window.side // 2} px"
    return f"{window.side}×{window.side} log, ±{window.reach_px:g} px"
