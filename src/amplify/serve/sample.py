"""A sample observation, read piece by piece: what fits, what does not, and what to do."""

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from amplify.errors import AmplifyError, UsageError
from amplify.protocols import Policy
from amplify.serve.mapping import Reader
from amplify.serve.wire import MAX_BYTES, WireError, unpack


def read_sample(path: Path) -> Mapping[str, Any]:
    """An observation as a robot would send it.

    Args:
        path: A message in the wire format (.msgpack), or arrays by name (.npz).

    Raises:
        UsageError: It is neither.
    """
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            return {name: a.item() if a.dtype.kind == "U" and a.ndim == 0 else a for name, a in arrays.items()}
        if path.stat().st_size > MAX_BYTES:
            raise UsageError(f"{path} is larger than any message", got=path.stat().st_size, allowed=MAX_BYTES)
        content = unpack(path.read_bytes())
    except (OSError, ValueError, zipfile.BadZipFile, WireError) as error:
        raise UsageError(
            f"cannot read the sample {path}",
            got=str(error),
            allowed="a message in the wire format (.msgpack), or arrays by name (.npz)",
        ) from None
    if not isinstance(content, Mapping):
        raise UsageError(f"the sample {path} holds no names", got=type(content).__name__)
    return content


def check(reader: Reader, policy: Policy, sent: Mapping[str, Any]) -> dict[str, Any]:
    """Every piece of a sample and what the server makes of it; ``passed`` says whether all fit and a plan was made.

    Args:
        reader: Of the server.
        policy: Of the server.
        sent: The sample.
    """
    pieces: dict[str, Callable[[], str]] = {
        f"camera {name}": lambda name=name: _about_image(reader, name, sent) for name in reader.mapping.cameras
    }
    pieces["proprioception"] = lambda: _about_state(reader.state(sent))
    pieces["instruction"] = lambda: _about_prompt(reader, reader.prompt(sent))
    report: dict[str, str] = {}
    problems: dict[str, str] = {}
    for name, look in pieces.items():
        try:
            report[name] = look()
        except AmplifyError as error:
            problems[name] = str(error)
    used = {key for camera in reader.mapping.cameras.values() for key in camera.keys}
    used |= {key for part in reader.mapping.state for key in part.keys}
    unused = sorted(str(name)[:60] for name in sent if name not in used and isinstance(sent[name], np.ndarray))
    if not problems:
        try:
            actions = policy.plan(reader.read(sent)).actions.actions[0]
            report["plan"] = f"{actions.shape[0]} actions, the first {[round(v, 4) for v in actions[0].tolist()]}"
        except AmplifyError as error:
            problems["plan"] = str(error)
    return {"passed": not problems, "fits": report, "problems": problems, "other_arrays": unused}


def _about_image(reader: Reader, name: str, sent: Mapping[str, Any]) -> str:
    image = reader.image(name, sent)
    side, how = reader.mapping.size_px, reader.mapping.cameras[name]
    dark = float(image.mean())
    turned = f", turned by {how.rotate_deg}°" if how.rotate_deg else ""
    note = " — nearly black" if dark < 3 else " — nearly white" if dark > 252 else ""
    return f"{side}×{side} px after {reader.mapping.fit}{turned}, mean level {dark:.0f}{note}"


def _about_state(state: np.ndarray) -> str:
    return f"{len(state)} numbers from {state.min():.3g} to {state.max():.3g}" if len(state) else "no numbers"


def _about_prompt(reader: Reader, text: str) -> str:
    known = reader.info.instructions
    note = "" if not known or text in known else " — not among those of training"
    return f"“{text}”{note}"
