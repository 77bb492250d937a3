"""``amplify-lerobot``: between bundles and LeRobot's own format.

``amplify-lerobot to-bundle CHECKPOINT --out BUNDLE`` and ``amplify-lerobot from-bundle BUNDLE --out FOLDER``.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from lerobot.configs.policies import PreTrainedConfig
from lerobot.configs.types import FeatureType, PolicyFeature
from lerobot.utils.constants import ACTION, OBS_IMAGES, OBS_STATE

from amplify.errors import AmplifyError, BundleError
from lerobot_policy_amplify.architecture import bundle_folder, of_bundle
from lerobot_policy_amplify.configuration_amplify import AmplifyConfig
from lerobot_policy_amplify.modeling_amplify import AmplifyPolicy
from lerobot_policy_amplify.processor_amplify import make_amplify_pre_post_processors

_LAST = ("", "pretrained_model", "checkpoints/last/pretrained_model", "last/pretrained_model")


def to_bundle(checkpoint: Annotated[Path, tyro.conf.Positional], /, *, out: Path) -> None:
    """Writes a policy that LeRobot trained as a bundle, for 'amplify evaluate', 'amplify serve' and the others.

    Args:
        checkpoint: What lerobot-train wrote: its --output_dir, a checkpoint, or the folder 'pretrained_model' in one.
        out: The bundle's folder.
    """
    folder = next((checkpoint / name for name in _LAST if (checkpoint / name / "model.safetensors").is_file()), None)
    if folder is None:
        raise BundleError(
            f"no saved policy in {checkpoint}", remedy="name the --output_dir of lerobot-train, or a pretrained_model"
        )
    config = PreTrainedConfig.from_pretrained(folder)
    if not isinstance(config, AmplifyConfig):
        raise BundleError(f"{folder} holds another policy", got=config.type, allowed="amplify")
    config.device = "cpu"
    AmplifyPolicy.from_pretrained(folder, config=config).save_bundle(out)
    print(f"bundle: {out}")


def from_bundle(bundle: Annotated[str, tyro.conf.Positional], /, *, out: Path) -> None:
    """Writes a bundle with inverse dynamics as a policy in LeRobot's format, for --policy.path=OUT.

    Args:
        bundle: A bundle, or the run that wrote it, or hub:owner/name.
        out: The folder to write.
    """
    parts = of_bundle(bundle, acts=True)
    side = parts.info.frame_size_px or 128
    sizes = parts.inverse.dimensions
    image = PolicyFeature(type=FeatureType.VISUAL, shape=(3, side, side))
    inputs = {f"{OBS_IMAGES}.{view}": image for view in parts.info.cameras}
    inputs[OBS_STATE] = PolicyFeature(type=FeatureType.STATE, shape=(sizes["proprio_width"],))
    actions = PolicyFeature(type=FeatureType.ACTION, shape=(sizes["action_width"],))
    config = AmplifyConfig(
        bundle=str(bundle_folder(bundle)), input_features=inputs, output_features={ACTION: actions}, device="cpu"
    )
    policy = AmplifyPolicy(config)
    policy.save_pretrained(out)
    for pipeline in make_amplify_pre_post_processors(config):
        pipeline.save_pretrained(out)
    print(f"policy: {out}")


def run(arguments: Sequence[str]) -> int:
    """Runs a command; the exit code."""
    commands = {"to-bundle": to_bundle, "from-bundle": from_bundle}
    try:
        tyro.extras.subcommand_cli_from_dict(commands, args=list(arguments), prog="amplify-lerobot")
    except AmplifyError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 2
    return 0


def main() -> None:
    """Runs a command and exits with its code."""
    sys.exit(run(sys.argv[1:]))
