import pytest
import torch

from amplify.errors import DataError
from amplify.nn.shapes import require_axes


def test_the_last_axes_count_and_the_first_are_free():
    for lead in ((), (3,), (1, 5)):
        require_axes("image features", torch.zeros(*lead, 2, 4), views=2, channels=4)


@pytest.mark.parametrize(("shape", "got"), [((7, 1, 4), "1 views, 4 image channels"), ((4,), "1 axes")])
def test_others_are_refused_with_both_shapes(shape, got):
    with pytest.raises(DataError, match="image features do not fit") as error:
        require_axes("image features", torch.zeros(shape), views=2, image_channels=4)
    assert (error.value.got, error.value.allowed) == (got, "2 views, 4 image channels")
