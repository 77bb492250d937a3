"""Tensors of another shape than a model was made for: most would broadcast to a wrong result."""

from torch import Tensor

from amplify.errors import DataError


def require_axes(what: str, tensor: Tensor, **axes: int) -> None:
    """Refuses a tensor whose last axes are not those that are named.

    Args:
        what: What it holds, in the plural ("image features"), for the message.
        tensor: Any leading axes are free.
        axes: Names and sizes of the last axes, in order.

    Raises:
        DataError: An axis is missing or has another size.
    """
    sizes = tuple(tensor.shape[-len(axes) :])
    if sizes != tuple(axes.values()):
        raise DataError(
            f"{what} do not fit this model",
            got=_named(dict(zip(axes, sizes))) if len(sizes) == len(axes) else f"{tensor.ndim} axes",
            allowed=_named(axes),
            remedy="give what it was trained on: the same cameras, encoders, grid and robot",
        )


def _named(axes: dict[str, int]) -> str:
    return ", ".join(f"{size} {name.replace('_', ' ')}" for name, size in axes.items())
