import pytest
import torch

from amplify.nn.dropout import Dropout


@pytest.mark.parametrize("probability", [0.1, 0.5])
def test_share_and_scale(probability):
    torch.manual_seed(0)
    x = torch.ones(200, 501)
    y = Dropout(probability)(x)
    dropped = (y == 0).float().mean().item()
    assert dropped == pytest.approx(probability, abs=0.01)
    assert y.mean().item() == pytest.approx(1, abs=0.01)
    assert y.unique().numel() == 2


def test_neighbours_are_independent():
    torch.manual_seed(0)
    y = Dropout(0.5)(torch.ones(100_000)) == 0
    for lag in (1, 7, 8):
        assert (y[lag:] & y[:-lag]).float().mean().item() == pytest.approx(0.25, abs=0.01)


def test_gradient_is_that_of_the_mask():
    torch.manual_seed(0)
    x = torch.randn(7, 3, requires_grad=True)
    y = Dropout(0.5)(x)
    y.sum().backward()
    assert torch.allclose(x.grad * x, y)


def test_evaluation_zero_and_seed():
    x = torch.randn(5, 9)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x
    draws = []
    for _ in range(2):
        torch.manual_seed(3)
        draws.append(Dropout(0.3)(x))
    assert torch.equal(*draws)
