"""AMPLIFY as a policy of LeRobot, and our benchmarks as an environment of LeRobot: importing registers both."""

from lerobot_policy_amplify.configuration_amplify import AmplifyConfig
from lerobot_policy_amplify.environment import AmplifyEnvConfig

__all__ = ["AmplifyConfig", "AmplifyEnvConfig"]
