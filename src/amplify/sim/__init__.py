"""Where to act: simulated benchmarks, offscreen rendering, recording, exact tracks from geometry."""
