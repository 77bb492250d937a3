"""Our counterparts of what the reference's forward dynamics gave."""

from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from amplify.forward import ForwardDynamics
from amplify.reference.importer import Converted
from amplify.reference.parity.arrays import Stored, Values, gradient_norms, tensor
from amplify.reference.parity.comparison import LOOSE, MARGIN, Value, lead, sure_so_far
from amplify.types import Features, MotionTokens


class ForwardArrays:
    """What belongs to the forward model alone: ``tf_*``, ``fd_*`` and its own tokens ``ar_*``.

    Args:
        converted: The forward model.
        stored: The arrays of the file.
    """

    INPUTS = frozenset({"img_tokens_fd", "text_emb", "tf_targets"})

    def __init__(self, converted: Converted[ForwardDynamics], stored: Stored):
        self.converted, self.stored, self.forward = converted, stored, converted.module

    @property
    def values(self) -> Values:
        """By array: how to compute ours."""
        return {
            "img_tokens_id_shape": lambda: Value(ours=self._joined_shape),
            "fd_cond_tokens": lambda: Value(ours=self._condition),
            "tf_logits": lambda: Value(ours=self.tf_logits),
            "tf_argmax": lambda: Value(ours=self.tf_logits.argmax(dim=-1), sure=lead(self.tf_logits) > MARGIN),
            "tf_loss": lambda: Value(ours=self._loss(self.forward)),
            "fd_grad_norms_json": lambda: Value(
                ours=gradient_norms(self.converted, self._loss), tolerance=LOOSE, relative=True
            ),
            "ar_indices": lambda: Value(ours=self.tokens.indices, sure=self.sure),
            "ar_step_logits": lambda: Value(ours=self.logits, sure=self._sure_before[..., None]),
            "ar_codes": lambda: Value(ours=self.forward.code(self.codes), sure=self.sure[..., None]),
        }

    @cached_property
    def features(self) -> Features:
        """The stored image and text tokens."""
        sizes, text = self.forward.dimensions, tensor(self.stored, "text_emb")
        vision = tensor(self.stored, "img_tokens_fd").unflatten(1, (sizes["views"], sizes["patches"]))
        return Features(vision=vision, text=text if text.ndim == 3 else text[:, None])

    @cached_property
    def tf_logits(self) -> Tensor:
        """Teacher-forced scores."""
        return self.forward.logits(self.features, self._given)

    @cached_property
    def tokens(self) -> MotionTokens:
        """The likeliest tokens, one by one; classes beyond the codebook as they are."""
        return self.forward.generate(self.features)

    @cached_property
    def logits(self) -> Tensor:
        """Their scores at each step."""
        return self.forward.logits(self.features, self.tokens)

    @cached_property
    def codes(self) -> Tensor:
        """Their FSQ vectors."""
        return self.forward.codebook.codes(self.tokens.indices)

    @cached_property
    def sure(self) -> Tensor:
        """Where neither a token nor one before it was a close choice, (b, k)."""
        return sure_so_far(lead(self.logits) > MARGIN)

    @cached_property
    def _sure_before(self) -> Tensor:
        return torch.cat((torch.ones_like(self.sure[:, :1]), self.sure[:, :-1]), dim=1)

    @cached_property
    def _given(self) -> MotionTokens:
        return MotionTokens(indices=tensor(self.stored, "tf_targets").long())

    @cached_property
    def _condition(self) -> Tensor:
        # Ours are placed already.
        forward, places = self.forward, self.converted.part.weights["trunk.transformer.pos_emb.weight"]
        condition = forward.condition(self.features)
        return condition - places[: condition.shape[1]]

    @property
    def _joined_shape(self) -> np.ndarray:
        batch, views, patches, width = self.features.vision.shape
        return np.asarray([batch, patches, views * width])

    def _loss(self, forward: ForwardDynamics) -> Tensor:
        return forward.loss(self.features, self._given)[0]
