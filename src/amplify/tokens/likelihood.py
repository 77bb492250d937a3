"""Cross-entropy and expected displacement of the local window, with one backward pass for both."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor


class _NegativeLogLikelihoodAndMean(torch.autograd.Function):
    """Both are functions of the same softmax p, so the gradient of the logits is one product with p.

    With upstream gradients a of −log p[target] and g of the mean m = Σ p·o:
    ∂/∂logits = p · (a + o·g − m·g) − a · onehot(target).
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, target: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
        log_p = logits.log_softmax(dim=-1)
        surprise = -log_p.gather(-1, target[..., None])[..., 0]
        p = log_p.exp_()
        mean = p @ offsets
        ctx.save_for_backward(p, mean, target, offsets)
        return surprise, mean

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        of_surprise, of_mean = gradients
        p, mean, target, offsets = ctx.saved_tensors
        constant = of_surprise - (mean * of_mean).sum(dim=-1)
        gradient = torch.addmm(constant.reshape(-1, 1), of_mean.reshape(-1, 2), offsets.T).view(p.shape)
        gradient.mul_(p).scatter_add_(-1, target[..., None], -of_surprise[..., None])
        return gradient, None, None


def surprise_and_mean(
    logits: Float[Tensor, "*b classes"], target: Int[Tensor, "*b"], offsets_px: Float[Tensor, "classes 2"]
) -> tuple[Float[Tensor, "*b"], Float[Tensor, "*b 2"]]:
    """Cross-entropy of each displacement's class in nats, and the mean displacement in pixels.

    The same figures and gradients as ``log_softmax``, ``gather`` and ``exp() @ offsets_px``, which walk over the
    logits eleven times on their way back; this walks over them three times. No second derivatives.

    Args:
        logits: Scores of the window's classes.
        target: The true class.
        offsets_px: Displacement of each class, from `LocalWindow.offsets_px`; gets no gradient.
    """
    with torch.autocast(logits.device.type, enabled=False):  # half precision would round displacements
        surprise, mean = _NegativeLogLikelihoodAndMean.apply(logits, target, offsets_px)  # type: ignore[misc]
    return surprise, mean
