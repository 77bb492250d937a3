"""Points followed through video: query grids, re-initialised windows, trackers."""
