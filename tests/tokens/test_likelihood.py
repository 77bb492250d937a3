import torch

from amplify.tokens.likelihood import surprise_and_mean
from amplify.tokens.local_window import LocalWindow


def plain(logits, target, offsets):
    log_p = logits.log_softmax(dim=-1)
    return -log_p.gather(-1, target[..., None])[..., 0], log_p.exp() @ offsets


def test_figures_and_gradients_are_those_of_the_plain_formula():
    generator = torch.Generator().manual_seed(0)
    logits = (torch.randn(2, 3, 5, 25, generator=generator, dtype=torch.float64) * 4).requires_grad_()
    target = torch.randint(25, (2, 3, 5), generator=generator)
    upstream = torch.randn(2, 3, 5, generator=generator).double(), torch.randn(2, 3, 5, 2, generator=generator).double()
    results = []
    for function in (plain, surprise_and_mean):
        surprise, mean = function(logits, target, LocalWindow(5).offsets_px().double())
        (gradient,) = torch.autograd.grad((surprise * upstream[0]).sum() + (mean * upstream[1]).sum(), logits)
        results.append((surprise, mean, gradient))
    for one, other in zip(*results):
        torch.testing.assert_close(one, other)


def test_a_class_that_is_all_but_impossible_keeps_a_finite_surprise():
    logits = torch.zeros(1, 9)
    logits[0, 0] = -1000.0
    surprise, _ = surprise_and_mean(logits, torch.zeros(1, dtype=torch.long), LocalWindow(3).offsets_px())
    assert surprise.item() > 999


def test_one_of_the_two_may_go_unused():
    logits = torch.randn(4, 9, requires_grad=True)
    target = torch.arange(4)
    offsets = LocalWindow(3).offsets_px()
    surprise, mean = surprise_and_mean(logits, target, offsets)
    (alone,) = torch.autograd.grad(surprise.sum(), logits, retain_graph=True)
    torch.testing.assert_close(alone, torch.autograd.grad(plain(logits, target, offsets)[0].sum(), logits)[0])
    (alone,) = torch.autograd.grad(mean.sum(), logits)
    torch.testing.assert_close(alone, torch.autograd.grad(plain(logits, target, offsets)[1].sum(), logits)[0])
