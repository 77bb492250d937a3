"""The state to resume from: weights, averaged weights and the optimiser's moments, without pickle.

This is a local file of one run; what is shared is a bundle (`amplify.policy.bundle`).
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from amplify.errors import BundleError

if TYPE_CHECKING:
    from amplify.train.loop import AveragedWeights

FILE = "resume.safetensors"


def save_checkpoint(
    out: Path,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: "AveragedWeights | None",
    settings: Mapping[str, Any],
    *,
    step: int,
) -> None:
    """Writes the state after ``step`` steps, aside first, so that a kill leaves the previous one whole."""
    tensors: dict[str, Tensor] = {f"model.{k}": v for k, v in module.state_dict().items()}
    if average:
        tensors |= {f"average.{k}": v for k, v in average.average.items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{k}": torch.as_tensor(v) for k, v in state.items()}
    # safetensors refuses tensors that share memory, and tied weights would.
    tensors = {k: v.detach().clone().contiguous() for k, v in tensors.items()}
    aside = out / f"{FILE}.partial"
    save_file(tensors, aside, metadata={"step": str(step), "settings": json.dumps(settings)})
    os.replace(aside, out / FILE)


def load_checkpoint(
    out: Path,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: "AveragedWeights | None",
    settings: Mapping[str, Any],
) -> int:
    """Restores the state in place; the number of steps done, 0 where there is no checkpoint.

    The settings (budget, model, data, parent) must be those that the checkpoint was saved with.

    Raises:
        BundleError: The checkpoint is damaged, or is of another model or other settings.
    """
    path = out / FILE
    if not path.exists():
        return 0
    remedy = f"choose another folder, or delete {path} to train anew"
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise BundleError(f"checkpoint {path} cannot be read", got=error, remedy=remedy) from error
    stored = json.loads(metadata["settings"])
    asked = json.loads(json.dumps(settings))
    if stored != asked:
        differing = sorted(k for k in stored.keys() | asked.keys() if stored.get(k) != asked.get(k))
        raise BundleError(
            f"checkpoint {path} was trained with other settings",
            got=", ".join(f"{k}={asked.get(k)} (checkpoint: {stored.get(k)})" for k in differing),
            remedy=remedy,
        )

    def part(prefix: str) -> dict[str, Tensor]:
        return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

    try:
        module.load_state_dict(part("model."))
    except RuntimeError as error:
        raise BundleError(f"checkpoint {path} is of another model", got=error, remedy=remedy) from error
    if average:
        average.average = {k: part("average.")[k].to(v.device) for k, v in average.average.items()}
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in part("optimizer.").items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return int(metadata["step"])
