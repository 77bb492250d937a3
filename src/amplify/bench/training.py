"""One training step of each stage, ours beside the plain formulation.

Ours trains on cached features and tokens; the tokenizer's loss takes a few points of each window. The plain steps
encode images and instructions anew, take every point, drop attention weights at random and judge the foreseen tracks
within the step (forward dynamics), and foresee the tokens anew by full passes (inverse dynamics): as the reference
implementation trains with its default settings.
"""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from amplify import rng
from amplify.bench import reference_style
from amplify.bench.judged import judged
from amplify.bench.models import BenchInputs, BenchModels, BenchSizes
from amplify.bench.reference_style import PlainDecoder, plain_dropout, plain_forward
from amplify.bench.settings import BenchSettings
from amplify.bench.timing import Part, measure
from amplify.coords import EVALUATION_SIZE_PX, displacements_to_pixels
from amplify.errors import UsageError
from amplify.tokens import MotionTokenizer
from amplify.tokens.weights import known_velocities
from amplify.types import Features, MotionTokens

CLIP = 1.0
LEARNING_RATE = 1e-4
BF16_PEAK = {"H100 PCIe": 756e12, "H100": 989e12, "H200": 989e12, "A100": 312e12, "B200": 2250e12, "L40S": 362e12}
"""Dense bfloat16 operations a second that the makers state, by a part of the device's name, the first that fits."""


class Learner:
    """Loss, gradients, clipping and AdamW: one step of training.

    Args:
        module: What is trained; put into training mode.
        loss: Gives the scalar to minimise.
        fused: Whether the optimiser updates all weights in one pass over memory.
        bfloat16: Whether matrices are multiplied in bfloat16 (autocast).
    """

    def __init__(self, module: nn.Module, loss: Callable[[], Tensor], *, fused: bool, bfloat16: bool = False):
        self.module, self.loss, self.bfloat16 = module.train(), loss, bfloat16
        self.parameters = [p for p in module.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.0, fused=fused
        )

    def step(self) -> Tensor:
        """The loss before the step."""
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.parameters[0].device.type, torch.bfloat16, enabled=self.bfloat16):
            loss = self.loss()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, CLIP)
        self.optimizer.step()
        return loss.detach()


class TrainingSteps:
    """Our steps.

    Args:
        models: The models; they are trained in place.
        inputs: One batch.
        subset_points: Points a view in the tokenizer's loss.
        bfloat16: See `Learner`.
    """

    def __init__(self, models: BenchModels, inputs: BenchInputs, *, subset_points: int, bfloat16: bool = False):
        self.models, self.inputs, self.bfloat16 = models, inputs, bfloat16
        self.subset = MotionTokenizer(models.tokenizer.config.model_copy(update={"subset_points": subset_points}))
        self.subset.load_state_dict(models.tokenizer.state_dict())
        self.subset.to(inputs.images.device)
        with torch.no_grad():
            self.features = inputs.features(models.encoder.encode(inputs.images).clone(), models.read(inputs.words))
            self.tokens = models.tokenizer.encode(inputs.tracks)
            self.foreseen = models.forward.generate(self.features)

    def tokenizer(self) -> Learner:
        """Cross-entropy of a few points of each window, decoded by parts."""
        generator = rng.torch_generator(0, "bench", "points", device=self.inputs.images.device)
        return self._learner(self.subset, lambda: self.subset.loss(self.inputs.tracks, generator=generator)[0])

    def forward(self) -> Learner:
        """Cross-entropy of the tokens on cached features."""
        model = self.models.forward
        return self._learner(model, lambda: model.loss(self.features, self.tokens)[0])

    def inverse(self) -> Learner:
        """The head's loss on cached features and foreseen tokens."""
        model, tokenizer, inputs = self.models.inverse, self.models.tokenizer, self.inputs

        def loss() -> Tensor:
            motion = tokenizer.embed(self.foreseen, model.config.motion)
            return model.loss(self.features, inputs.proprio, motion, inputs.actions)[0]

        return self._learner(model, loss)

    def _learner(self, module: nn.Module, loss: Callable[[], Tensor]) -> Learner:
        return Learner(module, loss, fused=True, bfloat16=self.bfloat16)


