"""What motion tokens keep of motion, and what their likelihood says of it, on held-out episodes."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from amplify.data.windows import Source, WindowSet
from amplify.errors import DataError
from amplify.evaluate.tracks import KINDS, by_episode, episode_figures
from amplify.jobs import progress
from amplify.metrics.statistics import codebook_usage
from amplify.metrics.tracks import TrackSums, no_motion, track_sums
from amplify.policy.motion import MotionModel
from amplify.tokens import camera_motion
from amplify.tokens.clipping import clipping
from amplify.tokens.tokenizer import MotionTokenizer
from amplify.types import TrackWindow


@torch.no_grad()
def round_trip(tokenizer: MotionTokenizer, dataset: Path, *, tracks: str, label: str = "round trip") -> dict[str, Any]:
    """Track figures of true windows that were encoded and decoded, in the form of `score_predictors`.

    A camera's motion that the tokenizer takes out is given back from the true window: tokens do not carry it.

    Args:
        tokenizer: Frozen.
        dataset: Episodes that were not trained on.
        tracks: Track sidecar.
        label: Shown beside the progress bar.

    Returns:
        ``{"moving" | "all": {"round trip" | "no_motion": figures}}``; ``"episodes"``, as in `score_predictors`;
        ``"clipping"``: ``share`` and ``moving_share`` of the steps beyond the local window, and ``largest_px``;
        ``"codebook"``: ``size``, ``used`` and ``perplexity``.

    Raises:
        SidecarError: The sidecar is missing or of other settings.
    """
    tokenizer.eval()
    horizon = tokenizer.config.steps + 1
    windows = WindowSet([Source(path=dataset)], tracks=tracks, features=None, horizon=horizon, actions=False)
    removed = tokenizer.config.camera_motion == "removed"
    names = ("round trip", "no_motion")
    of_episode: list[dict[str, TrackSums]] = [dict.fromkeys(names, TrackSums()) for _ in windows.episodes]
    said: list[torch.Tensor] = []
    true: list[TrackWindow] = []
    batches = by_episode(windows)
    for number, chosen in progress(batches, total=len(batches), label=label, unit="batch"):
        window = windows.batch(chosen).tracks
        assert window is not None
        camera = camera_motion.estimate(window) if removed else None
        codes = tokenizer.encode_codes(window)
        rows = {
            "round trip": tokenizer.decode_codes(codes, window.points[..., 0, :, :], camera=camera),
            "no_motion": no_motion(window),
        }
        for name, row in rows.items():
            of_episode[number][name] = of_episode[number][name] + track_sums(row, window)
        said.append(tokenizer.quantiser.indices(codes))
        true.append(window)
    beyond = clipping(_joined(true), tokenizer.config)
    usage = codebook_usage(torch.cat(said), tokenizer.codebook_size)
    whole = {name: sum((sums[name] for sums in of_episode), TrackSums()).scores().summary() for name in names}
    return {
        **{kind: {name: whole[name][kind] for name in names} for kind in KINDS},
        "episodes": [
            {"episode": info.index, "instruction": info.instruction, **episode_figures(sums)}
            for (_, info), sums in zip(windows.episodes, of_episode)
        ],
        "clipping": {
            "share": beyond.share,
            "moving_share": beyond.moving_share,
            "largest_px": beyond.largest_px,
        },
        "codebook": {"size": usage.size, "used": usage.used, "perplexity": usage.perplexity},
    }


def _joined(windows: list[TrackWindow]) -> TrackWindow:
    return TrackWindow(
        points=torch.cat([window.points for window in windows]),
        visible=torch.cat([window.visible for window in windows]),
        valid=torch.cat([window.valid for window in windows]),
    )


@torch.no_grad()
def told_apart(
    model: MotionModel,
    dataset: Path,
    *,
    tracks: str,
    features: str,
    text: str,
    rivals: Mapping[str, str],
    label: str = "likelihoods",
) -> dict[str, Any]:
    """How often a given motion is likelier under the sentence that asked for it than under its rival.

    Args:
        model: Frozen.
        dataset: Episodes that were not trained on.
        tracks: Track sidecar of the motions that are scored.
        features: Feature sidecar.
        text: Text sidecar; it must know the rivals too.
        rivals: For each sentence of the dataset another one.
        label: Shown beside the progress bar.

    Returns:
        ``"windows"``: their number; ``"windows_right"``: the share of them; ``"episodes"``: for each ``instruction``
        and ``nats``, the mean over its windows of the difference of the two log-likelihoods (above 0 is right).

    Raises:
        DataError: A rival is not among the dataset's sentences.
        SidecarError: A sidecar is missing or of other settings.
    """
    horizon = model.tokenizer.config.steps + 1
    windows = WindowSet(
        [Source(path=dataset)],
        tracks=tracks,
        features=features,
        goal=model.forward.config.goal != "text",
        text=text,
        horizon=horizon,
        actions=False,
    )
    for sentence in windows.instructions:
        if rivals.get(sentence) not in windows.instructions:
            raise DataError(
                f"no rival of {sentence!r} in {dataset}",
                got=repr(rivals.get(sentence)),
                allowed=", ".join(windows.instructions),
            )
    embedded = _sentences(windows)
    episodes: list[list[float]] = [[] for _ in windows.episodes]
    batches = by_episode(windows)
    for number, chosen in progress(batches, total=len(batches), label=label, unit="batch"):
        batch = windows.batch(chosen)
        assert batch.tracks is not None
        assert batch.features is not None
        rival = embedded[rivals[windows.episodes[number][1].instruction]]
        other = replace(batch.features, text=rival.expand_as(batch.features.text))
        own = model.log_likelihood(batch.features, batch.tracks)
        episodes[number] += (own - model.log_likelihood(other, batch.tracks)).tolist()
    every = np.concatenate([np.array(nats) for nats in episodes])
    return {
        "windows": len(every),
        "windows_right": float((every > 0).mean()),
        "episodes": [
            {"instruction": info.instruction, "nats": float(np.mean(nats))}
            for (_, info), nats in zip(windows.episodes, episodes)
        ],
    }


def _sentences(windows: WindowSet) -> dict[str, torch.Tensor]:
    embedded = {}
    for number, sentence in enumerate(windows.instructions):
        features = windows.batch(np.flatnonzero(windows.instruction_numbers == number)[:1]).features
        assert features is not None
        embedded[sentence] = features.text
    return embedded
