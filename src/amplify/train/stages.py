"""What each stage learns from what: the only places where data meets a model's loss.

Tokenizer and forward dynamics never read an action; inverse dynamics never reads the instruction.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from amplify import rng
from amplify.baselines.behaviour_cloning import BehaviourCloning
from amplify.data.windows import WindowSet
from amplify.errors import pick
from amplify.forward.dynamics import ForwardDynamics
from amplify.inverse.dynamics import InverseDynamics
from amplify.jobs import progress
from amplify.nn.device import device_of
from amplify.protocols import Stage
from amplify.tokens import camera_motion
from amplify.tokens.tokenizer import MotionTokenizer
from amplify.tokens.zoom import zoomed
from amplify.types import MotionTokens, Sample, TrackWindow

VALIDATION_WINDOWS = 512
"""Held-out windows of a validation, evenly spread."""
CAMERAS_KEPT = 100_000
"""Windows whose camera motion stays in memory, about a kilobyte each."""


def random_batch(windows: WindowSet, generator: np.random.Generator, size: int) -> tuple[np.ndarray, Sample]:
    """Random windows, each source by its share, and their numbers."""
    chosen = windows.draw(generator, size)
    return chosen, windows.batch(chosen)


def mean_logs(rows: list[dict[str, float | Tensor]]) -> dict[str, float]:
    """Each figure's mean over batches; nothing of no batches."""
    return {name: float(np.mean([float(row[name]) for row in rows])) for name in rows[0]} if rows else {}


def spread(windows: WindowSet, most: int) -> list[np.ndarray]:
    """Batches of at most ``most`` evenly spread windows, always the same ones."""
    count = min(most, len(windows))
    chosen = np.unique(np.linspace(0, len(windows) - 1, count).astype(int)) if count else np.zeros(0, dtype=int)
    return [chosen[i : i + 64] for i in range(0, len(chosen), 64)]