class PlainTrainingSteps:
    """The same steps in plain formulation, on copies of the models.

    Args:
        models: The models; they are not changed.
        inputs: One batch.
        bfloat16: See `Learner`.
    """

    def __init__(self, models: BenchModels, inputs: BenchInputs, *, bfloat16: bool = False):
        self.models, self.inputs, self.bfloat16 = models, inputs, bfloat16
        self.decoder = PlainDecoder(models.tokenizer.decoder)

    def tokenizer(self) -> Learner:
        """Cross-entropy of all points, decoded from concatenations."""
        tokenizer = deepcopy(self.models.tokenizer)
        decoder = PlainDecoder(tokenizer.decoder)
        return self._learner(nn.ModuleList((tokenizer, decoder)), lambda: self._surprise(tokenizer, decoder))

    def _surprise(self, tokenizer: MotionTokenizer, decoder: PlainDecoder) -> Tensor:
        tracks, config = self.inputs.tracks, tokenizer.config
        velocities = known_velocities(tracks)
        codes = tokenizer.quantiser(tokenizer.latents(tracks))
        logits = decoder.logits(decoder.decoder(codes), self.inputs.queries[None])
        target = config.local_window.classes(displacements_to_pixels(velocities, EVALUATION_SIZE_PX))
        surprise = cross_entropy(logits.float().flatten(0, -2), target.flatten(), reduction="none").view(target.shape)
        return (surprise.mean(dim=(0, 2, 3)) * tokenizer.view_weights).mean()

    def forward(self, *, metrics: bool = True) -> Learner:
        """Cross-entropy of the tokens; images, instructions and tracks are encoded within the step.

        Args:
            metrics: Decode the likeliest tokens and judge the tracks in every step.
        """
        model = plain_forward(deepcopy(self.models.forward))

        def loss() -> Tensor:
            features, tokens = self._features(), self._tokens()
            scores = reference_style.string_scores(model, features, tokens.indices[:, :-1])
            if metrics:
                self.judge(MotionTokens(indices=scores.argmax(dim=-1)))
            return cross_entropy(scores.float().flatten(0, 1), tokens.indices.flatten())

        return self._learner(model, loss)

    def inverse(self) -> Learner:
        """The head's loss; images and instructions are encoded and tokens are foreseen within the step."""
        model, models, inputs = plain_dropout(deepcopy(self.models.inverse)), self.models, self.inputs

        def loss() -> Tensor:
            features = self._features()
            with torch.no_grad():
                tokens = reference_style.generate(models.forward, features)
                motion = models.tokenizer.embed(tokens, model.config.motion)
            return model.loss(features, inputs.proprio, motion, inputs.actions)[0]

        return self._learner(model, loss)

    def _learner(self, module: nn.Module, loss: Callable[[], Tensor]) -> Learner:
        return Learner(module, loss, fused=False, bfloat16=self.bfloat16)

    @torch.no_grad()
    def _features(self) -> Features:
        return self.inputs.features(self.models.plain_encoder(self.inputs.images), self.models.read(self.inputs.words))

    @torch.no_grad()
    def _tokens(self) -> MotionTokens:
        return self.models.tokenizer.encode(self.inputs.tracks)

    @torch.no_grad()
    def judge(self, tokens: MotionTokens) -> dict[str, float]:
        """What the tracks of these tokens are worth, see `amplify.bench.judged.judged`."""
        tracks = reference_style.decode(self.models.tokenizer, self.decoder, tokens, self.inputs.queries)
        return judged(tracks.points, self.inputs.tracks.points)


def bench_train(
    settings: BenchSettings, *, batch: int, subset_points: int, bfloat16: bool, head: str = "gaussian"
) -> dict[str, Any]:
    """Times of one training step: ``tokenizer_step``, ``forward_step`` and ``inverse_predicted_step``.

    The plain forward step is timed with its metrics, as the reference implementation trains, and without them.

    Args:
        settings: What is timed.
        batch: Windows a step.
        subset_points: Points a view in the tokenizer's loss.
        bfloat16: Multiply matrices in bfloat16 (autocast).
        head: Action head.

    Raises:
        UsageError: There are no windows, or fewer than no points.
    """
    if batch < 1 or subset_points < 0:
        raise UsageError(
            "nothing to train on", got=f"batch {batch}, {subset_points} points", allowed="1, 2, …; 0 = all"
        )
    device = settings.prepare()
    sizes = BenchSizes.named(settings.preset, head=head)
    inputs = BenchInputs.random(sizes, batch, seed=settings.seed, device=device)
    models = BenchModels.build(sizes, seed=settings.seed, device=device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        ours = TrainingSteps(models, inputs, subset_points=subset_points, bfloat16=bfloat16)
        learners = {
            "tokenizer_step": ours.tokenizer(),
            "forward_step": ours.forward(),
            "inverse_predicted_step": ours.inverse(),
        }
        operations = {name: _operations(learner) for name, learner in learners.items()}
        parts: list[Part] = []
        if settings.against:
            untrained = BenchModels.build(sizes, seed=settings.seed, device=device)
            plain = PlainTrainingSteps(untrained, inputs, bfloat16=bfloat16)
            parts = [
                Part("tokenizer_step_reference_style", plain.tokenizer().step),
                Part("forward_step_reference_style", plain.forward().step),
                Part("forward_step_reference_style_without_metrics", plain.forward(metrics=False).step),
                Part("inverse_predicted_step_reference_style", plain.inverse().step),
            ]
        for name, learner in learners.items():
            parts.append(Part(name, learner.step, f"{name}_reference_style" if settings.against else None))
        timed = measure(parts, rounds=settings.rounds, device=device, label="train")
    seconds = {name: (timed[name]["median_ms"] or 0.0) / 1e3 for name in learners}
    return {
        **timed,
        "windows_per_s": {name: batch / seconds[name] for name in learners},
        "teraflops": {name: operations[name] / seconds[name] / 1e12 for name in learners},
        "share_of_bf16_peak": _shares(operations, seconds, device),
        "batch": batch,
        "subset_points": subset_points,
        "bfloat16": bfloat16,
        "machine": settings.machine(device),
    }


def _operations(learner: Learner) -> int:
    with FlopCounterMode(display=False) as counter:
        learner.step()
    return counter.get_total_flops()


def _shares(operations: dict[str, int], seconds: dict[str, float], device: torch.device) -> dict[str, float] | None:
    """Of the device's peak; None where that is not known."""
    if device.type != "cuda":
        return None
    peaks = [peak for part, peak in BF16_PEAK.items() if part in torch.cuda.get_device_name(device)]
    return {name: operations[name] / seconds[name] / peaks[0] for name in operations} if peaks else None
