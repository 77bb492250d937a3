"""Checkpoints of the reference implementation (github.com/pairlab/AMPLIFY): imported as bundles, checked by arrays."""
