"""``--policy.type=amplify`` and its options."""

from dataclasses import dataclass, field
from typing import Any

from lerobot.configs.policies import PreTrainedConfig
from lerobot.configs.types import NormalizationMode
from lerobot.optim.optimizers import AdamWConfig
from lerobot.optim.schedulers import CosineDecayWithWarmupSchedulerConfig
from lerobot.utils.constants import ACTION

from amplify.errors import UsageError, pick
from amplify.inverse import InverseConfig
from amplify.policy import ControllerConfig
from lerobot_policy_amplify.architecture import MOTION, bundle_folder, described_in

SIZES = {name: getattr(InverseConfig, name) for name in ("quickstart", "tiny", "small", "paper")}
"""Presets of inverse dynamics by name."""


def _as_it_is() -> dict[str, NormalizationMode]:
    return dict.fromkeys(("VISUAL", "STATE", "ACTION"), NormalizationMode.IDENTITY)


@PreTrainedConfig.register_subclass("amplify")
@dataclass
class AmplifyConfig(PreTrainedConfig):
    """What to learn, from which motion, and how to act.

    Args:
        motion_bundle: A bundle with tokenizer and forward dynamics, or the run that wrote it, or ``hub:owner/name``:
            its models are frozen, and new inverse dynamics is learned on the motion that they foresee.
        bundle: A bundle with inverse dynamics as well, which acts as it is, or is trained further.
        views: Where each view of the bundle is found, as view → key of the observation; by default
            ``observation.images.VIEW``, and for a single view ``observation.image`` as well.
        fit: Images of another size than the bundle's become square with black edges ("pad"), or are stretched
            ("stretch").
        size: Preset of new inverse dynamics: "quickstart", "tiny", "small" or "paper".
        inverse: Other settings of new inverse dynamics, see `amplify.inverse.InverseConfig`.
        chunk_size: Actions of a chunk; those of ``bundle`` are its own.
        n_action_steps: Decisions between plans.
        temporal_ensemble_coeff: Weight of the i-th plan, from the oldest, is exp(−coefficient·i), where several say
            something about the present; None lets the newest act.
        optimizer_lr: Peak of the learning rate.
        optimizer_weight_decay: AdamW's.
        optimizer_grad_clip_norm: Largest gradient norm.
        scheduler_warmup_steps: Steps to reach the peak.
        scheduler_decay_steps: Step at which the cosine ends; LeRobot shortens both for shorter runs.
        scheduler_decay_lr: Learning rate after that.
        architecture: What the policy is made of. It is filled in when the policy is made, so that a saved one needs no
            bundle any more.
    """

    motion_bundle: str | None = None
    bundle: str | None = None
    views: dict[str, str] = field(default_factory=dict)
    fit: str = "pad"
    size: str = "quickstart"
    inverse: dict[str, Any] = field(default_factory=dict)
    chunk_size: int = 16
    n_action_steps: int = 1
    temporal_ensemble_coeff: float | None = 0.01
    normalization_mapping: dict[str, NormalizationMode] = field(default_factory=_as_it_is)
    optimizer_lr: float = 1e-3
    optimizer_weight_decay: float = 0.01
    optimizer_grad_clip_norm: float = 1.0
    scheduler_warmup_steps: int = 500
    scheduler_decay_steps: int = 30_000
    scheduler_decay_lr: float = 2e-5
    architecture: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuses what does not fit together.

        Raises:
            AmplifyError: Settings or the bundle cannot be used.
        """
        super().__post_init__()
        if self.bundle and self.motion_bundle:
            raise UsageError(
                "a policy begins with one bundle",
                got=f"--policy.bundle={self.bundle} and --policy.motion_bundle={self.motion_bundle}",
                remedy="--policy.bundle goes on with its inverse dynamics, --policy.motion_bundle learns new ones",
            )
        if self.architecture and (self.bundle or self.motion_bundle):
            raise UsageError(
                "a saved policy holds its models already",
                got=self.bundle or self.motion_bundle,
                remedy="leave out --policy.path, or --policy.bundle and --policy.motion_bundle",
            )
        if self.n_obs_steps != 1:
            raise UsageError("the policy sees the present only", got=f"n_obs_steps {self.n_obs_steps}", allowed="1")
        if any(mode is not NormalizationMode.IDENTITY for mode in self.normalization_mapping.values()):
            raise UsageError(
                "the models scale images, proprioception and actions themselves",
                got=f"normalization_mapping {self.normalization_mapping}",
                allowed="IDENTITY for all",
            )
        pick(self.fit, dict.fromkeys(("pad", "stretch")), kind="way to make images square (fit)")
        if self.bundle:
            models = described_in(bundle_folder(self.bundle), needed=(*MOTION, "inverse"))
            self.chunk_size = int(models["inverse"]["config"]["action_horizon"])
        if self.motion_bundle:
            described_in(bundle_folder(self.motion_bundle), needed=MOTION)
        if not self.architecture and not self.bundle:
            self.inverse_config()
        if not 1 <= self.n_action_steps <= self.chunk_size:
            raise UsageError(
                "the policy replans more rarely than a chunk lasts",
                got=f"n_action_steps {self.n_action_steps}",
                allowed=f"1 to {self.chunk_size}, the chunk_size",
            )

    def inverse_config(self) -> InverseConfig:
        """Settings of new inverse dynamics.

        Raises:
            UnknownNameError: There is no such size.
            UsageError: Settings do not fit together.
        """
        make = pick(self.size, SIZES, kind="size of inverse dynamics")
        if "action_horizon" in self.inverse:
            raise UsageError("inverse names action_horizon", remedy="use --policy.chunk_size")
        try:
            return make(**{**self.inverse, "action_horizon": self.chunk_size})
        except ValueError as error:
            raise UsageError("--policy.inverse is no configuration of inverse dynamics", got=str(error)) from None

    def controller_config(self) -> ControllerConfig:
        """How plans become actions."""
        merged = self.temporal_ensemble_coeff is not None
        return ControllerConfig(
            replan_every=self.n_action_steps, ensemble=merged, decay=self.temporal_ensemble_coeff or 0.0
        )

    @property
    def observation_delta_indices(self) -> None:
        """The present alone."""
        return None

    @property
    def action_delta_indices(self) -> list[int]:
        """From now on."""
        return list(range(self.chunk_size))

    @property
    def reward_delta_indices(self) -> None:
        """No rewards."""
        return None

    def get_optimizer_preset(self) -> AdamWConfig:
        """AdamW as our own training has it."""
        return AdamWConfig(
            lr=self.optimizer_lr,
            betas=(0.9, 0.95),
            weight_decay=self.optimizer_weight_decay,
            grad_clip_norm=self.optimizer_grad_clip_norm,
        )

    def get_scheduler_preset(self) -> CosineDecayWithWarmupSchedulerConfig:
        """Linear warm-up, then cosine."""
        return CosineDecayWithWarmupSchedulerConfig(
            num_warmup_steps=self.scheduler_warmup_steps,
            num_decay_steps=self.scheduler_decay_steps,
            peak_lr=self.optimizer_lr,
            decay_lr=self.scheduler_decay_lr,
        )

    def validate_features(self) -> None:
        """Checks that there are images and actions; whether they fit the models is checked with the models.

        Raises:
            UsageError: There are none.
        """
        if not self.image_features:
            raise UsageError("the policy needs images", got=", ".join(self.input_features or ()) or "nothing")
        if self.action_feature is None:
            raise UsageError(f"the policy needs {ACTION!r}", got=", ".join(self.output_features or ()) or "nothing")
