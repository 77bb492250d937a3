"""The motion tokenizer: an autoencoder of keypoint velocities with a finite scalar quantiser between."""

import math
from typing import Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import smooth_l1_loss

from amplify.config import Config
from amplify.coords import EVALUATION_SIZE_PX, displacements_from_pixels
from amplify.errors import pick
from amplify.nn.fsq import FSQ
from amplify.tokens import local_window
from amplify.tokens.decoder import TokenDecoder
from amplify.tokens.encoder import TokenEncoder
from amplify.tokens.likelihood import surprise_and_mean
from amplify.tokens.targets import MotionTargets, motion_targets
from amplify.tokens.weights import known_steps, known_velocities
from amplify.types import MotionTokens, TrackWindow


class TokenizerConfig(Config):
    """Sizes and loss of the motion tokenizer.

    Args:
        views: Cameras.
        points: Points a view (20×20 in the paper).
        steps: Track steps, one less than the horizon's frames; also the number of tokens.
        width: Channels of both transformers.
        heads: Attention heads.
        encoder_layers: Blocks of the encoder.
        decoder_layers: Layers of the decoder.
        decoder_hidden: Channels of the decoder's MLP.
        code_in_query: Whether each step of the decoder starts from its own code; if not, from its position alone, as in
            the paper, and has to learn where to look. One trial (6 tasks, 300 steps, one seed): 4.1 px instead of
            5.4 px on moving points.
        key_positions: Whether codes carry their positions where the decoder's steps attend to them; without, a step
            cannot tell codes apart by their place.
        dropout: Residual dropout of both transformers.
        levels: FSQ levels; their product is the codebook size.
        window: Side of the local window in pixels of a 128×128 frame, odd.
        encoder_mask: Which steps a step of the encoder may see.
        subset_points: Points a view that enter the loss, drawn anew for every window, half of them moving; 0 = all.
        moving_px: Path length above which a point counts as moving, pixels of a 128×128 frame.
        centre_bias: First logit of the class "does not move".
        regression_weight: Weight of the smooth L1 distance between expected and true displacement in pixels.
        path_weight: Weight of the same distance between the summed expected displacements and the true position,
            relative to the query frame: small errors of one sign add up along a path.
        agreement_px: The tracker's error below which a step is trusted, pixels of a 128×128 frame.
        disagreement_weight: Loss weight of steps that are not.
        view_weights: Loss weight of each view; equal where empty.
    """

    views: int = Field(default=2, ge=1)
    points: int = Field(default=400, ge=1)
    steps: int = Field(default=15, ge=1)
    width: int = Field(default=768, ge=1)
    heads: int = Field(default=8, ge=1)
    encoder_layers: int = Field(default=2, ge=1)
    decoder_layers: int = Field(default=1, ge=1)
    decoder_hidden: int = Field(default=256, ge=1)
    code_in_query: bool = False
    key_positions: bool = True
    dropout: float = Field(default=0.0, ge=0, lt=1)
    levels: tuple[int, ...] = (8, 8, 6, 5)
    window: int = Field(default=15, ge=3)
    encoder_mask: Literal["causal", "per-step", "full"] = "causal"
    subset_points: int = Field(default=0, ge=0)
    moving_px: float = Field(default=1.0, ge=0)
    centre_bias: float = 0.0
    regression_weight: float = Field(default=0.0, ge=0)
    path_weight: float = Field(default=0.0, ge=0)
    agreement_px: float = Field(default=1.0, gt=0)
    disagreement_weight: float = Field(default=0.1, ge=0)
    view_weights: tuple[float, ...] = ()

    @model_validator(mode="after")
    def _fits_together(self) -> "TokenizerConfig":
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not divisible by {self.heads} heads")
        if self.window % 2 == 0:
            raise ValueError(f"window {self.window} must be odd: it has a centre")
        if self.view_weights and len(self.view_weights) != self.views:
            raise ValueError(f"{len(self.view_weights)} view_weights for {self.views} views")
        return self

    @property
    def codebook_size(self) -> int:
        """Number of codes."""
        return math.prod(self.levels)

    @classmethod
    def paper(cls, **changes: Any) -> "TokenizerConfig":
        """The paper's size: third-person and wrist view, 20×20 points, width 768."""
        return cls(**{"view_weights": (0.9, 0.1), **changes})

    @classmethod
    def quickstart(cls, **changes: Any) -> "TokenizerConfig":
        """About a million parameters, trained in minutes on one core: one view, 10×10 points, width 128."""
        small = {
            "views": 1,
            "points": 100,
            "width": 128,
            "heads": 4,
            "decoder_hidden": 256,
            "code_in_query": True,
            "subset_points": 8,
            "centre_bias": 5.0,
            "regression_weight": 1.0,
            "path_weight": 0.2,
        }
        return cls(**{**small, **changes})


