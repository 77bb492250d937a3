"""Actions drawn by following a flow from noise.

Source: Lipman et al., Flow Matching for Generative Modeling, arXiv 2210.02747 (conditional optimal-transport path).
"""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from amplify.inverse.denoiser import Denoiser, repeated
from amplify.inverse.discount import discounted_mean
from amplify.inverse.noise import Foretold, fixed_noise, starts
from amplify.inverse.query_denoiser import QueryDenoiser

Velocity = Callable[[Tensor, float], Tensor]


def _euler(velocity: Velocity, x: Tensor, time: float, step: float) -> Tensor:
    return x + step * velocity(x, time)


def _midpoint(velocity: Velocity, x: Tensor, time: float, step: float) -> Tensor:
    half = x + step / 2 * velocity(x, time)
    return x + step * velocity(half, time + step / 2)


def _heun(velocity: Velocity, x: Tensor, time: float, step: float) -> Tensor:
    first = velocity(x, time)
    return x + step / 2 * (first + velocity(x + step * first, time + step))


SAMPLERS: dict[str, Callable[[Velocity, Tensor, float, float], Tensor]] = {
    "euler": _euler,
    "midpoint": _midpoint,
    "heun": _heun,
}
"""One step of an integrator: velocity, where, when, how far."""


class FlowHead(nn.Module):
    """p(actions | context) by a flow: the network foretells the velocity actions − noise on the way, or the actions.

    Args:
        denoiser: Actions on the way, time in [0, 1] and context → what is foretold.
        discount: Weight of step t is discount^t.
        sampler: "euler", "midpoint" or "heun".
        sampling_steps: Steps from noise to actions.
        foretells: "noise" (the velocity) or "actions".
        noise_draws: Noises and times with which each training chunk is seen in one step.
        mean_draws: Draws whose mean stands for the likeliest actions.
        clip_samples: Whether drawn actions are clamped into [−1, 1].
    """

    noise: Tensor

    def __init__(
        self,
        denoiser: Denoiser | QueryDenoiser,
        *,
        discount: float,
        sampler: Literal["euler", "midpoint", "heun"],
        sampling_steps: int,
        foretells: Foretold = "noise",
        noise_draws: int = 1,
        mean_draws: int = 1,
        clip_samples: bool = True,
    ):
        super().__init__()
        self.denoiser = denoiser
        self.discount, self.sampling_steps, self.clip = discount, sampling_steps, clip_samples
        self.foretells, self.noise_draws, self.mean_draws = foretells, noise_draws, mean_draws
        self.integrate = SAMPLERS[sampler]
        self.register_buffer("noise", fixed_noise(mean_draws, denoiser.action_shape), persistent=False)

    def loss(
        self,
        context: Float[Tensor, "b c w"],
        target: Float[Tensor, "b s a"],
        valid: Bool[Tensor, "b s"],
        *,
        generator: torch.Generator | None = None,
    ) -> tuple[Float[Tensor, ""], Float[Tensor, "b s a"]]:
        """Mean squared error of what is foretold at random times, and the actions that it leads to."""
        seen = repeated(self.denoiser.see(context), self.noise_draws)
        target, valid = (x.repeat_interleave(self.noise_draws, dim=0) for x in (target, valid))
        time = torch.rand(len(target), generator=generator, dtype=target.dtype, device=target.device)
        noise = torch.randn(target.shape, generator=generator, dtype=target.dtype, device=target.device)
        way = torch.lerp(noise, target, time[:, None, None])
        foretold = self.denoiser(way, time, seen, valid)
        wanted = target - noise if self.foretells == "noise" else target
        error = discounted_mean((foretold - wanted).square(), valid, self.discount)
        guess = foretold.detach()
        if self.foretells == "noise":
            guess = way + (1 - time[:, None, None]) * guess
        return error, guess.unflatten(0, (-1, self.noise_draws)).mean(dim=1)

    @torch.no_grad()
    def sample(
        self, context: Float[Tensor, "b c w"], *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "b s a"]:
        """A draw of the actions; without a generator the mean of those that belong to fixed noise."""
        draws = self.mean_draws if generator is None else 1
        seen = repeated(self.denoiser.see(context), draws)

        def velocity(x: Tensor, time: float) -> Tensor:
            foretold = self.denoiser(x, x.new_full((x.shape[0],), time), seen)
            return foretold if self.foretells == "noise" else (foretold - x) / (1 - time)

        x = starts(self.noise, context, generator)
        for step in range(self.sampling_steps):
            x = self.integrate(velocity, x, step / self.sampling_steps, 1 / self.sampling_steps)
        x = x.clamp(-1, 1) if self.clip else x
        return x.unflatten(0, (-1, draws)).mean(dim=1)
