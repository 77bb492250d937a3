import torch

from amplify.inverse.l1 import L1Head
from amplify.inverse.trunk import QueryTrunk


def test_mean_absolute_error_over_valid_steps():
    head = L1Head(QueryTrunk(1, 1, 1, 0.0, horizon=3), 2, discount=1.0)
    with torch.no_grad():
        head.out.weight.zero_()
        head.out.bias.zero_()
    target = torch.tensor([[[0.5, -0.5], [1.0, 0.0], [0.9, 0.9]]])
    loss, guess = head.loss(torch.zeros(1, 5, 1), target, torch.tensor([[True, True, False]]))
    torch.testing.assert_close(loss, torch.tensor(0.5))
    assert torch.equal(head.sample(torch.zeros(1, 5, 1)), guess)
    assert guess.shape == (1, 3, 2)
