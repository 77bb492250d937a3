"""Reads the reference implementation's checkpoints without running what is in them."""

import pathlib
import pickle
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from amplify.errors import BundleError, UsageError

Kind = Literal["tokenizer", "forward", "inverse", "vision_encoder", "text_encoder"]

_WRAPPERS = frozenset({"module", "_orig_mod"})
"""Levels that DataParallel and torch.compile add to names."""

_SECTIONS: dict[Kind, tuple[str, str]] = {
    "tokenizer": ("motion_tokenizer", "motion_tokenizer_cfg"),
    "forward": ("forward_dynamics", "forward_dynamics_cfg"),
    "inverse": ("inverse_dynamics", "inverse_dynamics_cfg"),
    "vision_encoder": ("img_encoder", "vision_encoder_cfg"),
    "text_encoder": ("text_encoder", "text_encoder_cfg"),
}
"""Of each part in a bundled checkpoint: the prefix of its tensors, and where its settings are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One model of a checkpoint.

    Args:
        kind: Which.
        settings: Its section of the configuration.
        weights: Its tensors, by the names that the reference's module gives them.
        source: The file.
    """

    kind: Kind
    settings: Mapping[str, Any]
    weights: Mapping[str, Tensor]
    source: Path


def load_checkpoint(path: Path) -> dict[str, Any]:
    """The dictionary in a checkpoint file. Only tensors, plain values and `pathlib.PosixPath` are unpickled.

    Raises:
        BundleError: There is no such file, it is damaged, or it needs any other class; that class is named.
    """
    if not path.is_file():
        raise BundleError(f"no file {path}")
    # Python 3.13 names the same class by the module that it is defined in.
    allowed: list[Any] = [pathlib.PosixPath, (pathlib.PosixPath, "pathlib._local.PosixPath")]
    try:
        with torch.serialization.safe_globals(allowed):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        needed = re.search(r"(?:GLOBAL|class|function) ([\w.]+\.[\w.]+)", str(error))
        if needed is None:
            raise _damaged(path, error) from None
        raise BundleError(
            f"{path} holds more than tensors and settings, so it is not loaded",
            got=f"it asks for {needed[1]}",
            allowed="tensors, plain values, pathlib.PosixPath",
            remedy="save it again with torch.save of a state dict and plain settings, if you trust it",
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        raise _damaged(path, error) from None
    if not isinstance(content, dict):
        raise BundleError(f"{path} holds no checkpoint", got=type(content).__name__, allowed="a dictionary")
    return content


def _damaged(path: Path, error: Exception) -> BundleError:
    said = str(error).strip() or type(error).__name__
    first = said.rsplit("WeightsUnpickler error: ", 1)[-1].splitlines()[0]
    return BundleError(f"{path} is no checkpoint file, or is damaged", got=first, remedy="copy it again")


def read_parts(path: Path) -> list[Part]:
    """The models in a file: of a bundled checkpoint all that it holds, of a stage's checkpoint one.

    Raises:
        BundleError: See `load_checkpoint`; or the content is neither kind of checkpoint.
    """
    content = load_checkpoint(path)
    tensors, config = content.get("model"), content.get("config")
    if not isinstance(tensors, dict) or not isinstance(config, dict) or not tensors:
        raise BundleError(
            f"{path} is not a checkpoint of the reference implementation",
            got=f"entries {', '.join(map(str, content)) or 'none'}",
            allowed="a dictionary with 'model' (tensors by name) and 'config'",
        )
    weights = {_unwrapped(name): value for name, value in tensors.items() if isinstance(value, Tensor)}
    if "motion_tokenizer_cfg" in config:
        parts = (_section(kind, config, weights, path) for kind in get_args(Kind))
        return [part for part in parts if part is not None]
    return [Part(kind=_stage(path, config, weights), settings=config, weights=weights, source=path)]


def collect(paths: Iterable[Path]) -> dict[Kind, Part]:
    """The parts of several files, in any order, by kind.

    Raises:
        BundleError: See `read_parts`.
        UsageError: Two files hold the same part.
    """
    parts: dict[Kind, Part] = {}
    for path in paths:
        for part in read_parts(path):
            if part.kind in parts:
                raise UsageError(
                    f"two files hold the {part.kind}",
                    got=f"{parts[part.kind].source}, {path}",
                    remedy="give the bundled checkpoint alone, or one file a stage",
                )
            parts[part.kind] = part
    return parts


def _unwrapped(name: str) -> str:
    return ".".join(level for level in name.split(".") if level not in _WRAPPERS)


def _section(kind: Kind, config: Mapping[str, Any], weights: Mapping[str, Tensor], path: Path) -> Part | None:
    """A part of a bundled checkpoint; it may lack its encoders, but a model without tensors is a partial one."""
    prefix, place = _SECTIONS[kind]
    own = {name.removeprefix(f"{prefix}."): value for name, value in weights.items() if name.startswith(f"{prefix}.")}
    settings: Any = config.get(place)
    if not isinstance(settings, Mapping) or (kind.endswith("encoder") and not own):
        return None
    return Part(kind=kind, settings=settings, weights=own, source=path)


def _stage(path: Path, config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> Kind:
    """Which stage wrote a file: by its settings, since a file may lack tensors."""
    if "forward_dynamics" in config:
        return "forward"
    if "decoder_mlp_hidden_dim" in config:
        return "tokenizer"
    if "cond_on_tracks" in config:
        return "inverse"
    raise BundleError(
        f"{path} is not a checkpoint of the reference implementation",
        got=f"settings {', '.join(list(map(str, config))[:8]) or 'none'}, tensors {', '.join(list(weights)[:4])}",
        allowed="the settings of its motion tokenizer, forward dynamics or inverse dynamics",
    )
