"""Inverse dynamics: image + proprioception + motion tokens → action chunk. Never sees the goal."""

from amplify.inverse.config import InverseConfig
from amplify.inverse.dynamics import InverseDynamics

__all__ = ["InverseConfig", "InverseDynamics"]
