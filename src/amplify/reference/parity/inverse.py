"""Our counterparts of what the reference's inverse dynamics and its heads gave."""

import math
import re
from functools import cached_property
from typing import cast

import torch
from torch import Tensor

from amplify.inverse import InverseDynamics
from amplify.inverse.diffusion import DiffusionHead, squared_cosine_betas
from amplify.inverse.flow import FlowHead
from amplify.inverse.gaussian import GaussianHead, nll
from amplify.reference.importer import Converted
from amplify.reference.parity.arrays import Stored, Values, gradient_norms, tensor, with_state
from amplify.reference.parity.comparison import LOOSE, Value
from amplify.reference.parity.forward import ForwardArrays


class InverseArrays:
    """What belongs to an inverse model with a Gaussian head: ``id_*``.

    Args:
        converted: The inverse model.
        forward: Gives the image tokens.
        stored: The arrays of the file.
    """

    INPUTS = frozenset({"proprio", "id_codes_in", "id_action_gt"})

    def __init__(self, converted: Converted[InverseDynamics], forward: ForwardArrays, stored: Stored):
        self.converted, self.forward, self.stored = converted, forward, stored

    @property
    def values(self) -> Values:
        """By array: how to compute ours."""

        def of(function) -> Value:
            return Value(ours=with_state(self.converted.module, function, self._open_guide))

        return {
            "id_mu": lambda: of(lambda inverse: self._distribution(inverse)[0]),
            "id_actions": lambda: of(
                lambda inverse: inverse.act(self.forward.features, tensor(self.stored, "proprio"), self._codes).actions
            ),
            "id_nll": lambda: of(self._surprise),
            "id_loss": lambda: of(self._loss),
            "id_grad_norms_json": lambda: Value(
                ours=gradient_norms(self.converted, self._loss, self._open_guide), tolerance=LOOSE, relative=True
            ),
        }

    @cached_property
    def _open_guide(self) -> dict[str, Tensor]:
        """The stored codes have the model's width already, so the guide's embedding must do nothing."""
        width = self.converted.module.config.width
        return {"decoder.guide.weight": torch.eye(width), "decoder.guide.bias": torch.zeros(width)}

    @property
    def _codes(self) -> Tensor:
        return tensor(self.stored, "id_codes_in")

    @property
    def _scale(self) -> float:
        """What the reference multiplies squashed actions by: our scaler does it."""
        return float(self.converted.module.decoder.action_scaler.half_range[0])

    def _distribution(self, inverse: InverseDynamics) -> tuple[Tensor, Tensor]:
        """Mean and deviation in the reference's units."""
        context = inverse.decoder.context(self.forward.features.vision, tensor(self.stored, "proprio"), self._codes)
        mean, std = cast(GaussianHead, inverse.decoder.head).distribution(context)
        return mean * self._scale, std * self._scale

    def _surprise(self, inverse: InverseDynamics) -> Tensor:
        mean, std = self._distribution(inverse)
        scale = self._scale
        return nll(tensor(self.stored, "id_action_gt") / scale, mean / scale, std / scale) + math.log(scale)

    def _loss(self, inverse: InverseDynamics) -> Tensor:
        # The mean of discounted terms; ours divides by the sum of the discounts.
        surprise = self._surprise(inverse)
        discounts = inverse.config.discount ** torch.arange(surprise.shape[1])
        return (surprise * discounts[:, None]).mean()


class HeadArrays:
    """What belongs to a diffusion or flow head: ``diffusion_*`` and ``flow_*``.

    Args:
        converted: The inverse model that has the head.
        stored: The arrays of the file.
    """

    INPUTS = frozenset(
        {"diffusion_cond", "diffusion_x", "diffusion_t", "diffusion_noise", "diffusion_actions_clean"}
        | {"flow_cond", "flow_x", "flow_t"}
    )

    def __init__(self, converted: Converted[InverseDynamics], stored: Stored):
        self.head, self.config, self.stored = converted.module.decoder.head, converted.module.config, stored

    @property
    def values(self) -> Values:
        """By array: how to compute ours; the seeds of samples are read from their names."""
        if isinstance(self.head, DiffusionHead):
            return self._diffusion(self.head) | self._samples("diffusion")
        if isinstance(self.head, FlowHead):
            return self._flow(self.head) | self._samples("flow")
        return {}

    def _diffusion(self, head: DiffusionHead) -> dict:
        def foretold() -> Value:
            seen = head.denoiser.see(self._of("diffusion_cond"))
            return Value(ours=head.denoiser(self._of("diffusion_x"), self._of("diffusion_t").float(), seen))

        def noisy() -> Value:
            clean, noise, level = (self._of(f"diffusion_{name}") for name in ("actions_clean", "noise", "t"))
            return Value(ours=head.add_noise(clean, noise, level))

        betas = self.config.betas or squared_cosine_betas(self.config.diffusion_steps)
        return {
            "diffusion_eps": foretold,
            "diffusion_noisy": noisy,
            "diffusion_betas": lambda: Value(ours=torch.tensor(betas)),
        }

    def _flow(self, head: FlowHead) -> dict:
        def velocity() -> Value:
            seen = head.denoiser.see(self._of("flow_cond"))
            return Value(ours=head.denoiser(self._of("flow_x"), self._of("flow_t"), seen))

        def start(name: str, seed: int) -> Value:
            shape = (len(self._of("flow_cond")), *head.denoiser.action_shape)
            return Value(ours=torch.randn(shape, generator=torch.Generator().manual_seed(seed)))

        starts = {name: lambda n=name, s=seed: start(n, s) for name, seed in self._seeded("flow_x_init")}
        return {"flow_v": velocity, **starts}

    def _samples(self, kind: str) -> dict:
        def sample(seed: int) -> Value:
            generator = torch.Generator().manual_seed(seed)
            return Value(ours=self.head.sample(self._of(f"{kind}_cond"), generator=generator), tolerance=LOOSE)

        return {name: lambda s=seed: sample(s) for name, seed in self._seeded(f"{kind}_sample")}

    def _seeded(self, start: str) -> list[tuple[str, int]]:
        matches = [(name, re.fullmatch(rf"{start}_seed(\d+)", name)) for name in self.stored]
        return [(name, int(match[1])) for name, match in matches if match]

    def _of(self, name: str) -> Tensor:
        return tensor(self.stored, name)
