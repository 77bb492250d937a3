"""The one training loop: it knows a `Stage`, its budget in steps, and nothing of what is learned.

Batch *i* depends on (seed, stage, i) alone, so an interrupted run resumed from its checkpoint ends with the weights of
an uninterrupted one, bit for bit on a CPU.
"""

import math
import time
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn

from amplify import rng
from amplify.config import Config
from amplify.errors import AmplifyError
from amplify.jobs import progress
from amplify.nn.device import computing_device, device_of
from amplify.protocols import Stage
from amplify.train.checkpoint import load_checkpoint, save_checkpoint
from amplify.train.log import MetricLog
from amplify.types import Sample

AHEAD = 3
"""Batches that are read ahead of a GPU."""
LOOK_EVERY = 20
"""Steps after which a GPU's losses are looked at."""


class TrainConfig(Config):
    """How long and how fast to train.

    Args:
        steps: Optimiser steps; budgets are never seconds.
        batch_size: Windows a step.
        learning_rate: Peak of the schedule (linear warm-up, then cosine).
        warmup_steps: Steps to reach the peak.
        final_fraction: Learning rate at the end, as a fraction of the peak.
        weight_decay: AdamW's, on matrices only.
        betas: AdamW's.
        clip: Largest gradient norm.
        ema: Decay of the averaged weights that are kept at the end; 0 keeps the last weights.
        seed: Of the initial weights, batches and dropout.
        log_every: Steps between two lines of metrics.
        validate_every: Steps between two validations; 0 validates at the end only.
        checkpoint_every: Steps between two checkpoints.
        precision: Of matrix products in the model ("bfloat16" is autocast); weights, and validation, are float32.
        device: "cpu", "cuda" or "cuda:1": where the model is trained. Batches are the same everywhere, and a run can be
            resumed elsewhere, but only the CPU gives the same bits again.
    """

    steps: int = Field(ge=0)
    batch_size: int = Field(default=64, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    warmup_steps: int = Field(default=100, ge=0)
    final_fraction: float = 0.02
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float = Field(default=1.0, gt=0)
    ema: float = Field(default=0.0, ge=0, lt=1)
    seed: int = 0
    log_every: int = Field(default=50, ge=1)
    validate_every: int = Field(default=0, ge=0)
    checkpoint_every: int = Field(default=500, ge=1)
    # Left out where it is not used: fingerprints of older results stay valid.
    precision: Literal["float32", "bfloat16"] = Field(default="float32", exclude_if=lambda value: value == "float32")
    device: str = Field(default="cpu", exclude=True)

    def learning_rate_at(self, step: int) -> float:
        """The schedule: linear warm-up to the peak, cosine down to ``final_fraction`` of it."""
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        done = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
        return self.learning_rate * (self.final_fraction + (1 - self.final_fraction) * cosine)


Settings = TypeVar("Settings", bound=Config)


def trained_on(settings: Settings, device: str) -> Settings:
    """The same settings, every training in them on a device.

    Args:
        settings: Of a study, or of a training.
        device: See `TrainConfig`.

    Raises:
        UsageError: There is no such device.
    """
    computing_device(device)
    changes: dict[str, Any] = {"device": device} if isinstance(settings, TrainConfig) else {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, Config):
            changes[name] = trained_on(value, device)
    return settings.model_copy(update=changes)


class AveragedWeights:
    """Exponential moving average of a module's parameters, with the usual warm-up of the decay."""

    def __init__(self, module: nn.Module, decay: float):
        self.decay = decay
        self.average = {name: p.detach().clone() for name, p in module.named_parameters()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Moves the average towards the present weights."""
        decay = min(self.decay, (1 + step) / (10 + step))
        parameters = dict(module.named_parameters())
        torch._foreach_lerp_(list(self.average.values()), [parameters[n] for n in self.average], 1 - decay)

    @torch.no_grad()
    def copy_to(self, module: nn.Module) -> None:
        """Puts the average into the module."""
        for name, parameter in module.named_parameters():
            parameter.copy_(self.average[name])


def fit(
    stage: Stage,
    config: TrainConfig,
    out: Path,
    *,
    identity: Mapping[str, Any] | None = None,
    rates: Mapping[str, float] = MappingProxyType({}),
) -> dict[str, float]:
    """Trains the stage's module in place and leaves it on the device; the last validation's figures and the speed.

    Args:
        stage: What to train.
        config: The budget.
        out: Folder of metrics (JSON lines, TensorBoard) and of the state to resume from.
        identity: What else the result depends on (data, model, parent), as JSON values: only the same run resumes.
        rates: Multiples of the learning rate for the parameters whose names begin so; 1 for all others.

    Raises:
        AmplifyError: The loss is not finite, the folder holds a checkpoint of other settings, or there is no such
            device.
    """
    device = computing_device(config.device)
    stage.module.to(device)
    out.mkdir(parents=True, exist_ok=True)
    optimizer = _optimizer(stage.module, config, rates)
    average = AveragedWeights(stage.module, config.ema) if config.ema else None
    settings = {**config.model_dump(mode="json"), **(identity or {})}
    first = load_checkpoint(out, stage.module, optimizer, average, settings)
    log = MetricLog(out, resume_from=first)
    began, figures = time.perf_counter(), {}
    losses: list[Tensor] = []
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), log:
        batches = enumerate(batches_ahead(stage, config, first, device), start=first)
        for step, batch in progress(batches, total=config.steps - first, label=stage.name, unit="step"):
            loss, logs = _step(stage, config, optimizer, step, batch)
            if average:
                average.update(stage.module, step)
            done = step + 1
            losses.append(loss)
            # A GPU must not wait for every loss to be looked at; nothing is logged or kept that was not.
            if device.type == "cpu" or done % LOOK_EVERY == 0 or _is_due(config, done):
                _require_finite(stage.name, losses, done)
                losses.clear()
            if done % config.log_every == 0 or done == config.steps:
                log.write(done, stage.name, "train", {k: float(v) for k, v in logs.items()})
            if config.validate_every and done % config.validate_every == 0 and done < config.steps:
                log.write(done, stage.name, "held_out", _validate(stage))
            if done % config.checkpoint_every == 0 or done == config.steps:
                save_checkpoint(out, stage.module, optimizer, average, settings, step=done)
        if average:
            average.copy_to(stage.module)
        stage.module.eval()
        figures = _validate(stage)
        if figures and first < config.steps:
            log.write(config.steps, stage.name, "held_out", figures)
    seconds = time.perf_counter() - began
    return figures | {"steps_per_second": (config.steps - first) / max(seconds, 1e-9)}


def _is_due(config: TrainConfig, done: int) -> bool:
    """Whether something is logged, validated or kept after so many steps."""
    each = (config.log_every, config.validate_every, config.checkpoint_every)
    return done == config.steps or any(every and done % every == 0 for every in each)


def _require_finite(name: str, losses: list[Tensor], done: int) -> None:
    for step, loss in enumerate(torch.stack(losses).tolist(), start=done - len(losses)):
        if not math.isfinite(loss):
            raise AmplifyError(
                f"{name}: the loss at step {step} is not finite",
                got=loss,
                remedy="look for NaN in the dataset with --strict, or lower --train.learning-rate",
            )


def batches_ahead(stage: Stage, config: TrainConfig, first: int, device: torch.device) -> Iterator[Sample]:
    """The batches of the steps from the first on; for a GPU they are read while it computes.

    Args:
        stage: Makes them.
        config: Seed and sizes.
        first: Step.
        device: Where they are wanted.
    """

    def batch(step: int) -> Sample:
        generator = rng.numpy_generator(config.seed, stage.name, "batch", step)
        return stage.batch(step, generator, config.batch_size)

    if device.type == "cpu":
        yield from map(batch, range(first, config.steps))
        return
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as reader:
        steps = iter(range(first, config.steps))
        waiting = deque(reader.submit(lambda s: batch(s).map(Tensor.pin_memory), s) for s in islice(steps, AHEAD))
        try:
            while waiting:
                ready = waiting.popleft().result()
                waiting.extend(reader.submit(lambda s: batch(s).map(Tensor.pin_memory), s) for s in islice(steps, 1))
                yield ready.map(lambda tensor: tensor.to(device, non_blocking=True))
        finally:
            for later in waiting:
                later.cancel()


def _step(
    stage: Stage, config: TrainConfig, optimizer: torch.optim.Optimizer, step: int, batch: Sample
) -> tuple[Tensor, Mapping[str, float | Tensor]]:
    torch.manual_seed(rng.derive(config.seed, stage.name, "dropout", step))
    stage.module.train()
    device = device_of(stage.module)
    generator = rng.torch_generator(config.seed, stage.name, "loss", step, device=device)
    with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
        loss, logs = stage.loss(batch, generator=generator)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(stage.module.parameters(), config.clip)
    rate = config.learning_rate_at(step)
    for group in optimizer.param_groups:
        group["lr"] = rate * group["multiple"]
    optimizer.step()
    loss = loss.detach()
    return loss, {"loss": loss, **logs, "gradient_norm": norm.detach(), "learning_rate": rate}


@torch.no_grad()
def _validate(stage: Stage) -> dict[str, float]:
    stage.module.eval()
    return stage.validate()


def _optimizer(module: nn.Module, config: TrainConfig, rates: Mapping[str, float]) -> torch.optim.AdamW:
    trained = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    groups = []
    for start, multiple in (("", 1.0), *rates.items()):
        others = () if start else tuple(rates)
        of_group = [p for name, p in trained if name.startswith(start) and not name.startswith(others)]
        groups += [
            {"params": [p for p in of_group if p.ndim >= 2], "weight_decay": config.weight_decay, "multiple": multiple},
            {"params": [p for p in of_group if p.ndim < 2], "weight_decay": 0.0, "multiple": multiple},
        ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=True)