class TokenizerStage:
    """Tracks → motion tokens → tracks."""

    name = "tokenizer"

    def __init__(self, module: MotionTokenizer, windows: WindowSet, held_out: WindowSet | None = None):
        self.module, self.windows, self.held_out = module, windows, held_out
        self._removes = module.config.camera_motion == "removed"
        self._camera: dict[int, Tensor] = {}

    def batch(self, step: int, generator: np.random.Generator, size: int) -> Sample:
        """Random windows of tracks, without the camera's motion where the tokenizer takes it out."""
        chosen, batch = random_batch(self.windows, generator, size)
        return self._stabilised(chosen, batch) if self._removes else batch

    def _stabilised(self, chosen: np.ndarray, batch: Sample) -> Sample:
        """The batch with the camera's motion removed, which is estimated once a window: it costs as much as a step."""
        assert batch.tracks is not None
        new = [i for i, number in enumerate(chosen.tolist()) if number not in self._camera]
        if new:
            found = camera_motion.estimate(batch.tracks.map(lambda x: x[new]))
            self._camera.update(zip(chosen[new].tolist(), found))
        motion = torch.stack([self._camera[number] for number in chosen.tolist()])
        if len(self._camera) > CAMERAS_KEPT:
            self._camera.clear()
        return replace(batch, tracks=camera_motion.remove(batch.tracks, motion))

    def loss(self, batch: Sample, *, generator: torch.Generator) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Cross-entropy of local-window classes (and its companions)."""
        assert batch.tracks is not None
        return self.module.loss(batch.tracks, generator=generator, stabilised=self._removes)

    def validate(self) -> dict[str, float]:
        """The same loss on held-out videos."""
        rows, device = [], device_of(self.module)
        for chosen in spread(self.held_out, VALIDATION_WINDOWS) if self.held_out else []:
            generator = rng.torch_generator(0, self.name, "validate", int(chosen[0]), device=device)
            tracks = self.held_out.batch(chosen).tracks  # type: ignore[union-attr]
            assert tracks is not None
            loss, logs = self.module.loss(tracks.to(device), generator=generator)
            rows.append({"loss": loss, **logs})
        return mean_logs(rows)


def known_tokens(tracks: TrackWindow, tokens: MotionTokens) -> Bool[Tensor, "b k"]:
    """Which tokens stand for motion that is there: not past an episode's end, not of a view that its source lacks.

    Args:
        tracks: The windows, (b, v, t, n, 2).
        tokens: One a step of all views together, of which one must be valid; or one a step of each view.
    """
    steps = tracks.valid[..., 1:] & tracks.valid[..., :1]  # (b, v, steps)
    return steps.any(dim=1) if tokens.indices.shape[-1] == steps.shape[-1] else steps.flatten(1)


@torch.no_grad()
def tokens_of_tracks(
    tokenizer: MotionTokenizer,
    windows: WindowSet,
    *,
    label: str,
    change: Callable[[TrackWindow], TrackWindow] = lambda tracks: tracks,
) -> Int[Tensor, "w k"]:
    """The motion tokens of every window, by the frozen tokenizer where it is; they come back to the CPU.

    Args:
        tokenizer: Frozen.
        windows: With tracks.
        label: Shown beside the progress bar.
        change: Made to the tracks before.
    """
    tokenizer.eval()
    device = device_of(tokenizer)
    everything = np.array_split(np.arange(len(windows)), max(1, len(windows) // 256))
    rows = []
    for chosen in progress(everything, total=len(everything), label=label, unit="batch"):
        tracks = windows.batch(chosen).tracks
        assert tracks is not None
        rows.append(tokenizer.encode(change(tracks).to(device)).indices.cpu())
    return torch.cat(rows)


def tokens_zoomed(
    tokenizer: MotionTokenizer, windows: WindowSet, number: int, *, most: float, views: tuple[str, ...], seed: int
) -> Int[Tensor, "w k"]:
    """The motion tokens of every window as a nearer or farther camera would see it, each its own.

    Args:
        tokenizer: Frozen.
        windows: With tracks of a square grid.
        number: Of the variant.
        most: How much larger or smaller, at most; factors are uniform in their logarithm.
        views: Which are zoomed; empty takes all.
        seed: Of the factors.

    Raises:
        UnknownNameError: There is no such view.
        UsageError: The points are no square grid.
    """
    for name in views:
        pick(name, dict.fromkeys(windows.views), kind="view of the mixture")
    chosen = torch.tensor([not views or name in views for name in windows.views])
    generator = rng.torch_generator(seed, "zoom", number)

    def change(tracks: TrackWindow) -> TrackWindow:
        drawn = 2 * torch.rand(tracks.points.shape[:2], generator=generator) - 1
        return zoomed(tracks, torch.exp(math.log(most) * drawn * chosen))

    return tokens_of_tracks(tokenizer, windows, label=f"tokens, zoom {number + 1}", change=change)


@torch.no_grad()
def tokens_predicted(
    forward: ForwardDynamics,
    windows: WindowSet,
    chosen: Int[np.ndarray, " w"],
    *,
    samples: int,
    temperature: float,
    seed: int,
    label: str,
) -> Int[Tensor, "samples w k"]:
    """Motion tokens that the frozen forward model foresees for some windows: greedy first, then random futures.

    It computes where it is; the tokens come back to the CPU.

    Args:
        forward: Frozen, dropout off.
        windows: Demonstrations with features.
        chosen: Numbers of the windows.
        samples: Random futures beside the plan.
        temperature: Of the random futures.
        seed: Of the random futures.
        label: Shown beside the progress bar.
    """
    forward.eval()
    device = device_of(forward)
    batches = np.array_split(chosen, max(1, len(chosen) // 128))
    rows = []
    for numbers in progress(batches, total=len(batches), label=label, unit="batch"):
        features = windows.batch(numbers).features
        assert features is not None
        features = features.to(device)
        futures = [forward.plan(features).indices]
        generator = rng.torch_generator(seed, "predicted", int(numbers[0]), device=device)
        for _ in range(samples):
            futures.append(forward.generate(features, generator=generator, temperature=temperature).indices)
        rows.append(torch.stack(futures).cpu())
    return torch.cat(rows, dim=1)


class ForwardStage:
    """Image + instruction → motion tokens, taught by the frozen tokenizer."""

    name = "forward"

    def __init__(
        self,
        module: ForwardDynamics,
        windows: WindowSet,
        tokens: Int[Tensor, "w k"],
        held_out: WindowSet | None = None,
        held_out_tokens: Int[Tensor, "h k"] | None = None,
    ):
        self.module, self.windows, self.tokens = module, windows, tokens
        self.held_out, self.held_out_tokens = held_out, held_out_tokens

    def batch(self, step: int, generator: np.random.Generator, size: int) -> Sample:
        """Random windows: features and tokens."""
        chosen, batch = random_batch(self.windows, generator, size)
        return replace(batch, tokens=MotionTokens(indices=self.tokens[torch.from_numpy(chosen)]))

    def loss(self, batch: Sample, *, generator: torch.Generator) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Teacher-forced cross-entropy of the next code."""
        assert batch.features is not None
        assert batch.tokens is not None
        valid = None if batch.tracks is None else known_tokens(batch.tracks, batch.tokens)
        return self.module.loss(batch.features, batch.tokens, valid)

    def validate(self) -> dict[str, float]:
        """The same loss on held-out videos."""
        if self.held_out is None or self.held_out_tokens is None:
            return {}
        rows = []
        for chosen in spread(self.held_out, VALIDATION_WINDOWS):
            batch = self.held_out.batch(chosen)
            tokens = MotionTokens(indices=self.held_out_tokens[torch.from_numpy(chosen)])
            batch = replace(batch, tokens=tokens).to(device_of(self.module))
            loss, logs = self.loss(batch, generator=torch.Generator())
            rows.append({"loss": loss, **logs})
        return mean_logs(rows)


