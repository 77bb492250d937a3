from dataclasses import replace

import torch

from amplify.tokens.weights import agreement, choose_points, known_steps, known_velocities, moving_points


def test_a_step_is_known_when_both_its_ends_are(make_window):
    window = make_window(batch=1, steps=3, points=2)
    visible, valid = window.visible.clone(), window.valid.clone()
    visible[0, 0, 1, 0] = False
    valid[0, 0, 3] = False
    known = known_steps(replace(window, visible=visible, valid=valid))
    assert known[0, 0].tolist() == [[False, True], [False, True], [False, False]]


def test_unknown_velocities_are_zero(make_window):
    window = make_window(batch=1)
    hidden = replace(window, visible=torch.zeros_like(window.visible))
    assert known_velocities(hidden).count_nonzero() == 0
    assert torch.equal(known_velocities(window), window.velocities)


def test_moving_points_are_those_with_a_path_above_the_threshold(make_window):
    window = make_window(batch=2)
    assert torch.equal(moving_points(window, 1.0)[:, 0], (torch.arange(16) % 4 == 0).expand(2, -1))
    assert not moving_points(window, 1000.0).any()


def test_agreement_ends_with_the_first_large_error(make_window):
    window = make_window(batch=1, steps=4, points=1)
    error = torch.tensor([0.0, 0.5, 2.0, 0.5, 0.5])[None, None, :, None]
    weights = agreement(replace(window, error_px=error), 1.0, 0.25)
    assert weights.flatten().tolist() == [1.0, 0.25, 0.25, 0.25]
    assert agreement(window, 1.0, 0.25).flatten().tolist() == [1.0] * 4


def test_half_of_the_chosen_points_move_and_none_is_chosen_twice():
    moving = torch.zeros(200, 1, 40, dtype=torch.bool)
    moving[..., 30:] = True
    chosen = choose_points(moving, 8, torch.Generator().manual_seed(0))
    assert chosen.shape == (200, 1, 8)
    assert all(len(set(row)) == 8 for row in chosen[:, 0].tolist())
    share = moving.gather(-1, chosen).float().mean()
    assert 0.5 <= share < 0.7
    assert moving.gather(-1, chosen[..., :4]).all()
    # Every point has its turn.
    assert chosen.unique().numel() == 40


def test_choice_without_moving_points_is_random_and_repeatable():
    moving = torch.zeros(3, 2, 10, dtype=torch.bool)
    one = choose_points(moving, 4, torch.Generator().manual_seed(1))
    assert torch.equal(one, choose_points(moving, 4, torch.Generator().manual_seed(1)))
    assert not torch.equal(one, choose_points(moving, 4, torch.Generator().manual_seed(2)))
