"""What a part lacks: settings read with errors that name them, tensors compared with what the settings ask for."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import pydantic

from amplify.errors import BundleError
from amplify.reference.blocks import Shapes
from amplify.reference.reading import Part

T = TypeVar("T")

_CONSTANT = re.compile(
    r"(^|\.)(attn_mask|inv_freq|_dummy_variable|num_batches_tracked|implicit_codebook|_levels|_basis)$"
)
"""Tensors that hold nothing learned."""


def setting(part: Part, path: str, kind: type[T] | tuple[type[T], ...]) -> T:
    """One setting of a part.

    Args:
        part: The part.
        path: Its place, levels joined by dots.
        kind: The type that it must have.

    Raises:
        BundleError: It is missing or of another type.
    """
    value: Any = part.settings
    for level in path.split("."):
        value = value.get(level) if isinstance(value, Mapping) else None
    if value is None or not isinstance(value, kind):
        names = " or ".join(k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,)))
        raise BundleError(
            f"the configuration of the {part.kind} in {part.source} cannot be used",
            got=f"{path} = {value!r}",
            allowed=names,
            remedy="the file is of another version of the reference implementation, or partial",
        )
    return value


def configured(part: Part, make: Callable[..., T], **settings: Any) -> T:
    """A configuration of ours, made of a part's settings.

    Raises:
        BundleError: They do not fit together.
    """
    try:
        return make(**settings)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BundleError(
            f"the configuration of the {part.kind} in {part.source} cannot be used",
            got=f"{where}: {first['msg']}" if where else first["msg"],
        ) from None


def refuse(part: Part, conditions: Mapping[str, bool]) -> None:
    """Raises where a part uses what has no counterpart here.

    Args:
        part: The part.
        conditions: What it would be, and whether it is so.

    Raises:
        BundleError: Any is.
    """
    found = [what for what, so in conditions.items() if so]
    if found:
        raise BundleError(
            f"the {part.kind} in {part.source} cannot be imported", got="; ".join(found), allowed="the paper's design"
        )


def problems(part: Part, shapes: Shapes) -> list[str]:
    """What differs between a part's tensors and those it should have, one line each.

    Args:
        part: The part.
        shapes: Names and shapes that its settings ask for.
    """
    shapes = {name: shape for name, shape in shapes.items() if not _CONSTANT.search(name)}
    found = {name: tuple(value.shape) for name, value in part.weights.items() if not _CONSTANT.search(name)}
    lines = [f"{part.kind}: {name} is missing" for name in shapes if name not in found]
    lines += [
        f"{part.kind}: {name} has shape {found[name]} instead of {shape}"
        for name, shape in shapes.items()
        if name in found and found[name] != shape
    ]
    lines += [f"{part.kind}: {name} is not known, {shape}" for name, shape in found.items() if name not in shapes]
    return [f"{line} ({part.source.name})" for line in lines]


def require_whole(lines: Iterable[str], *, shown: int = 40) -> None:
    """Raises with one list of all that is wrong.

    Args:
        lines: From `problems`.
        shown: Lines to show before the rest is counted.

    Raises:
        BundleError: There is any line.
    """
    every = list(lines)
    if every:
        rest = [f"… and {len(every) - shown} more"] if len(every) > shown else []
        raise BundleError(
            f"the checkpoint is partial or of another shape: {len(every)} tensors",
            got="\n           ".join([*every[:shown], *rest]),
            allowed="every tensor that its own configuration asks for",
            remedy="copy the file again, or give the file that belongs to this configuration",
        )
