"""What AMPLIFY is compared with."""

from amplify.baselines.behaviour_cloning import BehaviourCloning

__all__ = ["BehaviourCloning"]
