"""Figures of merit: pure functions on tensors."""
