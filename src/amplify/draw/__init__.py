"""Pictures: tracks and text on images, panels, sheets, plots. Takes and gives uint8 RGB; decides and stores nothing."""

from amplify.draw.layout import enlarged, label, panels, png, sheet, title
from amplify.draw.plots import plot_bars, plot_curves, plot_rows
from amplify.draw.tracks import draw_track_video, draw_tracks

__all__ = [
    "draw_track_video",
    "draw_tracks",
    "enlarged",
    "label",
    "panels",
    "plot_bars",
    "plot_curves",
    "plot_rows",
    "png",
    "sheet",
    "title",
]
