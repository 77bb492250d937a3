"""Predicted tracks against the truth, on held-out episodes, beside the references that know nothing.

Rows: *model* (forward dynamics, free-running, decoded by the tokenizer), *tokenizer* (the true window encoded and
decoded: the model's ceiling), *no motion*, *constant velocity* (the true motion up to now goes on).
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from amplify.data.windows import Source, WindowSet
from amplify.forward.dynamics import ForwardDynamics
from amplify.jobs import progress
from amplify.metrics.tracks import TrackSums, constant_velocity, no_motion, observed_velocity, track_sums
from amplify.tokens.tokenizer import MotionTokenizer
from amplify.types import TrackWindow

BATCH = 128


@torch.no_grad()
def evaluate_tracks(
    tokenizer: MotionTokenizer,
    forward: ForwardDynamics,
    dataset: Path,
    *,
    truth: str,
    features: str,
    text: str,
    label: str = "track metrics",
) -> dict[str, Any]:
    """Track figures of every window of a dataset.

    Args:
        tokenizer: Decodes what forward dynamics predicts.
        forward: Frozen.
        dataset: Episodes that were not trained on.
        truth: Track sidecar to score against (the simulator's, or a tracker's where there is no simulator).
        features: Feature sidecar.
        text: Text sidecar.
        label: Shown beside the progress bar.

    Returns:
        ``{"moving" | "all": {"model" | "tokenizer" | "no_motion" | "constant_velocity": figures}}`` and ``windows``.

    Raises:
        SidecarError: A sidecar is missing or of other settings.
    """
    tokenizer.eval()
    forward.eval()
    windows = WindowSet(
        [Source(path=dataset)],
        tracks=truth,
        features=features,
        text=text,
        horizon=tokenizer.config.steps + 1,
        actions=False,
    )
    names = ("model", "tokenizer", "no_motion", "constant_velocity")
    sums: dict[str, TrackSums] = {name: TrackSums() for name in names}
    batches = np.array_split(np.arange(len(windows)), max(1, len(windows) // BATCH))
    for chosen in progress(batches, total=len(batches), label=label, unit="batch"):
        batch = windows.batch(chosen)
        assert batch.tracks is not None
        assert batch.features is not None
        queries = batch.tracks.points[..., 0, :, :]
        rows = {
            "model": tokenizer.decode(forward.generate(batch.features), queries),
            "tokenizer": tokenizer.decode(tokenizer.encode(batch.tracks), queries),
            "no_motion": no_motion(batch.tracks),
            "constant_velocity": constant_velocity(batch.tracks, _observed(windows, chosen, batch.tracks)),
        }
        for name, predicted in rows.items():
            sums[name] = sums[name] + track_sums(predicted, batch.tracks)
    scores = {name: total.scores().summary() for name, total in sums.items()}
    return {kind: {name: scores[name][kind] for name in names} for kind in ("moving", "all")} | {
        "windows": len(windows)
    }


def _observed(windows: WindowSet, chosen: np.ndarray, tracks: TrackWindow) -> torch.Tensor:
    before = windows.batch(np.maximum(chosen - 1, 0)).tracks
    assert before is not None
    starts = windows.index[chosen, 2]
    known = torch.from_numpy(starts > 0)[:, None, None, None]
    return torch.where(known, observed_velocity(before), torch.zeros_like(tracks.points[..., 0, :, :]))


@torch.no_grad()
def tracker_agreement(dataset: Path, *, tracker: str, truth: str, horizon: int) -> dict[str, Any]:
    """How far a tracker's windows are from the simulator's, as track figures."""
    guessed = WindowSet([Source(path=dataset)], tracks=tracker, features=None, horizon=horizon, actions=False)
    exact = WindowSet([Source(path=dataset)], tracks=truth, features=None, horizon=horizon, actions=False)
    total = TrackSums()
    for chosen in np.array_split(np.arange(len(exact)), max(1, len(exact) // BATCH)):
        predicted, true = guessed.batch(chosen).tracks, exact.batch(chosen).tracks
        assert predicted is not None
        assert true is not None
        total = total + track_sums(predicted, true)
    return total.scores().summary()
