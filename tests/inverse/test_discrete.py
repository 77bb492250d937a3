import pytest
import torch

from amplify.errors import DataError
from amplify.inverse.discrete import MOST_VALUES, DiscreteHead, MixedHead, split
from amplify.inverse.l1 import L1Head
from amplify.inverse.trunk import QueryTrunk


def make_trunk() -> QueryTrunk:
    torch.manual_seed(0)
    return QueryTrunk(8, 1, 2, 0.0, horizon=3)


def test_values_are_those_of_the_data():
    head = DiscreteHead(make_trunk(), 2, discount=1.0)
    head.fit(torch.tensor([[-1.0, 0.0], [1.0, 0.5], [-1.0, -0.5], [1.0, 0.0]]))
    assert head.known.sum(dim=1).tolist() == [2, 3]
    drawn = head.sample(torch.randn(200, 4, 8), generator=torch.Generator().manual_seed(0))
    assert set(drawn[..., 0].unique().tolist()) == {-1.0, 1.0}
    assert set(drawn[..., 1].unique().tolist()) == {-0.5, 0.0, 0.5}


def test_before_it_is_fitted_an_action_is_open_or_closed():
    drawn = DiscreteHead(make_trunk(), 1, discount=1.0).sample(
        torch.randn(50, 4, 8), generator=torch.Generator().manual_seed(0)
    )
    assert set(drawn.unique().tolist()) == {-1.0, 1.0}


def test_the_loss_is_the_cross_entropy_of_the_nearest_value():
    head = DiscreteHead(make_trunk(), 1, discount=1.0)
    with torch.no_grad():
        head.scores.weight.zero_()
        head.scores.bias.zero_()
        head.scores.bias[0] = torch.tensor(3.0).log()  # −1 three times as likely as 1
    context, valid = torch.zeros(1, 2, 8), torch.ones(1, 3, dtype=torch.bool)
    for target, chance in ((-0.9, 0.75), (0.8, 0.25)):
        loss, guess = head.loss(context, torch.full((1, 3, 1), target), valid)
        torch.testing.assert_close(loss, -torch.tensor(chance).log())
        assert (guess == -1).all()


def test_too_many_values_are_refused():
    head = DiscreteHead(make_trunk(), 2, discount=1.0)
    actions = torch.stack((torch.zeros(20), torch.arange(20.0)), dim=1)
    with pytest.raises(DataError, match="part 1 takes many values") as caught:
        head.fit(actions)
    assert caught.value.got == 20
    assert str(MOST_VALUES) in caught.value.allowed


def test_each_dimension_comes_back_in_its_place():
    torch.manual_seed(0)
    parts = split((2, 0), 4)
    assert parts == ([2, 0], [1, 3])
    mixed = MixedHead(DiscreteHead(make_trunk(), 2, discount=1.0), L1Head(make_trunk(), 2, discount=1.0), parts)
    mixed.fit(torch.tensor([[0.1, 0.7, 0.3, 0.9], [0.2, 0.8, 0.4, 0.6]]))
    context = torch.randn(5, 4, 8)
    sample = mixed.sample(context)
    torch.testing.assert_close(sample[..., [2, 0]], mixed.discrete.sample(context))
    torch.testing.assert_close(sample[..., [1, 3]], mixed.continuous.sample(context))
    assert set(sample[..., 2].unique().tolist()) <= set(torch.tensor([0.3, 0.4]).tolist())


def test_the_loss_is_the_mean_over_all_dimensions():
    mixed = MixedHead(
        DiscreteHead(make_trunk(), 1, discount=1.0), L1Head(make_trunk(), 3, discount=1.0), split((1,), 4)
    )
    context, target, valid = torch.randn(2, 4, 8), torch.rand(2, 3, 4), torch.ones(2, 3, dtype=torch.bool)
    parts = (
        mixed.discrete.loss(context, target[..., [1]], valid)[0],
        mixed.continuous.loss(context, target[..., [0, 2, 3]], valid)[0],
    )
    torch.testing.assert_close(mixed.loss(context, target, valid)[0], (parts[0] + 3 * parts[1]) / 4)
