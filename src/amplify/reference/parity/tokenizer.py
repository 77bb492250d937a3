"""Our counterparts of what the reference's tokenizer gave."""

from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from amplify.reference.importer import Converted
from amplify.reference.metrics import normalised_perplexity, track_metrics
from amplify.reference.parity.arrays import Stored, Values, gradient_norms, tensor
from amplify.reference.parity.comparison import LOOSE, MARGIN, Value, lead, sure_so_far
from amplify.reference.tokenizer import point_order
from amplify.tokens import MotionTokenizer
from amplify.tokens.targets import motion_targets
from amplify.types import TrackWindow


def _from_edge(values: Tensor) -> Tensor:
    """Distance of each number from where rounding turns."""
    return (values - values.floor() - 0.5).abs()


class TokenizerArrays:
    """What belongs to the tokenizer alone: ``tok_*`` and the metrics of its reconstruction.

    Args:
        converted: The tokenizer.
        stored: The arrays of the file.
    """

    INPUTS = frozenset({"tok_tracks", "codebook_probe_idx"})

    def __init__(self, converted: Converted[MotionTokenizer], stored: Stored):
        self.converted, self.stored = converted, stored
        self.tokenizer, self.config = converted.module, converted.module.config
        self.order = point_order(self.config.points)

    @property
    def values(self) -> Values:
        """By array: how to compute ours."""
        return {
            "tok_velocities": lambda: Value(ours=self.exchanged(self.window.velocities)),
            "tok_z": lambda: Value(ours=self.tokenizer.encoder.states(self.window.velocities)),
            "tok_fsq_in": lambda: Value(ours=self.latents),
            "tok_fsq_bounded": lambda: Value(ours=self.tokenizer.quantiser.bound(self.latents)),
            "tok_codes": lambda: Value(ours=self.tokenizer.decoder.code(self.codes), sure=self._sure_tokens[..., None]),
            "tok_indices": lambda: Value(ours=self.indices, sure=self._sure_tokens),
            "tok_rel_logits_sample0": lambda: Value(
                ours=self.scores[:1].flatten(1, 3), sure=self._sure_windows[:1, None, None]
            ),
            "tok_rel_argmax": lambda: Value(
                ours=self.scores.argmax(dim=-1).flatten(1), sure=self._sure_points.flatten(1)
            ),
            "tok_rel_top2_margin": lambda: Value(
                ours=lead(self.scores).flatten(1),
                sure=self._sure_windows[:, None],
                unit=float(self.scores.detach().abs().max()),
            ),
            "tok_recon_velocities": lambda: Value(ours=self.velocities(self.codes), sure=self._sure_points[..., None]),
            "tok_recon_points": lambda: Value(ours=self._reconstruction, sure=self.sure_paths(self._sure_points)),
            "tok_rel_targets_prev_to_next": lambda: Value(ours=self._targets, sure=self._sure_targets),
            "tok_loss_uses_prev_to_next": lambda: Value(ours=np.asarray(True)),
            "tok_loss_per_element": lambda: Value(ours=self._surprise, sure=self._sure_targets),
            "tok_loss": lambda: Value(ours=self._loss(self.tokenizer)),
            "tok_grad_norms_json": lambda: Value(
                ours=gradient_norms(self.converted, self._loss), tolerance=LOOSE, relative=True
            ),
            "metrics_json": lambda: Value(
                ours=track_metrics(self._reconstruction, tensor(self.stored, "tok_tracks"), self.config.frame_px),
                relative=True,
            ),
            "perplexity_norm": lambda: Value(
                ours=normalised_perplexity(self.indices, self.converted.part.settings["codebook_size"])
            ),
            "codebook_probe_codes": lambda: Value(ours=self.embedded(tensor(self.stored, "codebook_probe_idx").long())),
        }

    def exchanged(self, points: Tensor) -> Tensor:
        """Points (…, n, 2) of the reference in our order and axes, or ours in its."""
        return points[..., self.order, :].flip(-1)

    def embedded(self, indices: Tensor) -> Tensor:
        """Codes of tokens as the reference passes them on, of its models' width."""
        return self.tokenizer.decoder.code(self.tokenizer.quantiser.codes(indices))

    def logits(self, codes: Tensor) -> Tensor:
        """Scores of displacements (b, v, t, n, classes), points in the reference's order."""
        config, states = self.config, self.tokenizer.decoder(codes)
        queries = torch.zeros(1, config.views, config.points, 2)
        return self.tokenizer.decoder.logits(states, queries)[..., self.order, :]

    def velocities(self, codes: Tensor) -> Tensor:
        """Displacements (b, v, t, n, 2) in the reference's coordinates."""
        queries = torch.zeros(self.config.points, 2)
        return self.exchanged(self.tokenizer.decode_velocities(codes, queries))

    def path(self, velocities: Tensor, start: Tensor) -> Tensor:
        """Points from start points (b, v, 1, n, 2), added up as the reference does: metrics count exact zeros."""
        still = torch.zeros_like(velocities[:, :, :1])
        return start + torch.cat((still, velocities), dim=2).cumsum(dim=2)

    def sure_paths(self, points: Tensor) -> Tensor:
        """Where a path (b, v, t + 1, n, 2) hangs on no close choice, given where steps (b, v, t, n) are sure."""
        so_far = sure_so_far(points.movedim(2, -1)).movedim(-1, 2)
        return torch.cat((torch.ones_like(so_far[:, :, :1]), so_far), dim=2)[..., None]

    @cached_property
    def window(self) -> TrackWindow:
        """The stored tracks as ours."""
        points = self.exchanged(tensor(self.stored, "tok_tracks"))
        everywhere = torch.ones(points.shape[:-1], dtype=torch.bool)
        return TrackWindow(points=points, visible=everywhere, valid=everywhere[..., 0])

    @cached_property
    def latents(self) -> Tensor:
        """What is quantised."""
        return self.tokenizer.latents(self.window)

    @cached_property
    def codes(self) -> Tensor:
        """FSQ vectors."""
        return self.tokenizer.quantiser(self.latents)

    @cached_property
    def indices(self) -> Tensor:
        """Tokens."""
        return self.tokenizer.quantiser.indices(self.codes)

    @cached_property
    def edge(self) -> Tensor:
        """Distance of each bounded latent from where rounding turns, (b, k, c)."""
        return _from_edge(self.tokenizer.quantiser.bound(self.latents))

    @cached_property
    def pixel_edge(self) -> Tensor:
        """The same of each pixel coordinate, clamped into the frame, (b, v, t + 1, n, 2)."""
        side = self.config.frame_px
        return _from_edge(((tensor(self.stored, "tok_tracks") + 1) * side / 2).clamp(0, side - 1))

    @cached_property
    def scores(self) -> Tensor:
        """Scores of the displacements that the stored tracks are decoded to."""
        return self.logits(self.codes)

    @cached_property
    def _sure_tokens(self) -> Tensor:
        return (self.edge > MARGIN).all(dim=-1)

    @cached_property
    def _sure_windows(self) -> Tensor:
        return self._sure_tokens.all(dim=-1)

    @cached_property
    def _sure_points(self) -> Tensor:
        return (lead(self.scores) > MARGIN) & self._sure_windows[:, None, None, None]

    @cached_property
    def _sure_targets(self) -> Tensor:
        sure = (self.pixel_edge > MARGIN).all(dim=-1)
        return sure[:, :, 1:] & sure[:, :, :-1]

    @cached_property
    def _reconstruction(self) -> Tensor:
        return self.path(self.velocities(self.codes), tensor(self.stored, "tok_tracks")[:, :, :1])

    @cached_property
    def _targets(self) -> Tensor:
        targets = motion_targets(self.window, self.config, self.tokenizer.view_weights, None)
        return self.config.local_window.classes(targets.velocities_px)[..., self.order]

    @cached_property
    def _surprise(self) -> Tensor:
        return -self.scores.log_softmax(dim=-1).gather(-1, self._targets[..., None])[..., 0]

    def _loss(self, tokenizer: MotionTokenizer) -> Tensor:
        # Ours is a mean weighted by view; the reference adds the views' means, weighted.
        return tokenizer.loss(self.window)[0] * sum(self.config.view_weights)
