"""The control step and the prediction of tracks, ours beside the plain formulation."""

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from amplify.bench import reference_style
from amplify.bench.heads import sampling_error
from amplify.bench.models import BenchInputs, BenchModels, BenchSizes
from amplify.bench.reference_style import PlainDecoder
from amplify.bench.settings import BenchSettings
from amplify.bench.timing import Part, fastest, measure
from amplify.encoders.vision import PatchEncoder
from amplify.inverse import InverseConfig, InverseDynamics
from amplify.nn.precision import PRECISIONS, converted
from amplify.policy.compiled import CompiledPlanner
from amplify.types import ActionChunk, Features, MotionTokens, Plan, TrackWindow

SHORT = {"float32": "fp32", "bfloat16": "bf16", "int8": "int8"}
REFERENCE_STEPS = {
    "flow": {"flow_sampler": "midpoint", "sampling_steps": 100},
    "diffusion": {"diffusion_sampler": "ddpm"},
}
"""How the reference implementation samples: 200 network evaluations for a flow, one a noise level for diffusion."""


class ControlStep:
    """Images and proprioception → actions, and images → tracks; the instruction is already encoded.

    Args:
        models: The models.
        inputs: What they see.
        precision: Of the linear maps of forward and inverse dynamics, see `amplify.nn.precision.PRECISIONS`.
    """

    def __init__(self, models: BenchModels, inputs: BenchInputs, *, precision: str = "float32"):
        self.models, self.inputs = models, inputs
        self.forward, self.inverse = converted(models.forward, precision), converted(models.inverse, precision)

    @torch.inference_mode()
    def tokens(self, draft: MotionTokens | None = None) -> MotionTokens:
        """What should move.

        Args:
            draft: See `amplify.forward.dynamics.ForwardDynamics.generation`.
        """
        return self.forward.generate(self.inputs.features(self._see()), draft=draft)

    @torch.inference_mode()
    def act(self, draft: MotionTokens | None = None) -> ActionChunk:
        """The actions that make it move.

        Args:
            draft: As in `tokens`.
        """
        features = self.inputs.features(self._see())
        tokens = self.forward.generate(features, draft=draft)
        motion = self.models.tokenizer.embed(tokens, self.inverse.config.motion)
        return self.inverse.act(features, self.inputs.proprio, motion)

    def as_graphs(self, *, fused: bool) -> Callable[[MotionTokens | None], Plan]:
        """The control step as CUDA graphs, see `amplify.policy.compiled.CompiledPlanner`, given a draft.

        Args:
            fused: Whether kernels are fused before.
        """
        models, inputs = self.models, self.inputs
        eyes = PatchEncoder(network=models.plain_encoder, device=str(inputs.images.device), graphed=True)
        planner = CompiledPlanner(self.forward, self._acted, fused=fused)
        return lambda draft: planner(inputs.features(eyes.encode(inputs.images)), inputs.proprio, draft)

    def _acted(self, tokens: MotionTokens, features: Features, proprio: Tensor) -> Plan:
        motion = self.models.tokenizer.embed(tokens, self.inverse.config.motion)
        return Plan(actions=self.inverse.act(features, proprio, motion), tokens=tokens)

    @torch.inference_mode()
    def predict(self, draft: MotionTokens | None = None) -> TrackWindow:
        """Where the points of the grid will go.

        Args:
            draft: As in `tokens`.
        """
        return self.models.tokenizer.decode(self.tokens(draft), self.inputs.queries, mode="argmax")

    def _see(self) -> Tensor:
        return self.models.encoder.encode(self.inputs.images)


class PlainControlStep:
    """The same in plain formulation.

    Args:
        models: The models.
        inputs: What they see.
    """

    def __init__(self, models: BenchModels, inputs: BenchInputs):
        self.models, self.inputs = models, inputs
        self.decoder = PlainDecoder(models.tokenizer.decoder)
        self.inverse = plain_sampling(models.inverse)

    @torch.inference_mode()
    def act(self) -> ActionChunk:
        """The actions, every token by a full pass; flow and diffusion by the reference's many steps."""
        features = self.inputs.features(self.models.plain_encoder(self.inputs.images))
        tokens = reference_style.generate(self.models.forward, features)
        motion = self.models.tokenizer.embed(tokens, self.inverse.config.motion)
        return self.inverse.act(features, self.inputs.proprio, motion)

    @torch.inference_mode()
    def predict(self) -> TrackWindow:
        """The tracks, decoded from concatenations."""
        features = self.inputs.features(self.models.plain_encoder(self.inputs.images))
        tokens = reference_style.generate(self.models.forward, features)
        return reference_style.decode(self.models.tokenizer, self.decoder, tokens, self.inputs.queries)


class Forgetful(nn.Module):
    """A denoiser that reads its context anew at every noise level.

    Args:
        denoiser: Reads it.
    """

    def __init__(self, denoiser: nn.Module):
        super().__init__()
        self.denoiser = denoiser

    def see(self, context: Tensor) -> list[tuple[Tensor, Tensor]]:
        """The context as it is, where a denoiser would give keys and values."""
        return [(context, context)]

    def forward(
        self, noisy: Tensor, level: Tensor, seen: list[tuple[Tensor, Tensor]], valid: Tensor | None = None
    ) -> Tensor:
        """What the denoiser says."""
        return self.denoiser(noisy, level, cast(Any, self.denoiser).see(seen[0][0]), valid)


