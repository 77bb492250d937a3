"""Weights of published networks: in a folder, or by their name on the Hugging Face hub and then in its cache."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from amplify.errors import MissingDependencyError, UsageError

PATTERNS = ["*.json", "*.safetensors", "*.model", "*.txt"]
"""What is fetched of a repository: never a pickle."""

_INCIDENTAL = ("transformers_version", "architectures", "dtype", "_name_or_path")


@lru_cache(maxsize=16)
def weights_folder(weights: str) -> Path:
    """The folder that holds them; the hub is asked only for what is neither a folder nor in its cache.

    Args:
        weights: A folder, or a name on the hub ("microsoft/resnet-18").

    Raises:
        MissingDependencyError: They are not here and cannot be fetched.
    """
    if Path(weights).is_dir():
        return Path(weights)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(weights, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        pass
    try:
        return Path(snapshot_download(weights, allow_patterns=PATTERNS))
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError) as error:
        raise MissingDependencyError(
            f"the weights {weights!r} are no folder, not in the hub's cache, and cannot be fetched",
            got=str(error).splitlines()[0],
            remedy=f"run once with a network ('hf download {weights}', after 'hf auth login' where a licence must be "
            "accepted), or copy its config and safetensors files here and name their folder with --weights",
        ) from None


def read_config(weights: str) -> dict[str, Any]:
    """The content of config.json.

    Raises:
        UsageError: There is none, or it is not JSON.
    """
    path = weights_folder(weights) / "config.json"
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(
            f"no readable {path.name} in {path.parent}", got=error, remedy="name a folder in the hub's layout"
        ) from None


@lru_cache(maxsize=16)
def weights_version(weights: str) -> str:
    """Twelve hexadecimal digits of the weights themselves, wherever they lie."""
    digest = hashlib.sha256()
    for path in _files(weights):
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()[:12]


def load(model: Any, config: Any, weights: str) -> Any:
    """A model of the transformers library with its weights, all of them, in evaluation mode.

    Args:
        model: Its class.
        config: Its settings.
        weights: Name or folder.

    Raises:
        UsageError: Some of its weights are missing or have another shape.
    """
    folder = _files(weights)[0].parent
    with _quiet():
        try:
            made, report = model.from_pretrained(
                folder, config=config, local_files_only=True, use_safetensors=True, output_loading_info=True
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise UsageError(f"{folder} does not hold {model.__name__}", got=str(error).splitlines()[0]) from None
    missing = sorted(report["missing_keys"])
    if missing:
        raise UsageError(
            f"{folder} does not hold {model.__name__}",
            got=f"without {', '.join(missing[:3])}" + (f", … ({len(missing)} in all)" if len(missing) > 3 else ""),
            remedy="name the folder of another network",
        )
    return made.eval()


def sizes(config: Any) -> dict[str, Any]:
    """What rebuilds a configuration of the transformers library, as JSON values."""
    return {key: value for key, value in config.to_diff_dict().items() if key not in _INCIDENTAL}


def slug(weights: str) -> str:
    """A short name for folders: the last part of a hub name or path."""
    return "".join(c if c.isalnum() or c in "-." else "-" for c in Path(weights).name.lower())


def fingerprint(network: nn.Module) -> str:
    """Twelve hexadecimal digits of a network's weights."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:12]


def _files(weights: str) -> list[Path]:
    folder = weights_folder(weights)
    found = sorted(folder.glob("*.safetensors"))
    if not found:
        raise UsageError(
            f"no safetensors file in {folder}",
            remedy="name a folder that has one: other formats can run code when they are read",
        )
    return found


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' bars and its list of weights that a part of a model does not need."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
