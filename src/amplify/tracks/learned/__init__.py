"""Point trackers that were learned: CoTracker, BootsTAPIR, TAPNext; their code and weights are their authors'."""
