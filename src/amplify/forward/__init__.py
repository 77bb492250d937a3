"""Forward dynamics: image + instruction → motion tokens. Learned from video alone."""

from amplify.forward.dynamics import ForwardConfig, ForwardDynamics

__all__ = ["ForwardConfig", "ForwardDynamics"]