class InverseStage:
    """Image + proprioception + motion tokens → actions: on real tracks' tokens first, then on foreseen ones."""

    name = "inverse"

    def __init__(
        self,
        module: InverseDynamics,
        windows: WindowSet,
        *,
        tokenizer: MotionTokenizer,
        real: Int[Tensor, "variants w k"],
        predicted: Int[Tensor, "samples w k"] | None,
        predicted_from: int,
        held_out: WindowSet | None = None,
        held_out_tokens: Int[Tensor, "h k"] | None = None,
    ):
        self.module, self.windows, self.tokenizer = module, windows, tokenizer
        self.held_out, self.held_out_tokens = held_out, held_out_tokens
        self.real, self.predicted, self.predicted_from = real, predicted, predicted_from

    def batch(self, step: int, generator: np.random.Generator, size: int) -> Sample:
        """Random windows: features, proprioception, actions, tokens."""
        chosen, batch = random_batch(self.windows, generator, size)
        rows = torch.from_numpy(chosen)
        foreseen = self.predicted is not None and step >= self.predicted_from
        among = self.predicted if self.predicted is not None and foreseen else self.real
        which = torch.from_numpy(generator.integers(len(among), size=size))
        return replace(batch, tokens=MotionTokens(indices=among[which, rows]))

    def loss(self, batch: Sample, *, generator: torch.Generator) -> tuple[Tensor, dict[str, float | Tensor]]:
        """The action head's loss."""
        assert batch.features is not None
        assert batch.tokens is not None
        assert batch.actions is not None
        assert batch.proprio is not None
        codes = self.tokenizer.embed(batch.tokens, self.module.config.motion)
        return self.module.loss(batch.features, batch.proprio, codes, batch.actions, generator=generator)

    def validate(self) -> dict[str, float]:
        """The same loss on held-out demonstrations and the tokens of their real tracks; it does not foretell success.

        Nothing where none are held out: by default every labelled demonstration is trained on.
        """
        if self.held_out is None or self.held_out_tokens is None:
            return {}
        rows = []
        for chosen in spread(self.held_out, VALIDATION_WINDOWS):
            tokens = MotionTokens(indices=self.held_out_tokens[torch.from_numpy(chosen)])
            batch = replace(self.held_out.batch(chosen), tokens=tokens)
            rows.append(_scored(self, batch.to(device_of(self.module)), int(chosen[0])))
        return mean_logs(rows)


class BehaviourCloningStage:
    """The baseline: image + proprioception + instruction → actions."""

    name = "behaviour-cloning"

    def __init__(self, module: BehaviourCloning, windows: WindowSet, held_out: WindowSet | None = None):
        self.module, self.windows, self.held_out = module, windows, held_out

    def batch(self, step: int, generator: np.random.Generator, size: int) -> Sample:
        """Random windows: features, proprioception, actions."""
        return random_batch(self.windows, generator, size)[1]

    def loss(self, batch: Sample, *, generator: torch.Generator) -> tuple[Tensor, dict[str, float | Tensor]]:
        """The action head's loss."""
        assert batch.features is not None
        assert batch.actions is not None
        assert batch.proprio is not None
        return self.module.loss(batch.features, batch.proprio, batch.actions, generator=generator)

    def validate(self) -> dict[str, float]:
        """The same loss on held-out demonstrations; nothing where none are, as for inverse dynamics."""
        if self.held_out is None:
            return {}
        rows = []
        for chosen in spread(self.held_out, VALIDATION_WINDOWS):
            rows.append(_scored(self, self.held_out.batch(chosen).to(device_of(self.module)), int(chosen[0])))
        return mean_logs(rows)


def _scored(stage: Stage, batch: Sample, first: int) -> dict[str, float | Tensor]:
    """Loss and figures of a batch for validation, with the same noise every time."""
    generator = rng.torch_generator(0, stage.name, "validate", first, device=device_of(stage.module))
    value, logs = stage.loss(batch, generator=generator)
    return {"loss": value, **logs}
