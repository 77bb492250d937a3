import math

import pytest
import torch
import vector_quantize_pytorch

from amplify.nn.fsq import FSQ

LEVELS = (8, 8, 6, 5)


@pytest.mark.parametrize("levels", [LEVELS, (7, 5, 5), (4, 3)])
def test_equals_the_reference_library_in_codes_indices_and_gradients(levels):
    torch.manual_seed(0)
    ours, reference = FSQ(levels), vector_quantize_pytorch.FSQ(list(levels))
    z = 2 * torch.randn(6, 15, len(levels))
    a, b = z.clone().requires_grad_(), z.clone().requires_grad_()
    codes = ours(a)
    expected, indices = reference(b)
    torch.testing.assert_close(codes, expected, rtol=0, atol=1e-6)
    assert torch.equal(ours.indices(codes), indices.long())
    weight = torch.randn_like(z)
    (codes * weight).sum().backward()
    (expected * weight).sum().backward()
    torch.testing.assert_close(a.grad, b.grad)


def test_values_worked_out_by_hand():
    # Eight levels: h = 7 · 1.001 / 2 = 3.5035, offset 0.5. At z = 0 the bound gives tanh(atanh(0.5 / h)) · h − 0.5 = 0.
    fsq = FSQ((8, 5))
    torch.testing.assert_close(fsq.bound(torch.zeros(2)), torch.zeros(2), rtol=0, atol=1e-6)
    # z = 0.5, five levels: tanh(0.5) · 2.002 = 0.925, rounds to 1, and 1 / (5 // 2) = 0.5.
    assert math.isclose(fsq.bound(torch.tensor([0.0, 0.5]))[1].item(), math.tanh(0.5) * 2.002, rel_tol=1e-6)
    assert fsq(torch.tensor([0.0, 0.5])).tolist() == [0.0, 0.5]
    # Far out: even levels reach −4 … 3 (codes −1 … 0.75), odd ones −2 … 2.
    assert fsq(torch.tensor([9.0, 9.0])).tolist() == [0.75, 1.0]
    assert fsq(torch.tensor([-9.0, -9.0])).tolist() == [-1.0, -1.0]


def test_basis_counts_the_first_channel_fastest():
    fsq = FSQ(LEVELS)
    assert fsq.basis.tolist() == [1, 8, 64, 384]
    assert fsq.codebook_size == 1920
    assert fsq.indices(torch.tensor([0.75, -1.0, -1.0, -1.0])).item() == 7
    assert fsq.indices(torch.tensor([-1.0, -0.75, -1.0, -1.0])).item() == 8
    assert fsq.indices(torch.tensor([0.75, 0.75, 2 / 3, 1.0])).item() == 1919


def test_every_index_survives_the_round_trip():
    fsq = FSQ(LEVELS)
    indices = torch.arange(fsq.codebook_size)
    codes = fsq.codes(indices)
    assert torch.equal(fsq.indices(codes), indices)
    assert codes.unique(dim=0).shape[0] == 1920
    assert codes.abs().max() <= 1


def test_gradient_passes_the_rounding():
    z = torch.zeros(4, requires_grad=True)
    FSQ(LEVELS)(z).sum().backward()
    assert (z.grad > 0).all()


def test_unrounded_codes_keep_the_bounds_and_have_the_same_nearest_indices():
    z = torch.randn(200, 4, generator=torch.Generator().manual_seed(0)) * 2
    rounded, smooth = FSQ((8, 8, 6, 5)), FSQ((8, 8, 6, 5), rounded=False)
    assert not torch.equal(rounded(z), smooth(z))
    assert torch.equal(rounded.indices(rounded(z)), smooth.indices(smooth(z)))
    assert (rounded(z) - smooth(z)).abs().max() <= 0.5 / 2 + 1e-6
    assert smooth(z).abs().max() <= 1 + 1e-3


def test_usage_is_one_where_all_levels_are_equally_used_and_low_where_one_is():
    quantiser = FSQ((8, 5))
    every = quantiser.codes(torch.arange(40)) * (quantiser.levels // 2)
    half = (quantiser.levels - 1) * 1.001 / 2
    offset = torch.where(quantiser.levels % 2 == 0, 0.5, 0.0)
    z = torch.atanh((every + offset) / half) - torch.atanh(offset / half)
    assert quantiser.usage(z).min() > 0.99
    assert quantiser.usage(torch.zeros(40, 2)).max() < 0.45


def test_usage_can_be_raised_by_its_gradient():
    quantiser = FSQ((8, 8, 6, 5))
    z = (torch.randn(512, 4, generator=torch.Generator().manual_seed(0)) * 0.1).requires_grad_()
    used = lambda: quantiser.indices(quantiser(z)).unique().numel()  # noqa: E731
    before = used()
    optimiser = torch.optim.Adam([z], lr=0.05)
    for _ in range(60):
        optimiser.zero_grad()
        (-quantiser.usage(z).mean()).backward()
        optimiser.step()
    assert used() > 3 * before


def test_usage_has_finite_gradients_where_levels_differ_in_number():
    z = torch.zeros(3, 2, requires_grad=True)
    FSQ((2, 9)).usage(z).sum().backward()
    assert torch.isfinite(z.grad).all()
