import torch
from hypothesis import given
from hypothesis import strategies as st

from amplify.tokens.local_window import LocalWindow, velocities_to_pixels

PAPER = LocalWindow(15)


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
