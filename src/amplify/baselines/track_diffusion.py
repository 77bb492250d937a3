"""Track2Act's kind of track prediction: a denoiser over the whole set of trajectories.

Sources: Bharadhwaj et al., Track2Act, arXiv 2405.01527; Ho et al., DDPM, arXiv 2006.11239; Song et al., DDIM,
arXiv 2010.02502; Nichol and Dhariwal, arXiv 2102.09672 (squared-cosine schedule).
"""

import math
from typing import Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from amplify.baselines.points import (
    PointsConfig,
    PointTrunk,
    choose_paths,
    groups_of,
    spread_px,
    tracks_from_paths,
)
from amplify.types import Features, TrackWindow


class TrackDiffusionConfig(PointsConfig):
    """Sizes and schedule of the track denoiser.

    Args:
        levels: Noise levels of training.
        sampling_steps: Levels that sampling visits (DDIM).
        target: What the network gives: the "clean" trajectories or the "noise" in them.
    """

    levels: int = Field(default=100, ge=2)
    sampling_steps: int = Field(default=10, ge=1)
    target: Literal["clean", "noise"] = "clean"

    @model_validator(mode="after")
    def _few_steps(self) -> "TrackDiffusionConfig":
        if self.sampling_steps > self.levels:
            raise ValueError(f"{self.sampling_steps} sampling_steps for {self.levels} levels")
        return self

    @classmethod
    def paper(cls, **changes: Any) -> "TrackDiffusionConfig":
        """Track2Act's kind of size: 8 layers, width 384, a whole grid of 400 points denoised together."""
        return cls(**{"points": 400, **changes})

    @classmethod
    def quickstart(cls, **changes: Any) -> "TrackDiffusionConfig":
        """About 0.85 million parameters: 3 layers, width 128."""
        return cls(**{"width": 128, "layers": 3, "heads": 4, "points": 16, "sampling_steps": 5, **changes})


def squared_cosine(levels: int) -> Float[Tensor, " levels"]:
    """Share of signal power left at each noise level, from almost 1 to almost 0."""
    at = (torch.arange(levels, dtype=torch.float64) + 1) / levels
    share = ((at + 0.008) / 1.008 * math.pi / 2).cos().square() / math.cos(0.008 / 1.008 * math.pi / 2) ** 2
    return share.clamp(1e-4, 0.9999).float()


class TrackDiffusion(nn.Module):
    """p(trajectories of any points | image, instruction), drawn by removing noise from all of them together.

    Args:
        config: Sizes and schedule.
        vision_width: Channels of an image patch.
        patches: Patches of a view.
        views: Cameras.
        text_width: Channels of an instruction token.
        steps: Track steps to predict.
    """

    unit_px: Tensor
    signal: Tensor

    def __init__(
        self,
        config: TrackDiffusionConfig,
        *,
        vision_width: int,
        patches: int,
        views: int,
        text_width: int,
        steps: int,
    ):
        super().__init__()
        self.config, self.steps = config, steps
        shared = {"vision_width": vision_width, "patches": patches, "views": views, "text_width": text_width}
        self.dimensions: dict[str, Any] = {**shared, "steps": steps}
        self.trunk = PointTrunk(config, **shared)
        self.path = nn.Linear(steps * 2, config.width)
        self.level = nn.Embedding(config.levels, config.width)
        self.out = nn.Linear(config.width, steps * 2)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        self.register_buffer("unit_px", torch.ones(steps))
        self.register_buffer("signal", squared_cosine(config.levels), persistent=False)

    def fit_statistics(self, windows: TrackWindow) -> None:
        """Sets the unit of trajectories to how far moving points go.

        Args:
            windows: A few hundred training windows, batched.
        """
        self.unit_px.copy_(spread_px(windows, self.config))

    def loss(
        self, features: Features, tracks: TrackWindow, generator: torch.Generator | None = None
    ) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Mean squared error of the network's target at a random noise level, over known steps of random points.

        Args:
            features: Frozen features of the query frame and of the instruction.
            tracks: What followed, (b, v, t, n, 2).
            generator: Draws points, levels and noise.

        Returns:
            A scalar, and figures to log: ``error_px`` of the clean trajectories that the network sees in the noise.
        """
        chosen = choose_paths(tracks, self.config, generator)
        clean = chosen.path_px / self.unit_px[:, None]
        device = clean.device
        level = torch.randint(self.config.levels, (len(clean),), generator=generator, device=device)
        noise = torch.randn(clean.shape, generator=generator, device=device)
        signal = self.signal[level, None, None, None, None]
        noisy = signal.sqrt() * clean + (1 - signal).sqrt() * noise
        out = self._out(self.trunk.condition(features), chosen.queries, noisy, level)
        target = clean if self.config.target == "clean" else noise
        loss = (chosen.weight * (out - target).square().sum(dim=-1)).sum()
        with torch.no_grad():
            guess, _ = self._clean_and_noise(out, noisy, signal)
            error_px = ((guess - clean) * self.unit_px[:, None]).norm(dim=-1)
        return loss, {"error_px": (chosen.weight * error_px).sum()}

    @torch.no_grad()
    def predict(
        self,
        features: Features,
        queries: Float[Tensor, "#b v n 2"],
        *,
        generator: torch.Generator | None = None,
    ) -> TrackWindow:
        """The foreseen tracks, (b, v, t, n, 2), the query frame first; see `TrackPredictor`.

        Args:
            features: Frozen features of the query frame and of the instruction.
            queries: Normalised points in the query frame; they are denoised in groups of about as many as were learned
                from together.
            generator: Draws the first noise; without one sampling starts from the noise's mean, nothing, which in one
                trial was nearer to the truth than a fixed draw (7.9 px instead of 8.3 on moving points).
        """
        queries = queries.expand(len(features.vision), -1, -1, -1)
        condition = self.trunk.condition(features)
        path = queries.new_empty(*queries.shape[:3], self.steps, 2)
        for group in groups_of(queries.shape[2], self.config):
            part = queries[:, :, group]
            shape = (*part.shape[:3], self.steps, 2)
            if generator is None:
                noise = torch.zeros(shape, device=part.device)
            else:
                noise = torch.randn(shape, generator=generator, device=part.device)
            path[:, :, group] = self._denoise(condition, part, noise)
        return tracks_from_paths(queries, path * self.unit_px[:, None])

    def _denoise(self, condition: Tensor, queries: Tensor, noisy: Tensor) -> Tensor:
        visited = torch.linspace(self.config.levels - 1, 0, self.config.sampling_steps, device=queries.device)
        visited = visited.round().long()
        clean = noisy
        for place, level in enumerate(visited):
            signal = self.signal[level]
            out = self._out(condition, queries, noisy, level.expand(len(queries)))
            clean, noise = self._clean_and_noise(out, noisy, signal)
            if place + 1 < len(visited):
                after = self.signal[visited[place + 1]]
                noisy = after.sqrt() * clean + (1 - after).sqrt() * noise
        return clean

    def _out(self, condition: Tensor, queries: Tensor, noisy: Tensor, level: Tensor) -> Tensor:
        also = self.path(noisy.flatten(-2)) + self.level(level)[:, None, None]
        return self.out(self.trunk(condition, queries, also)).unflatten(-1, (self.steps, 2))

    def _clean_and_noise(self, out: Tensor, noisy: Tensor, signal: Tensor) -> tuple[Tensor, Tensor]:
        if self.config.target == "clean":
            return out, (noisy - signal.sqrt() * out) / (1 - signal).sqrt()
        return (noisy - (1 - signal).sqrt() * out) / signal.sqrt(), out
