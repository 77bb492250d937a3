"""Actions drawn by removing noise.

Sources: Ho et al., DDPM, arXiv 2006.11239; Song et al., DDIM, arXiv 2010.02502; Nichol and Dhariwal, arXiv 2102.09672
(squared-cosine schedule); Chi et al., Diffusion Policy, arXiv 2303.04137.
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from amplify.inverse.denoiser import Denoiser, Seen, repeated
from amplify.inverse.discount import discounted_mean
from amplify.inverse.noise import Foretold, draw, fixed_noise, starts
from amplify.inverse.query_denoiser import QueryDenoiser


def squared_cosine_betas(levels: int) -> list[float]:
    """Share of the signal's power that each noise level takes away, at most 0.999."""

    def left(share: float) -> float:
        return math.cos((share + 0.008) / 1.008 * math.pi / 2) ** 2

    return [min(1 - left((i + 1) / levels) / left(i / levels), 0.999) for i in range(levels)]


class DiffusionHead(nn.Module):
    """p(actions | context) by denoising: the network foretells the noise in a noisy chunk, or the clean actions.

    Args:
        denoiser: Noisy actions, level and context → what is foretold.
        betas: Share of the signal's power that each level takes away.
        discount: Weight of step t is discount^t.
        sampler: "ddim" or "ddpm".
        sampling_steps: Levels that DDIM visits.
        foretells: "noise" or "actions".
        noise_draws: Noise levels at which each training chunk is seen in one step.
        mean_draws: Draws whose mean stands for the likeliest actions.
        clip_samples: Whether the clean actions foreseen at each level are clamped into [−1, 1].
    """

    signal: Tensor
    noise: Tensor
    start: Tensor

    def __init__(
        self,
        denoiser: Denoiser | QueryDenoiser,
        betas: Sequence[float],
        *,
        discount: float,
        sampler: Literal["ddim", "ddpm"],
        sampling_steps: int,
        foretells: Foretold = "noise",
        noise_draws: int = 1,
        mean_draws: int = 1,
        clip_samples: bool = True,
    ):
        super().__init__()
        self.denoiser = denoiser
        self.discount, self.sampler, self.sampling_steps, self.clip = discount, sampler, sampling_steps, clip_samples
        self.foretells, self.noise_draws, self.mean_draws = foretells, noise_draws, mean_draws
        signal = (1 - torch.tensor(betas, dtype=torch.float32, device="cpu")).cumprod(dim=0)
        self.register_buffer("signal", signal, persistent=False)
        self.register_buffer("noise", fixed_noise(len(signal), denoiser.action_shape), persistent=False)
        # One start is the top level's noise; several have noise of their own.
        start = self.noise[-1:] if mean_draws == 1 else fixed_noise(mean_draws, denoiser.action_shape)
        self.register_buffer("start", start.clone(), persistent=False)

    def loss(
        self,
        context: Float[Tensor, "b c w"],
        target: Float[Tensor, "b s a"],
        valid: Bool[Tensor, "b s"],
        *,
        generator: torch.Generator | None = None,
    ) -> tuple[Float[Tensor, ""], Float[Tensor, "b s a"]]:
        """Mean squared error of what is foretold at random levels, and the clean actions seen in the noise."""
        seen = repeated(self.denoiser.see(context), self.noise_draws)
        target, valid = (x.repeat_interleave(self.noise_draws, dim=0) for x in (target, valid))
        level = torch.randint(len(self.signal), (len(target),), generator=generator, device=target.device)
        noise = torch.randn(target.shape, generator=generator, dtype=target.dtype, device=target.device)
        noisy = self.add_noise(target, noise, level)
        foretold = self.denoiser(noisy, level.to(target.dtype), seen, valid)
        wanted = noise if self.foretells == "noise" else target
        error = discounted_mean((foretold - wanted).square(), valid, self.discount)
        guess = self._clean(noisy, foretold.detach(), self.signal[level, None, None])
        return error, guess.unflatten(0, (-1, self.noise_draws)).mean(dim=1)

    @torch.no_grad()
    def sample(
        self, context: Float[Tensor, "b c w"], *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "b s a"]:
        """A draw of the actions; without a generator the mean of those that belong to fixed noise."""
        draws = self.mean_draws if generator is None else 1
        seen = repeated(self.denoiser.see(context), draws)
        noisy = starts(self.start, context, generator)
        drawn = self._ddpm(noisy, seen, generator) if self.sampler == "ddpm" else self._ddim(noisy, seen)
        return drawn.unflatten(0, (-1, draws)).mean(dim=1)

    def add_noise(
        self, clean: Float[Tensor, "b s a"], noise: Float[Tensor, "b s a"], level: Int[Tensor, " b"]
    ) -> Float[Tensor, "b s a"]:
        """Actions as noisy as they are at a level, 0 the least."""
        signal = self.signal[level, None, None]
        return signal.sqrt() * clean + (1 - signal).sqrt() * noise

    def _ddpm(self, noisy: Tensor, seen: Seen, generator: torch.Generator | None) -> Tensor:
        for level in range(len(self.signal) - 1, 0, -1):
            signal, less = self.signal[level], self.signal[level - 1]
            clean = self._clean(noisy, self._foretold(noisy, level, seen), signal)
            kept = signal / less
            # Mean and variance of the chunk one level down, given this one and the clean actions.
            mean = (less.sqrt() * (1 - kept) * clean + kept.sqrt() * (1 - less) * noisy) / (1 - signal)
            deviation = ((1 - less) / (1 - signal) * (1 - kept)).sqrt()
            noisy = mean + deviation * draw(self.noise[level - 1], noisy, generator)
        return self._clean(noisy, self._foretold(noisy, 0, seen), self.signal[0])

    def _ddim(self, noisy: Tensor, seen: Seen) -> Tensor:
        top, last = len(self.signal) - 1, max(1, self.sampling_steps - 1)
        visited = [round(top * (1 - step / last)) for step in range(self.sampling_steps)]
        clean = noisy
        for place, level in enumerate(visited):
            signal = self.signal[level]
            clean = self._clean(noisy, self._foretold(noisy, level, seen), signal)
            if place + 1 < len(visited):
                less = self.signal[visited[place + 1]]
                noise = (noisy - signal.sqrt() * clean) / (1 - signal).sqrt()
                noisy = less.sqrt() * clean + (1 - less).sqrt() * noise
        return clean

    def _foretold(self, noisy: Tensor, level: int, seen: Seen) -> Tensor:
        return self.denoiser(noisy, noisy.new_full((noisy.shape[0],), level), seen)

    def _clean(self, noisy: Tensor, foretold: Tensor, signal: Tensor) -> Tensor:
        clean = foretold
        if self.foretells == "noise":
            clean = (noisy - (1 - signal).sqrt() * foretold) / signal.sqrt()
        return clean.clamp(-1, 1) if self.clip else clean
