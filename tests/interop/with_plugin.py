"""Runs inside the environment of the real lerobot: a saved policy acts, and what does not fit is refused.

``with_plugin.py CHECKPOINT BUNDLE SEED`` prints one line of JSON.
"""

import json
import sys

import prepared  # noqa: F401  (first: what follows cannot be imported without it)
import torch
from given import CAMERA, SENTENCES, SIDE, observation
from lerobot.configs.policies import PreTrainedConfig
from lerobot.configs.types import FeatureType, NormalizationMode, PolicyFeature
from lerobot.envs.factory import make_env, make_env_pre_post_processors
from lerobot.policies.factory import make_policy, make_pre_post_processors
from lerobot.scripts.lerobot_eval import rollout
from lerobot.utils.import_utils import register_third_party_plugins

from amplify.errors import AmplifyError

register_third_party_plugins()
IMAGE = PolicyFeature(type=FeatureType.VISUAL, shape=(3, SIDE, SIDE))
DECISIONS = 6


def saved(checkpoint: str, **changes: object) -> PreTrainedConfig:
    """The configuration of a saved policy."""
    config = PreTrainedConfig.from_pretrained(checkpoint)
    config.pretrained_path, config.device = checkpoint, "cpu"
    for name, value in changes.items():
        setattr(config, name, value)
    return config


def environment(length: int = DECISIONS):
    """Our benchmark in lerobot's terms."""
    from lerobot_policy_amplify import AmplifyEnvConfig

    return AmplifyEnvConfig(task="drawer-open", episode_length=length)


def acted(checkpoint: str) -> dict:
    """Actions of a few decisions for two robots, and the chunk of the first."""
    config = saved(checkpoint, n_action_steps=2)
    policy = make_policy(config, env_cfg=environment())
    found: dict[str, list] = {"actions": []}
    for number in range(DECISIONS):
        pictures, proprio = observation(number)
        batch = {
            f"observation.images.{CAMERA}": torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255,
            "observation.state": torch.from_numpy(proprio),
            "task": list(SENTENCES),
        }
        if number == 0:
            found["chunk"] = policy.predict_action_chunk(batch).tolist()
            first = policy.select_action(batch).tolist()
            policy.reset()
        found["actions"].append(policy.select_action(batch).tolist())
    found["again"] = first == found["actions"][0]
    # Of another size and under another name, as other environments have it.
    large = torch.nn.functional.interpolate(batch[f"observation.images.{CAMERA}"], size=(96, 144))
    policy.reset()
    found["other_size"] = list(policy.select_action({**batch, f"observation.images.{CAMERA}": large}).shape)
    return found


def rolled_out(checkpoint: str, seed: int) -> list:
    """The actions of a rollout of lerobot in our benchmark."""
    config, env = saved(checkpoint), environment()
    policy = make_policy(config, env_cfg=env)
    before, after = make_pre_post_processors(config, pretrained_path=checkpoint)
    sight, command = make_env_pre_post_processors(env_cfg=env, policy_cfg=config)
    envs = make_env(env, n_envs=1)["amplify"][0]
    return rollout(envs, policy, sight, command, before, after, seeds=[seed])["action"][0].tolist()


def refused(checkpoint: str, bundle: str) -> dict:
    """What is said to those who err."""
    from lerobot_policy_amplify import AmplifyConfig, AmplifyEnvConfig

    wide = PolicyFeature(type=FeatureType.ACTION, shape=(7,))
    other = {"observation.images.top": IMAGE}
    identity = dict.fromkeys(("VISUAL", "STATE", "ACTION"), NormalizationMode.MEAN_STD)
    env, wider = environment(), environment()
    wider.features["action"] = wide
    tries = {
        "no bundle": lambda: make_policy(AmplifyConfig(device="cpu"), env_cfg=env),
        "missing": lambda: make_policy(AmplifyConfig(device="cpu", motion_bundle="/nowhere"), env_cfg=env),
        "no inverse": lambda: AmplifyConfig(device="cpu", bundle=bundle),
        "untrained": lambda: make_policy(AmplifyConfig(device="cpu", motion_bundle=bundle), env_cfg=env),
        "two": lambda: AmplifyConfig(device="cpu", bundle=bundle, motion_bundle=bundle),
        "cameras": lambda: make_policy(saved(checkpoint, input_features=other), env_cfg=env),
        "view": lambda: make_policy(saved(checkpoint, views={"corner": "observation.image"}), env_cfg=env),
        "actions": lambda: make_policy(saved(checkpoint), env_cfg=wider),
        "size": lambda: AmplifyConfig(device="cpu", size="smal"),
        "settings": lambda: AmplifyConfig(device="cpu", inverse={"widht": 8}),
        "horizon": lambda: AmplifyConfig(device="cpu", chunk_size=4, n_action_steps=5),
        "normalised": lambda: AmplifyConfig(device="cpu", normalization_mapping=identity),
        "task": lambda: AmplifyEnvConfig(task="drawer-oben"),
    }
    said = {}
    for name, attempt in tries.items():
        try:
            attempt()
        except AmplifyError as error:
            said[name] = str(error)
    return said


if __name__ == "__main__":
    checkpoint, bundle, seed = sys.argv[1:]
    answers = {
        "acted": acted(checkpoint),
        "rolled_out": rolled_out(checkpoint, int(seed)),
        "refused": refused(checkpoint, bundle),
    }
    print(json.dumps(answers))
