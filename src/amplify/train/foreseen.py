"""Motion tokens that a frozen parent foresees, computed once and kept beside the dataset until the parent changes."""

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from amplify.data.files import written_aside
from amplify.data.sidecar import FOLDER
from amplify.data.windows import WindowSet
from amplify.forward.dynamics import ForwardDynamics
from amplify.policy.bundle import Bundle
from amplify.policy.info import info_of
from amplify.train.stages import tokens_predicted
from amplify.train.training_data import TrainingData

logger = logging.getLogger(__name__)

KEPT = "foreseen"


def foreseen_tokens(
    bundle: Bundle,
    windows: WindowSet,
    real: Int[Tensor, "w k"],
    data: TrainingData,
    *,
    samples: int,
    temperature: float,
    seed: int,
) -> Int[Tensor, "samples w k"] | None:
    """The tokens that a bundle's forward dynamics foresees for every window, None where it can foresee none.

    Args:
        bundle: Its forward dynamics is frozen.
        windows: Demonstrations with features.
        real: Tokens of their tracks, which stay where nothing can be foreseen.
        data: Where the windows come from.
        samples: Random futures beside the likeliest.
        temperature: Of the random futures.
        seed: Of the random futures.
    """
    forward = bundle.module("forward", ForwardDynamics)
    # Nothing can be foreseen for play, whose text asks for nothing.
    known = np.isin(windows.instructions, info_of(bundle).instructions)[windows.instruction_numbers]
    known |= forward.config.goal == "image"
    if not known.any():
        return None
    key = {
        "parent": bundle.hash,
        "data": data.model_dump(mode="json", include={"features", "text"}) | {"cached": data.sight.cached},
        "encoders": [header.recipe for header in (data.header(str(data.features)), data.text_header())],
        "windows": hashlib.sha256(np.packbits(known).tobytes()).hexdigest(),
        "futures": [samples, temperature, seed] if samples else [],
    }
    predicted = real.expand(1 + samples, -1, -1).clone()
    predicted[:, torch.from_numpy(known)] = computed_once(
        windows,
        key,
        lambda: tokens_predicted(
            forward,
            windows,
            np.flatnonzero(known),
            samples=samples,
            temperature=temperature,
            seed=seed,
            label="foreseen tokens",
        ),
    )
    return predicted


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
