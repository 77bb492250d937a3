"""Bundles, datasets and sidecars on a model hub: pushed with cards of their own figures, pulled without trust."""
