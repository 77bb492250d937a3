"""Our counterparts of what the reference's whole policy gave: its models one after the other."""

from functools import cached_property

import torch
from torch import Tensor

from amplify.encoders.vision import PatchNetwork
from amplify.inverse import InverseDynamics
from amplify.reference.importer import Converted
from amplify.reference.parity.arrays import Stored, Values, tensor
from amplify.reference.parity.comparison import MARGIN, Value, lead
from amplify.reference.parity.forward import ForwardArrays
from amplify.reference.parity.tokenizer import TokenizerArrays


class MotionArrays:
    """What the tokenizer makes of the forward model's tokens, and how close the closest choices were.

    Args:
        forward: Gives the tokens.
        tokenizer: Decodes them.
        stored: The arrays of the file.
    """

    INPUTS = frozenset({"init_queries"})

    def __init__(self, forward: ForwardArrays, tokenizer: TokenizerArrays, stored: Stored):
        self.forward, self.tokenizer, self.stored = forward, tokenizer, stored

    @property
    def values(self) -> Values:
        """By array: how to compute ours."""
        return {
            "ar_velocities": lambda: Value(ours=self._velocities, sure=self._sure[..., None]),
            "ar_rel_top2_margin": lambda: Value(
                ours=lead(self._scores).flatten(1),
                sure=self.forward.sure.all(dim=-1)[:, None],
                unit=float(self._scores.detach().abs().max()),
            ),
            "predict_traj": lambda: Value(ours=self._path, sure=self.tokenizer.sure_paths(self._sure)),
            "margins_json": lambda: Value(ours=self._margins, unit=1.0),
        }

    @cached_property
    def _scores(self) -> Tensor:
        return self.tokenizer.logits(self.forward.codes)

    @cached_property
    def _velocities(self) -> Tensor:
        return self.tokenizer.velocities(self.forward.codes)

    @cached_property
    def _sure(self) -> Tensor:
        return (lead(self._scores) > MARGIN) & self.forward.sure.all(dim=-1)[:, None, None, None]

    @cached_property
    def _path(self) -> Tensor:
        return self.tokenizer.path(self._velocities, tensor(self.stored, "init_queries")[:, :, :1])

    @property
    def _margins(self) -> dict[str, float]:
        closest = {
            "ar argmax margin": lead(self.forward.logits),
            "tf argmax margin": lead(self.forward.tf_logits),
            "rel argmax margin (ar codes)": lead(self._scores),
            "rel argmax margin (encoder codes)": lead(self.tokenizer.scores),
            "fsq distance to a rounding edge": self.tokenizer.edge,
            "pixel distance to a rounding edge": self.tokenizer.pixel_edge,
        }
        return {name: float(values.detach().min()) for name, values in closest.items()}


class ActionArrays:
    """What the inverse model makes of the forward model's tokens.

    Args:
        inverse: The inverse model.
        forward: Gives image tokens and codes.
        stored: The arrays of the file.
    """

    INPUTS = frozenset({"proprio"})

    def __init__(self, inverse: Converted[InverseDynamics], forward: ForwardArrays, stored: Stored):
        self.inverse, self.forward, self.stored = inverse.module, forward, stored

    @property
    def values(self) -> Values:
        """By array: how to compute ours."""
        return {
            "actions_end_to_end": lambda: self._acted(tensor(self.stored, "proprio")),
            "actions_no_proprio": lambda: self._acted(torch.zeros_like(tensor(self.stored, "proprio"))),
        }

    def _acted(self, proprio: Tensor) -> Value:
        actions = self.inverse.act(self.forward.features, proprio, self.forward.codes).actions
        return Value(ours=actions, sure=self.forward.sure.all(dim=-1)[:, None, None])


class ImageArrays:
    """Image tokens, where the checkpoint holds the image encoder.

    Args:
        converted: The encoder.
        stored: The arrays of the file.
    """

    INPUTS = frozenset({"images"})

    def __init__(self, converted: Converted[PatchNetwork], stored: Stored):
        self.network, self.stored = converted.module, stored

    @property
    def values(self) -> Values:
        """By array: how to compute ours."""
        return {"img_tokens_fd": lambda: Value(ours=self._tokens())}

    def _tokens(self) -> Tensor:
        images = (tensor(self.stored, "images") * 255).round().to(torch.uint8)
        return self.network(images).flatten(1, 2)
