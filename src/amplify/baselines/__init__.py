"""What AMPLIFY is compared with."""

from amplify.baselines.behaviour_cloning import BehaviourCloning
from amplify.baselines.track_diffusion import TrackDiffusion, TrackDiffusionConfig
from amplify.baselines.track_policy import TrackGuidedPolicy
from amplify.baselines.track_transformer import TrackTransformer, TrackTransformerConfig

__all__ = [
    "BehaviourCloning",
    "TrackDiffusion",
    "TrackDiffusionConfig",
    "TrackGuidedPolicy",
    "TrackTransformer",
    "TrackTransformerConfig",
]
