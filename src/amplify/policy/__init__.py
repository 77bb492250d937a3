"""Policies: observation → plan, the memory around them, and the folder that they are stored in."""

from amplify.policy.amplify import AmplifyPolicy, BehaviourCloningPolicy
from amplify.policy.bundle import Bundle, load_bundle, save_bundle
from amplify.policy.controller import Controller, ControllerConfig

__all__ = [
    "AmplifyPolicy",
    "BehaviourCloningPolicy",
    "Bundle",
    "Controller",
    "ControllerConfig",
    "load_bundle",
    "save_bundle",
]
