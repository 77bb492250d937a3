"""The motion tokenizer: an autoencoder of keypoint velocities with a finite scalar quantiser between."""

from collections.abc import Sequence
from logging import getLogger
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import smooth_l1_loss

from amplify.coords import displacements_from_pixels
from amplify.errors import UsageError, pick
from amplify.nn.fsq import FSQ
from amplify.nn.shapes import require_axes
from amplify.tokens import camera_motion, local_window
from amplify.tokens.clipping import clipping
from amplify.tokens.config import TokenizerConfig
from amplify.tokens.decoder import TokenDecoder
from amplify.tokens.decoding import DECODINGS
from amplify.tokens.encoder import TokenEncoder
from amplify.tokens.likelihood import surprise_and_mean
from amplify.tokens.targets import motion_targets
from amplify.tokens.weights import known_steps, known_velocities
from amplify.types import MotionTokens, TrackWindow

_log = getLogger(__name__)


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
        self.encoder = TokenEncoder(config)
        self.quantiser = FSQ(config.levels, rounded=config.quantised)
        self.decoder = TokenDecoder(config)
        weights = torch.tensor(config.view_weights or (1.0,) * config.views)
        self.register_buffer("view_weights", weights * config.views / weights.sum(), persistent=False)
        self.register_buffer("offsets_px", config.local_window.offsets_px(), persistent=False)
        self.register_buffer("velocity_scale_px", torch.ones(()))

    @property
    def codebook_size(self) -> int:
        """Number of codes."""
        return self.config.codebook_size

    @property
    def tokens(self) -> int:
        """Motion tokens of a window."""
        return self.config.tokens

    @torch.no_grad()
    def fit_statistics(self, windows: TrackWindow) -> None:
        """Sets the unit of the encoder's input to the root mean square of the known velocities.

        Warns where more than 1 % of the motion lies beyond the local window.

        Args:
            windows: A few hundred training windows, batched.
        """
        report = clipping(windows, self.config)
        if report.moving_share > 0.01:
            _log.warning(
                "%.1f %% of the steps that move lie beyond the local window (up to %.0f px along an axis, %.0f px fit) "
                "and are learned as shorter ones: consider window_spacing='log', a larger window or "
                "camera_motion='removed'",
                100 * report.moving_share,
                report.largest_px,
                self.offsets_px.max().item(),
            )
        windows = self._stabilised(windows)
        known = known_steps(windows)
        squared = local_window.velocities_to_pixels(known_velocities(windows)).square().sum()
        self.velocity_scale_px.copy_((squared / (2 * known.sum().clamp_min(1))).sqrt().clamp_min(1e-3))

    def _stabilised(self, window: TrackWindow) -> TrackWindow:
        if self.config.camera_motion == "kept":
            return window
        return camera_motion.remove(window, camera_motion.estimate(window))

    def latents(self, window: TrackWindow) -> Float[Tensor, "b k c"]:
        """What the quantiser bounds and rounds, one channel an FSQ level; unknown velocities count as zero.

        Args:
            window: (b, views, steps + 1, points, 2), points in the order of training.

        Raises:
            DataError: Other views, steps or points than those of training.
        """
        self._require(window)
        return self._latents(self._stabilised(window))

    def _require(self, window: TrackWindow) -> None:
        config = self.config
        require_axes("tracks", window.visible, views=config.views, frames=config.steps + 1, points=config.points)

    def _latents(self, stabilised: TrackWindow) -> Tensor:
        velocities_px = local_window.velocities_to_pixels(known_velocities(stabilised))
        return self.encoder(velocities_px / self.velocity_scale_px).float()

    def encode(self, window: TrackWindow) -> MotionTokens:
        """The window's motion tokens; unknown velocities count as zero.

        Args:
            window: (*b, views, steps + 1, points, 2), points in the order of training.

        Raises:
            DataError: Other views, steps or points than those of training.
        """
        return MotionTokens(indices=self.quantiser.indices(self.encode_codes(window)))

    def encode_codes(self, window: TrackWindow) -> Float[Tensor, "*b k c"]:
        """The window's codes: the FSQ vectors of its tokens, or continuous ones where the tokenizer does not quantise.

        Args:
            window: As in `encode`.

        Raises:
            DataError: As in `encode`.
        """
        lead = window.points.shape[:-4]
        flat = window.map(lambda x: x.reshape(-1, *x.shape[len(lead) :]))
        codes = self.quantiser(self.latents(flat))
        return codes.reshape(*lead, *codes.shape[1:])

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

    def decode(
        self,
        tokens: MotionTokens,
        queries: Float[Tensor, "*q n 2"],
        *,
        mode: str | None = None,
        points: Int[Tensor, " m"] | None = None,
        steps: int | None = None,
        camera: Float[Tensor, "*b v t 3 3"] | None = None,
    ) -> TrackWindow:
        """The tracks that tokens stand for; every point is marked visible and valid, coordinates are never clamped.

        Args:
            tokens: (*b, k).
            queries: Normalised start points: (n, 2) for all views, (v, n, 2), or (*b, v, n, 2). A tokenizer with a
                table of points needs the grid that it was trained on.
            mode: "argmax" takes the likeliest displacement of each step, "expectation" the mean one,
                "expectation-on-moving" the mean only where the likeliest path moves at all: on static points the mean
                would add a drift. By default the configured one.
            points: Indices of the queries that are wanted; the others cost nothing. All by default.
            steps: How many steps are wanted; the later ones cost nothing, and "expectation-on-moving" then asks only
                whether a point moves within these. All by default.
            camera: The camera's motion to give back, from `camera_motion.estimate`; none by default.

        Raises:
            UnknownNameError: No such mode.
            UsageError: Not the table's number of queries, queries of other views, or more steps than there are.
        """
        return self.decode_codes(self.codes(tokens), queries, mode=mode, points=points, steps=steps, camera=camera)

    def decode_codes(
        self,
        codes: Float[Tensor, "*b k c"],
        queries: Float[Tensor, "*q n 2"],
        *,
        mode: str | None = None,
        points: Int[Tensor, " m"] | None = None,
        steps: int | None = None,
        camera: Float[Tensor, "*b v t 3 3"] | None = None,
    ) -> TrackWindow:
        """As `decode`, for FSQ vectors that need not lie on the levels, such as means over several futures.

        Args:
            codes: (*b, k, c), in [−1, 1].
            queries: As in `decode`.
            mode: As in `decode`.
            points: As in `decode`.
            steps: As in `decode`.
            camera: As in `decode`.

        Raises:
            UnknownNameError: No such mode.
            UsageError: Not the table's number of queries, queries of other views, or more steps than there are.
        """
        if steps is not None and not 1 <= steps <= self.config.steps:
            raise UsageError("cannot decode so many steps", got=steps, allowed=f"1 … {self.config.steps}")
        wanted = None if steps is None else range(steps)
        velocities = self.decode_velocities(codes, queries, mode=mode, points=points, steps=wanted)
        starts = queries if points is None else queries[..., points, :]
        begin = starts[..., None, :, :].expand_as(velocities[..., :1, :, :])
        path = torch.cat((begin, begin + velocities.cumsum(dim=-3)), dim=-3)
        everywhere = torch.ones(path.shape[:-1], dtype=torch.bool, device=path.device)
        tracks = TrackWindow(points=path, visible=everywhere, valid=everywhere[..., 0])
        return tracks if camera is None else camera_motion.give_back(tracks, camera)

    @torch.no_grad()
    def decode_velocities(
        self,
        codes: Float[Tensor, "*b k c"],
        queries: Float[Tensor, "*q n 2"],
        *,
        mode: str | None = None,
        points: Int[Tensor, " m"] | None = None,
        steps: Sequence[int] | None = None,
    ) -> Float[Tensor, "*b v t m 2"]:
        """The normalised displacements at any chosen steps; the others cost nothing.

        Args:
            codes: (*b, k, c), in [−1, 1].
            queries: As in `decode`.
            mode: As in `decode`.
            points: As in `decode`.
            steps: Numbers of the wanted steps, from 0; all by default.

        Raises:
            UnknownNameError: No such mode.
            UsageError: Not the table's number of queries, or queries of other views.
        """
        rule = pick(mode or self.config.decoding, DECODINGS, kind="decoding mode")
        lead, views, n = codes.shape[:-2], self.config.views, queries.shape[-2]
        if self.config.point_embedding == "table" and n != self.config.points:
            raise UsageError(
                "this tokenizer knows the points of its own grid alone",
                got=f"{n} queries",
                allowed=f"the {self.config.points} points of training, in their order",
                remedy="choose some of them with points=, or train with point_embedding='position'",
            )
        if queries.ndim > 2 and queries.shape[-3] not in (1, views):
            raise UsageError("queries of other views", got=f"{queries.shape[-3]} views", allowed=f"1 or {views}")
        starts = queries[(None,) * (4 - queries.ndim)] if queries.ndim < 4 else queries.flatten(0, -4)
        chosen = None
        if points is not None:
            starts, chosen = starts[..., points, :], points[None, None]
        states = self.decoder.of_views(self.decoder(codes.reshape(-1, *codes.shape[-2:])))
        place = self.decoder.place(starts, chosen)
        wanted = range(self.config.steps) if steps is None else steps
        # One step at a time: the scores of all of them would leave the processor's cache.
        scores = (self.decoder.scores(states[:, :, t : t + 1], place) for t in wanted)
        velocities = displacements_from_pixels(rule(scores, self.offsets_px), self.config.frame_px)
        return velocities.reshape(*lead, *velocities.shape[1:])

    @torch.no_grad()
    def reconstruct(self, window: TrackWindow, *, mode: str | None = None) -> TrackWindow:
        """The tracks as they come back from their codes, the camera's motion included: how well the tokenizer does.

        Args:
            window: As in `encode`.
            mode: As in `decode`.
        """
        camera = camera_motion.estimate(window) if self.config.camera_motion == "removed" else None
        return self.decode_codes(self.encode_codes(window), window.points[..., 0, :, :], mode=mode, camera=camera)

    def loss(
        self, window: TrackWindow, *, generator: torch.Generator | None = None, stabilised: bool = False
    ) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Cross-entropy over the local window and the auxiliary regression, on known steps.

        Args:
            window: A batch (b, v, t, n, 2).
            generator: Draws the points that count.
            stabilised: Whether the caller has removed the camera's motion already, which need not be done at every
                visit of a window.

        Returns:
            A scalar, and figures to log: ``cross_entropy``, ``regression`` and ``path`` (pixels), ``clipped_share``
            (of the known steps that count), ``codes_used`` (distinct codes in the batch), and ``usage`` (see
            `FSQ.usage`) where it is weighted.

        Raises:
            DataError: Other views, steps or points than those of training.
        """
        config = self.config
        self._require(window)
        if not stabilised:
            window = self._stabilised(window)
        latents = self._latents(window)
        codes = self.quantiser(latents)
        targets = motion_targets(window, config, self.view_weights, generator)
        weight = targets.velocity_weight
        logits = self.decoder.logits(self.decoder(codes), targets.queries, targets.chosen).float()
        target = config.local_window.classes(targets.velocities_px)
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
        if config.usage_weight:
            usage = self.quantiser.usage(latents).mean()
            loss = loss + config.usage_weight * (1 - usage)
            logs["usage"] = usage.detach()
        logs["clipped_share"] = (weight * config.local_window.clipped(targets.velocities_px)).sum()
        logs["codes_used"] = float(self.quantiser.indices(codes.detach()).unique().numel())
        return loss, logs


def _distance(px: Tensor, target_px: Tensor, weight: Tensor) -> Tensor:
    return (weight * smooth_l1_loss(px, target_px, reduction="none").sum(dim=-1)).sum()