class MotionTokenizer(nn.Module):
    """Tracks ↔ motion tokens.

    Args:
        config: Sizes and loss.
    """

    velocity_scale_px: Tensor
    offsets_px: Tensor
    view_weights: Tensor

    def __init__(self, config: TokenizerConfig):
        super().__init__()
        self.config = config
        self.dimensions: dict[str, Any] = {}
        shared = {"width": config.width, "heads": config.heads, "dropout": config.dropout}
        self.encoder = TokenEncoder(
            views=config.views,
            points=config.points,
            steps=config.steps,
            layers=config.encoder_layers,
            out=len(config.levels),
            mask=config.encoder_mask,
            **shared,
        )
        self.quantiser = FSQ(config.levels)
        self.decoder = TokenDecoder(
            views=config.views,
            steps=config.steps,
            layers=config.decoder_layers,
            hidden=config.decoder_hidden,
            code_width=len(config.levels),
            code_in_query=config.code_in_query,
            key_positions=config.key_positions,
            window=config.window,
            centre_bias=config.centre_bias,
            **shared,
        )
        weights = torch.tensor(config.view_weights or (1.0,) * config.views)
        self.register_buffer("view_weights", weights * config.views / weights.sum(), persistent=False)
        self.register_buffer("offsets_px", local_window.offsets_px(config.window), persistent=False)
        self.register_buffer("velocity_scale_px", torch.ones(()))

    @property
    def codebook_size(self) -> int:
        """Number of codes."""
        return self.config.codebook_size

    @torch.no_grad()
    def fit_statistics(self, windows: TrackWindow) -> None:
        """Sets the unit of the encoder's input to the root mean square of the known velocities.

        Args:
            windows: A few hundred training windows, batched.
        """
        known = known_steps(windows)
        squared = local_window.velocities_to_pixels(known_velocities(windows)).square().sum()
        self.velocity_scale_px.copy_((squared / (2 * known.sum().clamp_min(1))).sqrt().clamp_min(1e-3))

    def _quantised(self, window: TrackWindow) -> Float[Tensor, "b k c"]:
        velocities_px = local_window.velocities_to_pixels(known_velocities(window))
        return self.quantiser(self.encoder(velocities_px / self.velocity_scale_px).float())

    def encode(self, window: TrackWindow) -> MotionTokens:
        """The window's motion tokens, one a step; unknown velocities count as zero.

        Args:
            window: (*b, views, steps + 1, points, 2), points in the order of training.
        """
        lead = window.points.shape[:-4]
        flat = window.map(lambda x: x.reshape(-1, *x.shape[len(lead) :]))
        indices = self.quantiser.indices(self._quantised(flat))
        return MotionTokens(indices=indices.reshape(*lead, -1))

    def codes(self, tokens: MotionTokens) -> Float[Tensor, "*b k c"]:
        """The FSQ vectors of tokens, one channel a level, in [−1, 1]."""
        return self.quantiser.codes(tokens.indices)

    @torch.no_grad()
    def embed(self, tokens: MotionTokens, kind: Literal["codes", "steps", "none"]) -> Float[Tensor, "*b k e"]:
        """Tokens as inverse dynamics sees them.

        Args:
            tokens: (*b, k).
            kind: "codes" are the FSQ vectors; "steps" are the decoder's states, in which similar motions are close;
                "none" are zeros.
        """
        codes = self.codes(tokens)
        if kind == "none":
            return torch.zeros_like(codes)
        if kind == "codes":
            return codes
        return self.decoder(codes.reshape(-1, *codes.shape[-2:])).reshape(*codes.shape[:-1], -1)

    def embedding_width(self, kind: Literal["codes", "steps", "none"]) -> int:
        """Channels of `embed`."""
        return self.config.width if kind == "steps" else len(self.config.levels)

    @torch.no_grad()
    def decode(
        self, tokens: MotionTokens, queries: Float[Tensor, "*q n 2"], *, mode: str = "expectation-on-moving"
    ) -> TrackWindow:
        """The tracks that tokens stand for; every point is marked visible and valid, coordinates are never clamped.

        Args:
            tokens: (*b, k).
            queries: Normalised start points: (n, 2) for all views, (v, n, 2), or (*b, v, n, 2).
            mode: "argmax" takes the likeliest displacement of each step, "expectation" the mean one,
                "expectation-on-moving" the mean only where the likeliest path moves at all: on static points the mean
                would add a drift.

        Raises:
            UnknownNameError: No such mode.
        """
        return self.decode_codes(self.codes(tokens), queries, mode=mode)

    @torch.no_grad()
    def decode_codes(
        self, codes: Float[Tensor, "*b k c"], queries: Float[Tensor, "*q n 2"], *, mode: str = "expectation-on-moving"
    ) -> TrackWindow:
        """As `decode`, for FSQ vectors that need not lie on the levels, such as means over several futures.

        Args:
            codes: (*b, k, c), in [−1, 1].
            queries: As in `decode`.
            mode: As in `decode`.

        Raises:
            UnknownNameError: No such mode.
        """
        rule = pick(mode, _DECODINGS, kind="decoding mode")
        lead, views = codes.shape[:-2], self.config.views
        flat = codes.reshape(-1, *codes.shape[-2:])
        n = queries.shape[-2]
        starts = queries.expand(views, n, 2)[None] if queries.ndim < 4 else queries.reshape(-1, views, n, 2)
        logits = self.decoder.logits(self.decoder(flat), starts)
        steps = displacements_from_pixels(rule(logits, self.offsets_px), EVALUATION_SIZE_PX)  # (b, v, t, n, 2)
        begin = starts[:, :, None].expand(len(flat), -1, -1, -1, -1)
        points = torch.cat((begin, begin + steps.cumsum(dim=2)), dim=2)
        points = points.reshape(*lead, *points.shape[1:])
        everywhere = torch.ones(points.shape[:-1], dtype=torch.bool, device=points.device)
        return TrackWindow(points=points, visible=everywhere, valid=everywhere[..., 0])

    def _targets(self, window: TrackWindow, generator: torch.Generator | None) -> MotionTargets:
        return motion_targets(
            window,
            subset_points=self.config.subset_points,
            moving_px=self.config.moving_px,
            agreement_px=self.config.agreement_px,
            disagreement_weight=self.config.disagreement_weight,
            view_weights=self.view_weights,
            generator=generator,
        )

    def loss(
        self, window: TrackWindow, *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Cross-entropy over the local window and the auxiliary regression, on known steps.

        Args:
            window: A batch (b, v, t, n, 2).
            generator: Draws the points that count.

        Returns:
            A scalar, and figures to log: ``cross_entropy``, ``regression`` and ``path`` (pixels), ``clipped_share``
            (of the known steps that count) and ``codes_used`` (distinct codes in the batch).
        """
        config = self.config
        codes = self._quantised(window)
        targets = self._targets(window, generator)
        weight = targets.velocity_weight
        logits = self.decoder.logits(self.decoder(codes), targets.queries).float()
        target = local_window.classes(targets.velocities_px, config.window)
        surprise, expected_px = surprise_and_mean(logits, target, self.offsets_px)
        cross_entropy = (weight * surprise).sum()
        logs: dict[str, float | Tensor] = {"cross_entropy": cross_entropy.detach()}
        loss = cross_entropy
        if config.regression_weight:
            regression = _distance(expected_px, targets.velocities_px, weight)
            loss = loss + config.regression_weight * regression
            logs["regression"] = regression.detach()
        if config.path_weight:
            path = _distance(expected_px.cumsum(dim=2), targets.path_px, targets.path_weight)
            loss = loss + config.path_weight * path
            logs["path"] = path.detach()
        logs["clipped_share"] = (weight * local_window.clipped(targets.velocities_px, config.window)).sum()
        logs["codes_used"] = float(self.quantiser.indices(codes.detach()).unique().numel())
        return loss, logs


def _distance(px: Tensor, target_px: Tensor, weight: Tensor) -> Tensor:
    return (weight * smooth_l1_loss(px, target_px, reduction="none").sum(dim=-1)).sum()


def _argmax(logits: Tensor, offsets_px: Tensor) -> Tensor:
    return offsets_px[logits.argmax(dim=-1)]


def _expectation(logits: Tensor, offsets_px: Tensor) -> Tensor:
    return logits.softmax(dim=-1) @ offsets_px


def _expectation_on_moving(logits: Tensor, offsets_px: Tensor) -> Tensor:
    likeliest = _argmax(logits, offsets_px)
    moves = (likeliest != 0).flatten(-1).any(dim=-1).any(dim=2, keepdim=True)  # (b, v, 1, n)
    return torch.where(moves[..., None], _expectation(logits, offsets_px), likeliest)


_DECODINGS = {"argmax": _argmax, "expectation": _expectation, "expectation-on-moving": _expectation_on_moving}
