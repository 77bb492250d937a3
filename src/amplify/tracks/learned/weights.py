"""Weights of learned trackers: plain tensors only, known by their hash."""

import functools
import hashlib
import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from amplify.errors import DataError, UsageError

HASH_DIGITS = 16


@functools.cache
def file_hash(path: Path) -> str:
    """The first digits of a file's SHA-256.

    Raises:
        UsageError: There is no such file.
    """
    if not path.is_file():
        raise UsageError(f"no weights at {path}", remedy="download the authors' checkpoint and name it with --weights")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:HASH_DIGITS]


def downloaded(url: str) -> Path:
    """The file behind a URL, in the cache of torch.hub.

    Raises:
        DataError: It cannot be downloaded.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path))  # written aside, then renamed
        except OSError as error:
            remedy = "check the network, or download the file and name it with --weights"
            raise DataError(f"{url} could not be downloaded", got=error, remedy=remedy) from error
    return path


def read_weights(path: Path, *, prefix: str = "") -> dict[str, Tensor]:
    """The tensors of a checkpoint (PyTorch's format or safetensors); what else it may hold never runs.

    Args:
        path: The file.
        prefix: Taken off the names of those tensors that have it.

    Raises:
        DataError: The file is damaged, or holds more than plain tensors.
    """
    try:
        if path.suffix == ".safetensors":
            found = load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, SafetensorError, RuntimeError, EOFError, OSError, ValueError) as error:
        first = str(error).strip().partition("\n")[0]
        remedy = "download it anew; a checkpoint that holds more than tensors is refused, because it could run code"
        raise DataError(f"{path} is no file of plain tensors", got=first, remedy=remedy) from error
    for key in ("model", "state_dict"):
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        raise DataError(f"{path} holds no tensors by name", got=type(found).__name__)
    return {name.removeprefix(prefix): value for name, value in found.items()}


def fill(network: nn.Module, tensors: Mapping[str, Tensor], *, path: Path) -> None:
    """Gives a network its weights, all of them.

    Raises:
        DataError: They are another network's.
    """
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        lines = str(error).strip().splitlines()
        got = lines[1].strip() if len(lines) > 1 else lines[0]
        remedy = "name the checkpoint that belongs to this tracker and to this version of its code"
        raise DataError(f"{path} holds the weights of another network", got=got, remedy=remedy) from error
