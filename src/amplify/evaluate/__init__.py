"""Judging: rollouts in a simulator, predicted tracks against the simulator's truth, the report."""
