"""Motion tokens that a frozen parent foresees, computed once and kept beside the dataset until the parent changes."""

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from amplify.data.files import written_aside
from amplify.data.sidecar import FOLDER
from amplify.data.windows import WindowSet

logger = logging.getLogger(__name__)

KEPT = "foreseen"


def computed_once(
    windows: WindowSet, key: dict[str, Any], compute: Callable[[], Int[Tensor, "*s k"]]
) -> Int[Tensor, "*s k"]:
    """What was computed for the same windows and the same key, or what is computed now and then kept.

    A file is found by the digest of all that its content depends on, so one that is stale is never read.

    Args:
        windows: Whose episodes count; the file lies in ``sidecars/foreseen`` of their first dataset.
        key: What else the result depends on (the parent's hash, encoders, settings), as JSON values.
        compute: Makes the tokens.
    """
    datasets = windows.datasets
    episodes = [
        [number, info.index, info.instruction, datasets[number].fingerprint(info.index)]
        for number, info in windows.episodes
    ]
    meaning = json.dumps({"episodes": episodes, **key}, sort_keys=True)
    digest = hashlib.sha256(meaning.encode()).hexdigest()[:16]
    path = datasets[0].root / FOLDER / KEPT / f"{digest}.safetensors"
    tokens = _read(path, meaning)
    if tokens is not None:
        return tokens
    tokens = compute()
    try:
        with written_aside(path) as aside:
            save_file({"tokens": tokens.to(torch.int32).contiguous()}, aside, metadata={"meaning": meaning})
    except OSError as error:
        logger.warning("%s cannot be kept, and will be computed again: %s", path, error)
    return tokens


def _read(path: Path, meaning: str) -> Int[Tensor, "*s k"] | None:
    try:
        with safe_open(path, framework="pt") as file:
            if (file.metadata() or {}).get("meaning") != meaning:
                return None
            return file.get_tensor("tokens").long()
    except (OSError, SafetensorError):
        return None
