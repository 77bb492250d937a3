"""Forward dynamics: image + instruction → motion tokens. Learned from video alone."""

from amplify.forward.config import ForwardConfig
from amplify.forward.dynamics import ForwardDynamics
from amplify.forward.generation import Generation
from amplify.forward.prefix import Prefix

__all__ = ["ForwardConfig", "ForwardDynamics", "Generation", "Prefix"]
