"""The wire format: msgpack, with arrays as maps. What arrives can run no code, nor claim memory that it does not bring.

An array is ``{b"__ndarray__": True, b"data": bytes, b"dtype": "<f4", b"shape": [2, 3]}``, a scalar of NumPy
``{b"__npgeneric__": True, b"data": 1.5, b"dtype": "<f4"}``: the format of openpi. Arrays of objects do not exist in it.
"""

import math
import re
from typing import Any

import msgpack
import numpy as np

MAX_BYTES = 64 * 2**20
"""Of one message: sixteen images of a megapixel."""

MAX_ITEMS = 4096
"""Entries of one list or map; arrays count as one. Lists are allocated before they are read, and a small message can
nest a thousand of them: so many of this size are 33 MB."""

MAX_TEXT = 65_536
"""Bytes of one string."""

MAX_AXES = 8
_DTYPE = re.compile(r"[<>|=]?(?:b1|[iu][1248]|f[248])")


class WireError(ValueError):
    """A message that is no message of this format."""


def pack(message: Any) -> bytes:
    """The message as bytes.

    Args:
        message: Maps, lists, strings, bytes, numbers, None, arrays and scalars of NumPy.

    Raises:
        WireError: Something in it has no place in the format.
    """
    try:
        return msgpack.Packer(default=_described, use_bin_type=True).pack(message)
    except (TypeError, ValueError, OverflowError) as error:
        raise WireError(f"cannot be sent: {error}") from error


def unpack(data: bytes, *, max_bytes: int = MAX_BYTES) -> Any:
    """The message in some bytes; its arrays are read-only views of them.

    Args:
        data: Of one frame.
        max_bytes: What is longer is refused unread.

    Raises:
        WireError: That is no message, or it is too large.
    """
    if len(data) > max_bytes:
        raise WireError(f"message of {len(data)} bytes, allowed are {max_bytes}")
    try:
        return msgpack.unpackb(
            data,
            raw=False,
            object_hook=_restored,
            max_bin_len=len(data),
            max_str_len=MAX_TEXT,
            max_array_len=MAX_ITEMS,
            max_map_len=MAX_ITEMS,
            max_ext_len=0,
        )
    except WireError:
        raise
    except (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException) as error:
        raise WireError(f"no message of this format: {type(error).__name__}: {error}"[:300]) from error


def _described(value: Any) -> dict[bytes, Any]:
    if isinstance(value, np.ndarray):
        _check_dtype(value.dtype.str)
        return {
            b"__ndarray__": True,
            b"data": value.tobytes(),
            b"dtype": value.dtype.str,
            b"shape": list(value.shape),
        }
    if isinstance(value, np.generic):
        _check_dtype(value.dtype.str)
        return {b"__npgeneric__": True, b"data": value.item(), b"dtype": value.dtype.str}
    raise TypeError(f"a {type(value).__name__} has no place in the wire format")


def _restored(entries: dict[Any, Any]) -> Any:
    if b"__ndarray__" in entries or "__ndarray__" in entries:
        return _array(_part(entries, "data"), _part(entries, "dtype"), _part(entries, "shape"))
    if b"__npgeneric__" in entries or "__npgeneric__" in entries:
        value, dtype = _part(entries, "data"), _part(entries, "dtype")
        _check_dtype(dtype)
        if not isinstance(value, bool | int | float):
            raise WireError(f"a scalar that is a {type(value).__name__}")
        return np.dtype(dtype).type(value)
    return entries


def _array(data: Any, dtype: Any, shape: Any) -> np.ndarray:
    _check_dtype(dtype)
    if not isinstance(shape, list | tuple) or len(shape) > MAX_AXES:
        raise WireError("an array's shape is not a short list")
    if not all(isinstance(size, int) and not isinstance(size, bool) and 0 <= size < 2**31 for size in shape):
        raise WireError("an array's shape has sizes that are no sizes")
    needed = math.prod(shape) * np.dtype(dtype).itemsize
    if not isinstance(data, bytes) or len(data) != needed:
        has = len(data) if isinstance(data, bytes) else type(data).__name__
        raise WireError(f"an array of shape {tuple(shape)} and dtype {dtype} has {needed} bytes, and not {has}")
    return np.frombuffer(data, dtype=np.dtype(dtype)).reshape(shape)


def _part(entries: dict[Any, Any], name: str) -> Any:
    if name.encode() in entries:
        return entries[name.encode()]
    if name in entries:
        return entries[name]
    raise WireError(f"an array without its {name}")


def _check_dtype(dtype: Any) -> None:
    if not isinstance(dtype, str) or not _DTYPE.fullmatch(dtype):
        raise WireError(f"dtype {str(dtype)[:40]!r} is not sent: booleans, integers and floats are")
