import torch
from hypothesis import given
from hypothesis import strategies as st

from amplify.tokens.local_window import LocalWindow, velocities_to_pixels

PAPER = LocalWindow(15)
FAR = LocalWindow(15, reach_px=30.0)


def test_one_pixel_is_a_sixty_fourth_of_the_half_frame():
    torch.testing.assert_close(velocities_to_pixels(torch.tensor([1 / 64, -2 / 64])), torch.tensor([1.0, -2.0]))


def test_classes_by_hand_row_by_row():
    assert PAPER.classes(torch.tensor([0.0, 0.0])).item() == 112
    assert PAPER.classes(torch.tensor([1.2, 0.4])).item() == 113  # one to the right
    assert PAPER.classes(torch.tensor([0.0, 1.0])).item() == 127  # one down
    assert PAPER.classes(torch.tensor([-7.0, -7.0])).item() == 0
    assert PAPER.classes(torch.tensor([99.0, 99.0])).item() == 224


@given(st.integers(-7, 7), st.integers(-7, 7))
def test_whole_pixels_survive_the_round_trip(x, y):
    velocity = torch.tensor([float(x), float(y)])
    assert torch.equal(PAPER.offsets_px()[PAPER.classes(velocity)], velocity)


def test_clipped_counts_what_no_class_can_express():
    velocities = torch.tensor([[7.4, 0.0], [7.6, 0.0], [0.0, -8.0], [0.0, 0.0]])
    assert PAPER.clipped(velocities).tolist() == [False, True, True, False]


def test_a_log_window_starts_with_a_pixel_and_grows_by_a_constant_factor_to_its_reach():
    axis = FAR.axis_px
    assert axis[7] == 0
    assert axis[8] == 1
    torch.testing.assert_close(axis[14], torch.tensor(30.0))
    torch.testing.assert_close(axis, -axis.flip(0))
    steps = axis[7:].diff()
    torch.testing.assert_close(steps[1:] / steps[:-1], (steps[1] / steps[0]).expand(6), rtol=1e-4, atol=0)
    torch.testing.assert_close(LocalWindow(15, reach_px=7.0).axis_px, PAPER.axis_px, rtol=0, atol=1e-5)


@given(st.integers(0, 224))
def test_every_cell_of_a_log_window_survives_the_round_trip(cell):
    assert FAR.classes(FAR.offsets_px()[cell]).item() == cell


@given(st.floats(-33, 33), st.floats(-33, 33))
def test_a_log_window_takes_the_nearest_cell(x, y):
    velocity = torch.tensor([x, y])
    distance = (FAR.offsets_px() - velocity).norm(dim=-1)
    assert distance[FAR.classes(velocity)] <= distance.min() + 1e-4


def test_a_log_window_clips_beyond_half_its_last_cell():
    half = (FAR.axis_px[-1] - FAR.axis_px[-2]) / 2
    velocities = torch.tensor([[30.0 + half - 0.1, 0.0], [0.0, -30.0 - half - 0.1], [0.5, 0.0]])
    assert FAR.clipped(velocities).tolist() == [False, True, False]
