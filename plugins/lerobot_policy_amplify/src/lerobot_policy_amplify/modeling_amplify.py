"""The policy: frozen tokenizer and forward dynamics foresee the motion, inverse dynamics learns to make it happen."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from lerobot.policies.pretrained import PreTrainedPolicy
from lerobot.utils.constants import ACTION, OBS_STATE
from torch import Tensor, nn

from amplify.errors import BundleError, DataError, UsageError
from amplify.inverse import InverseDynamics
from amplify.policy import AmplifyPolicy as ActingPolicy
from amplify.policy import Controller
from amplify.types import ActionChunk, MotionTokens
from lerobot_policy_amplify.architecture import Parts, of_bundle, of_description, to_bundle
from lerobot_policy_amplify.beginning import learned_from, new_inverse
from lerobot_policy_amplify.configuration_amplify import AmplifyConfig
from lerobot_policy_amplify.observing import BatchReader


class AmplifyPolicy(PreTrainedPolicy):
    """AMPLIFY in LeRobot's terms.

    The encoders with published weights are not among its weights: whoever loads it makes them again, as for a bundle.

    Args:
        config: With ``motion_bundle``, ``bundle`` or, of a saved policy, ``architecture``.
        dataset_stats: Statistics of the dataset, which new inverse dynamics is scaled by.
        dataset_meta: What the dataset says of itself.
        _: What LeRobot gives to other policies.

    Raises:
        AmplifyError: No bundle is named or it cannot be used, or it is of other cameras, proprioception or actions.
    """

    config: AmplifyConfig
    config_class = AmplifyConfig  # type: ignore[assignment]
    name = "amplify"  # type: ignore[assignment]

    def __init__(self, config: AmplifyConfig, dataset_stats: Any = None, dataset_meta: Any = None, **_: Any):
        super().__init__(config)
        config.validate_features()
        self.parts = parts = _begun(config, dataset_stats, dataset_meta)
        widths = {ACTION: self.inverse.dimensions["action_width"], OBS_STATE: self.inverse.dimensions["proprio_width"]}
        self.reader = BatchReader(parts.info, config.views, fit=config.fit, proprio_width=widths[OBS_STATE])
        _fits(config, self.reader, widths)
        if dataset_meta is not None and not config.architecture:
            self.parts = parts = learned_from(parts, dataset_meta, widths)
        # "forward" is taken among the attributes of a module.
        self.models = nn.ModuleDict({f"{name}_model": model for name, model in parts.models.items()})
        for name, model in parts.models.items():
            model.requires_grad_(name == "inverse")
        config.architecture, config.bundle, config.motion_bundle = parts.described(), None, None
        self._actor: tuple[str, ActingPolicy] | None = None
        self.reset()

    def get_optim_params(self) -> list[nn.Parameter]:
        """Inverse dynamics alone learns."""
        return list(self.inverse.parameters())

    def reset(self) -> None:
        """Forgets all plans."""
        self._controller: Controller | None = None

    def train(self, mode: bool = True) -> "AmplifyPolicy":
        """Training or evaluation of inverse dynamics; what is frozen stays in evaluation."""
        super().train(mode)
        for name, model in self.parts.models.items():
            model.train(mode and name == "inverse")
        return self

    def forward(self, batch: dict[str, Any]) -> tuple[Tensor, dict[str, float]]:
        """The action head's loss on a batch of LeRobot, on the motion that is foreseen for each image and sentence.

        Raises:
            DataError: The batch is of other cameras or shapes.
        """
        acting, observation = self._acting(), self.reader.read(batch)
        actions = batch[ACTION]
        padded = batch.get("action_is_pad")
        valid = torch.ones(actions.shape[:2], dtype=torch.bool, device=actions.device) if padded is None else ~padded
        with torch.no_grad():
            # Features of frozen encoders cannot be part of a graph before they are copied.
            features = acting.features(observation).to(actions.device).map(torch.clone)
            tokens: MotionTokens = acting.forward.plan(features)
            motion = acting.tokenizer.embed(tokens, self.inverse.config.motion)
        if features.inverse_vision is not None:
            features = replace(features, vision=features.inverse_vision)
        assert observation.proprio is not None
        proprio = observation.proprio.to(actions.device)
        loss, logs = self.inverse.loss(features, proprio, motion, ActionChunk(actions=actions, valid=valid))
        return loss, {name: float(value) for name, value in logs.items()}

    @torch.inference_mode()
    def predict_action_chunk(self, batch: dict[str, Any], **unused: Any) -> Tensor:
        """The likeliest chunk of actions, (B, T, A), in environment units.

        Raises:
            UsageError: Noise or another option that the policy has no use for is given.
        """
        self.eval()
        _refuse(unused)
        return self._acting().plan(self.reader.read(batch)).actions.actions

    @torch.inference_mode()
    def select_action(self, batch: dict[str, Any], **unused: Any) -> Tensor:
        """The action of this decision, (B, A), merged from all plans that reach the present.

        Raises:
            UsageError: Noise or another option that the policy has no use for is given.
        """
        self.eval()
        _refuse(unused)
        observation = self.reader.read(batch)
        if self._controller is None:
            self._controller = Controller(self._acting(), self.config.controller_config())
            self._controller.reset(len(observation.instruction))
        return self._controller.act(observation).to(self._device)

    def save_bundle(self, out: Path) -> None:
        """Writes the policy as a bundle, for the commands of amplify.

        Raises:
            BundleError: The path is taken by something that is not a bundle.
        """
        to_bundle(self.parts, out, {"lerobot": {"policy": self.name, "chunk_size": self.config.chunk_size}})

    @property
    def inverse(self) -> InverseDynamics:
        """What learns."""
        return self.parts.inverse

    @property
    def _device(self) -> torch.device:
        return self.inverse.decoder.no_image.device

    def _acting(self) -> ActingPolicy:
        device = str(self._device)
        if self._actor is None or self._actor[0] != device:
            training = self.training
            self._actor = (device, self.parts.acting(device))
            self.train(training)
        return self._actor[1]

    @classmethod
    def _load_as_safetensor(cls, model: Any, model_file: str, map_location: str, strict: bool) -> Any:
        try:
            return super()._load_as_safetensor(model, model_file, map_location, strict=True)
        except RuntimeError as error:
            raise BundleError(f"the weights in {model_file} do not fit its config.json", got=str(error)[:500]) from None


def _begun(config: AmplifyConfig, stats: Any, meta: Any) -> Parts:
    if config.architecture:
        return of_description(config.architecture)
    if config.bundle:
        return of_bundle(config.bundle, acts=True)
    if config.motion_bundle:
        parts = of_bundle(config.motion_bundle, acts=False)
        inverse = new_inverse(parts, config.inverse_config(), stats, meta)
        return replace(parts, models={**parts.models, "inverse": inverse})
    raise UsageError(
        "the policy has no motion to learn from",
        remedy="--policy.motion_bundle=BUNDLE learns new inverse dynamics, --policy.bundle=BUNDLE goes on with its "
        "own, --policy.path=FOLDER takes a saved policy",
    )


def _fits(config: AmplifyConfig, reader: BatchReader, widths: Mapping[str, int]) -> None:
    """Refuses features of other cameras or sizes, and keeps those that are used."""
    inputs, outputs = dict(config.input_features or {}), dict(config.output_features or {})
    used = set(reader.keys(inputs).values())
    for key, expected in widths.items():
        feature = (inputs | outputs).get(key)
        if feature is not None and tuple(feature.shape) != (expected,):
            raise DataError(
                f"the policy was made for another {key!r} than there is",
                got=f"{' × '.join(map(str, feature.shape))} dimensions",
                allowed=f"{expected} dimensions",
                remedy="--policy.motion_bundle learns new inverse dynamics for another robot",
            )
    images = config.image_features
    config.input_features = {key: feature for key, feature in inputs.items() if key not in images or key in used}


def _refuse(unused: dict[str, Any]) -> None:
    given = [name for name, value in unused.items() if value is not None]
    if given:
        raise UsageError("the policy has no use for these options", got=", ".join(given))
