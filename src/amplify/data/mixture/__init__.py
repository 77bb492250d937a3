"""Mixtures: several sources of training data, which part of each counts, and how they are brought to one form."""
