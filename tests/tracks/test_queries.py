import pytest
import torch

from amplify.errors import UsageError
from amplify.tracks.queries import uniform_grid


def test_centres_of_a_partition_row_by_row():
    assert uniform_grid(2).tolist() == [[-0.5, -0.5], [0.5, -0.5], [-0.5, 0.5], [0.5, 0.5]]


@pytest.mark.parametrize("side", [1, 3, 20])
def test_grid_is_symmetric_and_evenly_spaced(side):
    grid = uniform_grid(side)
    assert grid.shape == (side * side, 2)
    torch.testing.assert_close(grid.flip(0), -grid)
    if side > 1:
        torch.testing.assert_close(grid[1] - grid[0], torch.tensor([2 / side, 0.0]))


def test_no_points_is_refused():
    with pytest.raises(UsageError, match="at least one point"):
        uniform_grid(0)
