"""Inverse dynamics: image + proprioception + motion tokens → action chunk. Never sees the goal."""

from amplify.inverse.action_decoder import InverseConfig
from amplify.inverse.dynamics import InverseDynamics

__all__ = ["InverseConfig", "InverseDynamics"]
