import torch

from amplify.inverse.l1 import L1Head


def test_mean_absolute_error_over_valid_steps():
    head = L1Head(1, 2, discount=1.0)
    with torch.no_grad():
        head.out.weight.zero_()
        head.out.bias.zero_()
    target = torch.tensor([[[0.5, -0.5], [1.0, 0.0], [0.9, 0.9]]])
    loss = head.loss(torch.zeros(1, 3, 1), target, torch.tensor([[True, True, False]]))
    torch.testing.assert_close(loss, torch.tensor(0.5))
    assert head.sample(torch.zeros(1, 3, 1)).shape == (1, 3, 2)
