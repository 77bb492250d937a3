import torch
from torch.distributions import Normal

from amplify.inverse.discount import discounted_mean
from amplify.inverse.gaussian import GaussianHead, nll
from amplify.inverse.trunk import QueryTrunk


def fixed_head(mean: float, std: float = 0.1, discount: float = 0.99) -> GaussianHead:
    head = GaussianHead(QueryTrunk(1, 1, 1, 0.0, horizon=1), 1, discount=discount, std=std)
    with torch.no_grad():
        head.mean.weight.zero_()
        head.mean.bias.fill_(torch.atanh(torch.tensor(mean)))
    return head


def test_the_density_integrates_to_one_even_at_the_border():
    grid = torch.linspace(-1, 1, 801)
    for mean in (0.0, 0.95):
        density = (-nll(grid[:, None, None], torch.full((801, 1, 1), mean), torch.tensor(0.1))).exp()
        assert abs(torch.trapezoid(density.flatten(), grid).item() - 1) < 1e-3


def test_a_learned_deviation_finds_that_of_the_data():
    torch.manual_seed(0)
    head = GaussianHead(QueryTrunk(8, 1, 1, 0.0, horizon=1), 1, discount=1.0, std=0.3, std_kind="learned")
    optimiser = torch.optim.Adam(head.parameters(), lr=1e-2)
    context, valid = torch.zeros(512, 2, 8), torch.ones(512, 1, dtype=torch.bool)
    for _ in range(100):
        loss, _ = head.loss(context, 0.05 * torch.randn(512, 1, 1), valid)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    mean, std = head.distribution(context)
    assert mean.abs().max() < 0.03
    assert (std - 0.05).abs().max() < 0.015
    assert head.sample(context, generator=torch.Generator().manual_seed(0)).std() < 0.08


def test_far_from_the_border_it_is_the_plain_normal():
    loss, _ = fixed_head(0.2).loss(torch.zeros(1, 1, 1), torch.tensor([[[0.35]]]), torch.ones(1, 1, dtype=torch.bool))
    torch.testing.assert_close(loss, -Normal(0.2, 0.1).log_prob(torch.tensor(0.35)))


def test_discount_and_mask_by_hand():
    error = torch.tensor([[[1.0], [3.0], [100.0]]])
    valid = torch.tensor([[True, True, False]])
    torch.testing.assert_close(discounted_mean(error, valid, 0.5), torch.tensor((1 + 0.5 * 3) / 1.5))
    assert discounted_mean(error, torch.zeros_like(valid), 0.5) == 0


def test_samples_are_truncated_and_spread_around_the_mean():
    head, context = fixed_head(0.9), torch.zeros(4000, 1, 1)
    assert (head.sample(context) == head.sample(context)).all()
    torch.testing.assert_close(head.sample(context)[0, 0, 0].item(), 0.9, atol=1e-4, rtol=0)
    drawn = head.sample(context, generator=torch.Generator().manual_seed(0))
    assert drawn.max() <= 1
    assert drawn.std() > 0.05
    # The mean of a normal around 0.9 cut off one deviation above: 0.9 − 0.1 · φ(1) / Φ(1) = 0.871.
    assert abs(drawn.mean().item() - 0.8712) < 0.005
