"""Views that a source does not have: whatever stands in their place must not reach a model."""

from jaxtyping import Bool, Float
from torch import Tensor


def without_absent(vision: Float[Tensor, "b v p d"], present: Bool[Tensor, "b v"] | None) -> Float[Tensor, "b v p d"]:
    """Patch tokens with zeros in place of absent views, which may hold anything, NaN included.

    Args:
        vision: Patch tokens of every view.
        present: False for views that the source lacks; None where all are there.
    """
    return vision if present is None else vision.masked_fill(~present[..., None, None], 0.0)
