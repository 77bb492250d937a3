"""Forward dynamics: image + instruction → motion tokens. Learned from video alone."""

from amplify.forward.config import ForwardConfig
from amplify.forward.dynamics import ForwardDynamics

__all__ = ["ForwardConfig", "ForwardDynamics"]
