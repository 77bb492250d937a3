"""New inverse dynamics for a dataset, and what a dataset says of itself."""

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from lerobot.utils.constants import ACTION, OBS_STATE
from torch import Tensor

from amplify.data.dataset import Dataset
from amplify.errors import DataError
from amplify.inverse import InverseConfig, InverseDynamics
from lerobot_policy_amplify.architecture import Parts

logger = logging.getLogger(__name__)


def new_inverse(parts: Parts, config: InverseConfig, stats: Any, meta: Any) -> InverseDynamics:
    """Inverse dynamics with random weights, and scalers of the dataset.

    Args:
        parts: What foresees the motion.
        config: Its settings.
        stats: LeRobot's statistics of the dataset.
        meta: LeRobot's metadata of the dataset.

    Raises:
        DataError: There is no dataset, or it lacks actions or proprioception.
    """
    proprio, actions = _extremes(stats, OBS_STATE, config.proprio_scaling), _extremes(stats, ACTION, "range")
    if config.discrete:
        # Which values a gripper takes is not in the statistics.
        actions = _every_action(meta)
    shared = {key: parts.forward.dimensions[key] for key in ("vision_width", "patches", "views")}
    inverse = InverseDynamics(
        config,
        code_width=parts.tokenizer.embedding_width(config.motion),
        tokens=parts.tokenizer.config.tokens,
        proprio_width=proprio.shape[1],
        action_width=actions.shape[1],
        **shared,
    )
    inverse.fit_scalers(proprio, actions)
    return inverse


def _extremes(stats: Any, key: str, scaling: str) -> Tensor:
    """Two values a dimension that have the minimum and maximum, or the mean and deviation, of all."""
    found = (stats or {}).get(key)
    if found is None:
        raise DataError(
            f"new inverse dynamics needs a dataset with {key!r}",
            got=", ".join(stats or ()) or "no dataset",
            remedy="learn it with lerobot-train; --policy.bundle or --policy.path acts with what was learned",
        )

    def row(name: str) -> Tensor:
        return torch.as_tensor(np.asarray(found[name]), dtype=torch.float32).flatten()

    if scaling == "range":
        return torch.stack((row("min"), row("max")))
    return torch.stack((row("mean") - row("std"), row("mean") + row("std")))


def _every_action(meta: Any) -> Tensor:
    dataset = Dataset.open(meta.root)
    columns = [dataset.actions(episode.index) for episode in dataset.episodes]
    return torch.from_numpy(np.concatenate([column for column in columns if column is not None]))


def learned_from(parts: Parts, meta: Any, widths: Mapping[str, int]) -> Parts:
    """The parts with what the dataset says: rate, robot, names, sentences.

    Args:
        parts: As the bundle has them.
        meta: LeRobot's metadata of the dataset.
        widths: Dimensions of ``action`` and ``observation.state``.
    """
    info = parts.info
    if info.fps is not None and info.fps != meta.fps:
        logger.warning(
            "the motion was learned at %d frames a second and the actions are of %d: what is foreseen lasts %.1f times "
            "as long as in the actions' time",
            info.fps,
            meta.fps,
            meta.fps / info.fps,
        )
    known = {
        "fps": meta.fps,
        "robot_type": meta.robot_type or info.robot_type,
        "action_names": _names(meta, ACTION, widths[ACTION]),
        "proprio_names": _names(meta, OBS_STATE, widths[OBS_STATE]),
        "instructions": tuple(sorted(map(str, meta.tasks.index))),
    }
    return Parts(models=parts.models, info=info.model_copy(update=known), parents=parts.parents)


def _names(meta: Any, key: str, width: int) -> tuple[str, ...]:
    names = meta.features.get(key, {}).get("names")
    if isinstance(names, Mapping):
        names = [name for part in names.values() for name in part] if len(names) < width else list(names)
    if names is None or len(names) != width:
        return tuple(f"{key.rpartition('.')[2]}_{number}" for number in range(width))
    return tuple(map(str, names))
