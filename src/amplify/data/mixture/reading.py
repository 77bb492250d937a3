"""Mixtures as users write them: one source a flag (``path=data/videos,weight=2``), or a JSON file."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Any, get_args

from pydantic import ValidationError

from amplify.data.mixture.source import Mixture, Source
from amplify.errors import UsageError, pick

LISTS = ("episodes", "tasks", "views")
"""Keys with several values: what follows without a key of its own belongs to the one before."""


def read_source(text: str) -> Source:
    """A source from ``key=value,…``, or from the path of a dataset alone.

    Values of a key that takes several follow one another: ``tasks=open*,close*``, ``views=cam0:front,cam1:wrist``,
    ``episodes=0,3,5-9``. A path or an instruction with a comma needs a file, see `read_mixture`.

    Args:
        text: As it was given.

    Raises:
        UnknownNameError: There is no such key.
        UsageError: A value is missing, given twice, or does not fit.
    """
    if "=" not in text:
        return Source(path=Path(text))
    given: dict[str, list[str]] = {}
    key = ""
    for part in text.split(","):
        name, is_pair, value = part.partition("=")
        if is_pair:
            key = name.strip()
            pick(key, Source.model_fields, kind="key of a source")
            if key in given and key not in LISTS:
                raise UsageError(f"{key} is given twice in --source {text}")
            given.setdefault(key, []).append(value.strip())
        elif key in LISTS:
            given[key].append(part.strip())
        else:
            raise UsageError(
                f"{part!r} has no key in --source {text}",
                allowed=", ".join(f"{name}=…" for name in Source.model_fields),
                remedy="write key=value pairs, separated by commas",
            )
    values: dict[str, Any] = {name: value[0] for name, value in given.items() if name not in LISTS}
    values |= {name: tuple(given[name]) for name in ("tasks",) if name in given}
    values |= {"episodes": _numbers(given["episodes"])} if "episodes" in given else {}
    values |= {"views": _pairs(given["views"])} if "views" in given else {}
    return _checked(values, f"--source {text}")


def read_mixture(path: Path) -> Mixture:
    """A mixture from a JSON file: the fields of `Mixture`, each source a path or an object with the fields of `Source`.

    Args:
        path: The file; the paths in it are relative to where the command runs.

    Raises:
        UnknownNameError: There is no such key.
        UsageError: It cannot be read, is no JSON, or a value does not fit.
    """
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"no mixture can be read from {path}", got=error, remedy="name a JSON file") from error
    if not isinstance(content, dict) or not isinstance(content.get("sources"), list):
        raise UsageError(
            f"{path} describes no mixture", allowed='{"sources": ["data/videos", {"path": "data/demos", "weight": 2}]}'
        )
    for key in content:
        pick(key, Mixture.model_fields, kind=f"key of {path}")
    for kind in ("sources", "held_out"):
        if kind in content:
            content[kind] = [_listed(item, f"{path}, {kind}[{number}]") for number, item in enumerate(content[kind])]
    try:
        return Mixture.model_validate(content)
    except ValidationError as error:
        raise _unfit(error, str(path)) from error


def _listed(item: Any, where: str) -> Source:
    if isinstance(item, str):
        return Source(path=Path(item))
    if not isinstance(item, Mapping):
        raise UsageError(f"{where} is no source", got=item, allowed="a path, or an object with a path")
    for key in item:
        pick(key, Source.model_fields, kind=f"key of {where}")
    return _checked(dict(item), where)


def _checked(values: dict[str, Any], where: str) -> Source:
    if "path" not in values:
        raise UsageError(f"no path in {where}", remedy="say which dataset: path=data/videos")
    for name in ("role", "order"):
        if name in values:
            pick(str(values[name]), dict.fromkeys(get_args(Source.model_fields[name].annotation)), kind=name)
    try:
        return Source.model_validate(values)
    except ValidationError as error:
        raise _unfit(error, where) from error


def _unfit(error: ValidationError, where: str) -> UsageError:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    got = first["input"] if isinstance(first["input"], str | int | float | NoneType) else None
    return UsageError(f"{where}: {name + ': ' if name else ''}{first['msg']}", got=got, remedy="mend the value")


def _numbers(parts: list[str]) -> tuple[int, ...]:
    numbers: list[int] = []
    for part in parts:
        first, is_range, last = part.partition("-")
        try:
            numbers += range(int(first), int(last) + 1) if is_range else [int(first)]
        except ValueError as error:
            raise UsageError("episodes that are no numbers", got=part, allowed="0,3,5-9") from error
    return tuple(numbers)


def _pairs(parts: list[str]) -> dict[str, str]:
    pairs = [part.partition(":") for part in parts]
    for camera, colon, view in pairs:
        if not (camera and colon and view):
            raise UsageError("views that map no camera", got=":".join((camera, view)), allowed="views=CAMERA:VIEW")
    return {camera: view for camera, _, view in pairs}