def plain_sampling(inverse: InverseDynamics) -> InverseDynamics:
    """The same model, sampled as the reference implementation does; itself where the head needs no steps."""
    if inverse.config.head not in REFERENCE_STEPS:
        return inverse
    config = InverseConfig.model_validate(inverse.config.model_dump() | REFERENCE_STEPS[inverse.config.head])
    plain = InverseDynamics(config, **inverse.dimensions)
    plain.load_state_dict(inverse.state_dict())
    head: Any = plain.decoder.head
    head.denoiser = Forgetful(head.denoiser)
    return plain.to(next(inverse.parameters()).device).eval()


def bench_act(settings: BenchSettings, *, head: str, head_training: int = 0) -> dict[str, Any]:
    """Times of one control step, batch 1.

    ``act_<precision>_no_draft`` foresees every token; ``act_<precision>_draft_all`` verifies a draft that is right.
    On a GPU, ``act_<precision>_graphs_…`` are the same as CUDA graphs and ``act_<precision>_compiled_…`` with fused
    kernels as well; ``act_best`` is the fastest of all.
    ``<head>_head`` is the head alone. What precision, and few sampling steps, cost is in ``agreement``.

    Args:
        settings: What is timed.
        head: Action head.
        head_training: Steps for which a small head is trained to see what few sampling steps cost; 0 leaves it out.
    """
    device = settings.prepare()
    models = BenchModels.build(BenchSizes.named(settings.preset, head=head), seed=settings.seed, device=device)
    inputs = BenchInputs.random(models.sizes, 1, seed=settings.seed, device=device)
    exact = ControlStep(models, inputs)
    plain = PlainControlStep(models, inputs) if settings.against else None
    against = "act_reference_style" if plain else None
    parts = [Part("act_reference_style", plain.act)] if plain else []
    agreement = {}
    for precision in precisions(device):
        step = exact if precision == "float32" else ControlStep(models, inputs, precision=precision)
        tokens = step.tokens()
        short = SHORT[precision]
        parts += [
            Part(f"act_{short}_no_draft", step.act, against),
            Part(f"act_{short}_draft_all", lambda step=step, draft=tokens: step.act(draft), against),
        ]
        if device.type == "cuda":
            for name, fused in (("graphs", False), ("compiled", True)):
                act = step.as_graphs(fused=fused)
                parts += [
                    Part(f"act_{short}_{name}_no_draft", partial(act, None), against),
                    Part(f"act_{short}_{name}_draft_all", partial(act, tokens), against),
                ]
        if precision != "float32":
            agreement[short] = agreement_of(step, exact)
    names = [part.name for part in parts if part.against == against]
    parts += _head_parts(exact, plain)
    timed: dict[str, Any] = measure(parts, rounds=settings.rounds, device=device, label="act")
    best = fastest(timed, names)
    if head_training and head in REFERENCE_STEPS:
        agreement["sampling_error"] = sampling_error(
            models.inverse.config, REFERENCE_STEPS[head], seed=settings.seed, steps=head_training
        )
    return {
        **timed,
        "act_best": {**timed[best], "mode": best.removeprefix("act_")},
        "agreement": agreement,
        "machine": settings.machine(device),
    }


def bench_predict(settings: BenchSettings) -> dict[str, Any]:
    """Times of foreseeing the tracks of all points, batch 1: ``predict_fp32`` and ``predict_fp32_draft_all``.

    Args:
        settings: What is timed.
    """
    device = settings.prepare()
    models = BenchModels.build(BenchSizes.named(settings.preset), seed=settings.seed, device=device)
    inputs = BenchInputs.random(models.sizes, 1, seed=settings.seed, device=device)
    ours = ControlStep(models, inputs)
    draft = ours.tokens()
    parts = [Part("predict_reference_style", PlainControlStep(models, inputs).predict)] if settings.against else []
    against = parts[0].name if parts else None
    parts += [
        Part("predict_fp32", ours.predict, against),
        Part("predict_fp32_draft_all", lambda: ours.predict(draft), against),
    ]
    timed = measure(parts, rounds=settings.rounds, device=device, label="predict")
    return {**timed, "machine": settings.machine(device)}


def precisions(device: torch.device) -> list[str]:
    """Those that the device has: 8-bit weights are for the CPU."""
    return [name for name in PRECISIONS if name != "int8" or device.type == "cpu"]


@torch.inference_mode()
def agreement_of(step: ControlStep, exact: ControlStep) -> dict[str, float]:
    """Share of equal tokens, and the largest deviation of an action (in [−1, 1]) where both are given those tokens."""
    models, inputs = exact.models, exact.inputs
    features = inputs.features(models.encoder.encode(inputs.images))
    tokens = exact.tokens()
    motion = models.tokenizer.embed(tokens, exact.inverse.config.motion)
    chunks = [each.inverse.act(features, inputs.proprio, motion).actions for each in (step, exact)]
    return {
        "equal_tokens": float((step.tokens().indices == tokens.indices).float().mean()),
        "largest_action_deviation": float((chunks[0] - chunks[1]).abs().max()),
    }


def _head_parts(exact: ControlStep, plain: PlainControlStep | None) -> list[Part]:
    models, inputs = exact.models, exact.inputs
    with torch.inference_mode():
        features = inputs.features(models.encoder.encode(inputs.images))
        motion = models.tokenizer.embed(exact.tokens(), exact.inverse.config.motion)
        context = exact.inverse.decoder.context(features.vision, inputs.proprio, motion)
    name = f"{exact.inverse.config.head}_head"

    def sampled(inverse: InverseDynamics) -> Any:
        return torch.inference_mode()(lambda: inverse.decoder.head.sample(context))

    if plain is None:
        return [Part(name, sampled(exact.inverse))]
    against = f"{name}_reference_style"
    return [Part(against, sampled(plain.inverse)), Part(name, sampled(exact.inverse), against)]
