import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch.nn.functional import grid_sample

from amplify import coords

POINTS = hnp.arrays(
    np.float64, hnp.array_shapes(min_dims=1, max_dims=3).map(lambda s: (*s, 2)), elements=st.floats(-3, 3)
)
SIZES = st.tuples(st.integers(1, 2000), st.integers(1, 2000))


@given(POINTS, SIZES)
def test_pixels_and_back(points, size_px):
    points = torch.from_numpy(points)
    there = coords.points_to_pixels(points, size_px)
    torch.testing.assert_close(coords.pixels_to_points(there, size_px), points)


@given(POINTS, SIZES)
def test_displacements_and_back(displacements, size_px):
    displacements = torch.from_numpy(displacements)
    there = coords.displacements_to_pixels(displacements, size_px)
    torch.testing.assert_close(coords.displacements_from_pixels(there, size_px), displacements)


@given(POINTS, POINTS, SIZES)
def test_a_displacement_is_a_difference_of_points(a, b, size_px):
    a, b = (torch.from_numpy(p.reshape(-1, 2)[:1]) for p in (a, b))
    difference_px = coords.points_to_pixels(b, size_px) - coords.points_to_pixels(a, size_px)
    torch.testing.assert_close(coords.displacements_to_pixels(b - a, size_px), difference_px)


@given(st.integers(1, 40), st.integers(1, 40))
def test_convention_of_pixel_centres_and_edges(width, height):
    size_px = (width, height)
    corners = torch.tensor([[-1.0, -1.0], [1.0, 1.0]])
    expected = torch.tensor([[-0.5, -0.5], [width - 0.5, height - 0.5]])
    torch.testing.assert_close(coords.points_to_pixels(corners, size_px), expected)
    first = coords.pixels_to_points(torch.zeros(2), size_px)
    torch.testing.assert_close(first, torch.tensor([1 / width - 1, 1 / height - 1]))


def test_agrees_with_grid_sample():
    image = torch.arange(12.0).reshape(1, 1, 3, 4)
    points = coords.pixels_to_points(torch.tensor([[2.0, 1.0], [0.5, 0.0]]), (4, 3))
    values = grid_sample(image, points.reshape(1, 1, 2, 2), align_corners=False).flatten()
    torch.testing.assert_close(values, torch.tensor([6.0, 0.5]))


def test_one_side_means_a_square():
    points = torch.tensor([[0.25, -0.75]])
    assert torch.equal(coords.points_to_pixels(points, 128), coords.points_to_pixels(points, (128, 128)))


def test_inside_frame_includes_its_edges():
    points = torch.tensor([[-1.0, 1.0], [0.0, 1.0001], [-1.0001, 0.0], [0.3, 0.3]])
    assert coords.inside_frame(points).tolist() == [True, False, False, True]
