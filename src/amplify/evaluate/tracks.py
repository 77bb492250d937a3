"""Predicted tracks against the truth, on held-out episodes, beside the references that know nothing.

Rows: any predictors by name, *tokenizer* (the true window encoded and decoded: the ceiling of what tokens can say),
*no motion*, *constant velocity* (the true motion up to now goes on).
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import nn

from amplify import rng
from amplify.data.windows import Source, WindowSet
from amplify.errors import UsageError, pick
from amplify.forward.dynamics import ForwardDynamics
from amplify.jobs import progress
from amplify.metrics.statistics import Interval, bootstrap
from amplify.metrics.tracks import TrackSums, constant_velocity, no_motion, observed_velocity, track_sums
from amplify.policy.motion import MotionModel
from amplify.protocols import TrackPredictor
from amplify.tokens.tokenizer import MotionTokenizer
from amplify.types import TrackWindow

BATCH = 128
KINDS = ("moving", "all")
EPISODE_FIGURES = ("count", "error_px", "mse", "pixel_accuracy", "delta_auc")
"""What is kept of every episode, for intervals."""
REFERENCES = ("tokenizer", "no_motion", "constant_velocity")


@torch.no_grad()
def score_predictors(
    predictors: Mapping[str, TrackPredictor],
    dataset: Path | Sequence[Source],
    *,
    truth: str,
    features: str,
    text: str,
    horizon: int,
    goal: bool = False,
    tokenizer: MotionTokenizer | None = None,
    label: str = "track metrics",
    views: tuple[str, ...] = (),
    rate: float | None = None,
) -> dict[str, Any]:
    """Track figures of several predictors on every window of a dataset, whole, by instruction and by episode.

    Args:
        predictors: By name; all see the same windows and are asked for the points of the true tracks.
        dataset: Episodes that were not trained on: a dataset, or some episodes of several.
        truth: Track sidecar to score against (the simulator's, or a tracker's where there is no simulator).
        features: Feature sidecar.
        text: Text sidecar.
        horizon: Frames of a window, the query frame included; the sidecar's and every predictor's.
        goal: Whether predictors are shown the episode's last frame as their goal.
        tokenizer: Adds the row of its ceiling.
        label: Shown beside the progress bar.
        views: As in training, see `Mixture`.
        rate: As in training, see `Mixture`.

    Returns:
        ``{"moving" | "all": {name: figures}}`` over everything; ``"windows"``, their number; ``"instructions"``,
        for each sentence the same three; ``"episodes"``, a list with ``episode``, ``instruction`` and for each name
        the figures in `EPISODE_FIGURES` (0 where ``count``, points × frames, is 0). All are JSON values; `interval`,
        `difference` and `ratio` compute from them how sure they are.

    Raises:
        UsageError: A predictor has the name of a reference row.
        SidecarError: A sidecar is missing or of other settings.
    """
    taken = [name for name in predictors if name in REFERENCES]
    if taken:
        raise UsageError("a predictor has the name of a reference row", got=taken[0], allowed="any other name")
    for model in (tokenizer, *predictors.values()):
        if isinstance(model, nn.Module):
            model.eval()
    windows = WindowSet(
        _sources(dataset),
        tracks=truth,
        features=features,
        goal=goal,
        text=text,
        horizon=horizon,
        actions=False,
        views=views,
        rate=rate,
    )
    references = REFERENCES if tokenizer else REFERENCES[1:]
    names = (*predictors, *references)
    batches = by_episode(windows)
    of_episode = [dict.fromkeys(names, TrackSums()) for _ in windows.episodes]
    for number, chosen in progress(batches, total=len(batches), label=label, unit="batch"):
        batch = windows.batch(chosen)
        assert batch.tracks is not None
        assert batch.features is not None
        queries = batch.tracks.points[..., 0, :, :]
        rows = {name: model.predict(batch.features, queries) for name, model in predictors.items()}
        if tokenizer:
            rows["tokenizer"] = tokenizer.reconstruct(batch.tracks)
        rows["no_motion"] = no_motion(batch.tracks)
        rows["constant_velocity"] = constant_velocity(batch.tracks, _observed(windows, chosen, batch.tracks))
        sums = of_episode[number]
        for name in names:
            sums[name] = sums[name] + track_sums(rows[name], batch.tracks)
    instructions = {
        sentence: [number for number, (_, info) in enumerate(windows.episodes) if info.instruction == sentence]
        for sentence in windows.instructions
    }
    return {
        **_figures(windows, of_episode, range(len(of_episode))),
        "instructions": {s: _figures(windows, of_episode, numbers) for s, numbers in instructions.items()},
        "episodes": [
            {"episode": info.index, "instruction": info.instruction, **episode_figures(sums)}
            for (_, info), sums in zip(windows.episodes, of_episode)
        ],
    }


def _sources(dataset: Path | Sequence[Source]) -> list[Source]:
    return [Source(path=dataset)] if isinstance(dataset, Path) else list(dataset)


def by_episode(windows: WindowSet) -> list[tuple[int, Int64[np.ndarray, " b"]]]:
    """All windows in batches of one episode each, with the episode's place in ``windows.episodes``."""
    lengths = [info.length for _, info in windows.episodes]
    parts = np.split(np.arange(len(windows)), np.cumsum(lengths)[:-1])
    return [
        (number, chosen)
        for number, part in enumerate(parts)
        for chosen in np.array_split(part, max(1, -(-len(part) // BATCH)))
    ]


def _figures(windows: WindowSet, of_episode: list[dict[str, TrackSums]], numbers: Any) -> dict[str, Any]:
    scores = {
        name: sum((of_episode[number][name] for number in numbers), TrackSums()).scores().summary()
        for name in of_episode[0]
    }
    figures: dict[str, Any] = {kind: {name: scores[name][kind] for name in scores} for kind in KINDS}
    return figures | {"windows": sum(windows.episodes[number][1].length for number in numbers)}


def episode_figures(sums: Mapping[str, TrackSums]) -> dict[str, Any]:
    """Of each row, `EPISODE_FIGURES` over moving and all points; 0 where there are none."""
    kept: dict[str, Any] = {kind: {} for kind in KINDS}
    for name, total in sums.items():
        summary = total.scores().summary()
        for kind in KINDS:
            # NaN is no JSON, and a figure of no points has no weight whatever it is.
            scored = bool(summary[kind]["count"])
            kept[kind][name] = {figure: summary[kind][figure] if scored else 0 for figure in EPISODE_FIGURES}
    return kept


def interval(
    scores: Mapping[str, Any], name: str, *, figure: str = "error_px", kind: str = "moving", seed: int = 0
) -> Interval:
    """A predictor's figure with its 95 % interval: bootstrap over episodes.

    Args:
        scores: From `score_predictors`.
        name: Of the predictor, or of a reference.
        figure: One of `EPISODE_FIGURES` but "count".
        kind: "moving" or "all".
        seed: Of the resamples.

    Raises:
        UnknownNameError: There is no such predictor.
    """
    return _resampled(scores, (name,), lambda means: means[0], figure=figure, kind=kind, seed=seed)


def difference(
    scores: Mapping[str, Any], ours: str, theirs: str, *, figure: str = "error_px", kind: str = "moving", seed: int = 0
) -> Interval:
    """Our figure minus theirs on the same episodes: below 0, our error is smaller; arguments as in `interval`."""
    return _resampled(scores, (ours, theirs), lambda means: means[0] - means[1], figure=figure, kind=kind, seed=seed)


def ratio(
    scores: Mapping[str, Any], ours: str, theirs: str, *, figure: str = "error_px", kind: str = "moving", seed: int = 0
) -> Interval:
    """Our figure divided by theirs on the same episodes: below 1, our error is smaller; arguments as in `interval`."""
    return _resampled(scores, (ours, theirs), lambda means: means[0] / means[1], figure=figure, kind=kind, seed=seed)


def _resampled(
    scores: Mapping[str, Any],
    names: tuple[str, ...],
    compare: Callable[[np.ndarray], np.ndarray],
    *,
    figure: str,
    kind: str,
    seed: int,
) -> Interval:
    """Episodes are drawn, not points: points of one episode fail together."""
    for name in names:
        pick(name, scores[kind], kind="predictor")
    rows = [[episode[kind][name] for episode in scores["episodes"]] for name in names]
    counts = np.array([[row["count"] for row in episodes] for episodes in rows], dtype=float)
    totals = counts * np.array([[row[figure] for row in episodes] for episodes in rows], dtype=float)

    def statistic(drawn: np.ndarray) -> np.ndarray:
        numbers = drawn.astype(int)
        return np.asarray(compare(totals[:, numbers].sum(axis=-1) / counts[:, numbers].sum(axis=-1)))

    every = np.arange(len(scores["episodes"]), dtype=float)
    return bootstrap(every, generator=rng.numpy_generator(seed, "episodes"), statistic=statistic)


def evaluate_tracks(
    tokenizer: MotionTokenizer,
    forward: ForwardDynamics,
    dataset: Path | Sequence[Source],
    *,
    truth: str,
    features: str,
    text: str,
    label: str = "track metrics",
    views: tuple[str, ...] = (),
    rate: float | None = None,
) -> dict[str, Any]:
    """Track figures of forward dynamics (free-running) on every window of a dataset.

    Args:
        tokenizer: Decodes what forward dynamics predicts.
        forward: Frozen.
        dataset: Episodes that were not trained on: a dataset, or some episodes of several.
        truth: Track sidecar to score against (the simulator's, or a tracker's where there is no simulator).
        features: Feature sidecar.
        text: Text sidecar.
        label: Shown beside the progress bar.
        views: As in training, see `Mixture`.
        rate: As in training, see `Mixture`.

    Returns:
        ``{"moving" | "all": {"model" | "tokenizer" | "no_motion" | "constant_velocity": figures}}`` and ``windows``.

    Raises:
        SidecarError: A sidecar is missing or of other settings.
    """
    scores = score_predictors(
        {"model": MotionModel(tokenizer, forward)},
        dataset,
        truth=truth,
        features=features,
        text=text,
        horizon=tokenizer.config.steps + 1,
        goal=forward.config.goal != "text",
        tokenizer=tokenizer,
        label=label,
        views=views,
        rate=rate,
    )
    return {part: scores[part] for part in (*KINDS, "windows")}


def _observed(windows: WindowSet, chosen: np.ndarray, tracks: TrackWindow) -> torch.Tensor:
    before = windows.batch(np.maximum(chosen - 1, 0)).tracks
    assert before is not None
    starts = windows.locate(chosen)[:, 2]
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
