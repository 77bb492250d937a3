"""Actions of a policy against those of labelled episodes: which of its halves fails, foresight or control.

Inverse dynamics is asked for the actions of the same moments three times: with the tokens of the true tracks (what is
wrong then is its own), with those that forward dynamics foresees (as in the loop on the robot), and with those of other
moments (which shows that it listens to the motion at all). It does not foretell success, and says where to look when
there is none: of another scene, another camera, another robot's data.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from amplify import rng
from amplify.baselines.behaviour_cloning import BehaviourCloning
from amplify.data.windows import Source, WindowSet
from amplify.errors import BundleError, DataError
from amplify.forward.dynamics import ForwardDynamics
from amplify.inverse.action_decoder import ActionDecoder
from amplify.inverse.dynamics import InverseDynamics
from amplify.jobs import progress
from amplify.metrics.statistics import bootstrap
from amplify.policy.bundle import Bundle
from amplify.policy.info import info_of
from amplify.tokens.tokenizer import MotionTokenizer
from amplify.types import ActionChunk, MotionTokens, Sample

TRUE, FORESEEN, OTHER = "true motion", "foreseen motion", "motion of another moment"
POLICY, MEAN = "policy", "mean action"

BATCH = 64

_COUNT, _MISSED, _GIVEN, _WANTED, _GIVEN2, _WANTED2, _BOTH = range(7)
"""Sums over steps that are kept of each episode and each dimension of the action."""


@torch.no_grad()
def score_actions(
    bundle: Bundle,
    dataset: Path | Sequence[Source],
    *,
    tracks: str | None,
    features: str,
    text: str,
    windows: int = 2048,
    seed: int = 0,
) -> dict[str, Any]:
    """How far a policy's actions are from those of labelled episodes, by the motion that it is given.

    Args:
        bundle: With inverse dynamics (and its tokenizer and forward dynamics), or with behaviour cloning.
        dataset: Episodes with actions, best such as were not trained on: a dataset, or some episodes of several.
        tracks: Track sidecar; behaviour cloning needs none.
        features: Feature sidecar.
        text: Text sidecar.
        windows: At most so many moments, evenly spread.
        seed: Of the other moments, and of the intervals.

    Returns:
        ``"windows"`` and ``"episodes"``, their numbers, and ``"rows"``: by name, ``"error"`` and ``"actions"``. The
        error is the mean absolute error as a share of that of the episodes' mean action, averaged over the dimensions
        that vary, with its 95 % interval (bootstrap over episodes). Actions are, by dimension, ``error`` (mean
        absolute, in units of the action), ``bias`` (given minus wanted), ``correlation``, and ``slope`` of wanted on
        given: above 1 the policy moves too little. None where a figure does not exist, as of what is constant.

    Raises:
        BundleError: The bundle holds neither model, or one whose eyes are not those of the features.
        DataError: There are no actions, or not those of the policy.
        SidecarError: A sidecar is missing or of other settings.
    """
    decoder, info = _decoder(bundle), info_of(bundle)
    found = WindowSet(
        [Source(path=dataset)] if isinstance(dataset, Path) else list(dataset),
        tracks=tracks,
        features=features,
        text=text,
        goal="forward" in bundle.models and bundle.module("forward", ForwardDynamics).config.goal != "text",
        actions=True,
        horizon=info.horizon or 16,
        action_horizon=decoder.config.action_horizon,
        views=info.cameras,
    )
    if not len(found):
        raise DataError("no episode has actions to compare with", remedy="name a dataset of demonstrations")
    names = tuple(found.datasets[0].spec.action_names or ())
    known = info.action_names or names
    if names != known or len(names) != len(decoder.action_scaler.centre):
        raise DataError(
            "the episodes' actions are not those of the policy",
            got=", ".join(names),
            allowed=f"{len(decoder.action_scaler.centre)} dimensions: {', '.join(known)}",
        )
    chosen = np.unique(np.linspace(0, len(found) - 1, min(windows, len(found))).astype(int))
    batches = np.split(chosen, range(BATCH, len(chosen), BATCH))
    places = {(source, episode.index): number for number, (source, episode) in enumerate(found.episodes)}
    owners = [np.array([places[s, e] for s, e, _ in found.locate(batch).tolist()]) for batch in batches]
    samples = [found.batch(batch) for batch in progress(batches, total=len(batches), label="reading", unit="batch")]
    wanted = torch.cat([_chunk(sample).actions[_chunk(sample).valid] for sample in samples])
    rows = _rows(bundle, samples, seed)
    rows[MEAN] = lambda _, sample: wanted.mean(dim=0).expand_as(_chunk(sample).actions)
    sums = {name: np.zeros((len(found.episodes), 7, wanted.shape[-1])) for name in rows}
    for number, sample in enumerate(progress(samples, total=len(samples), label="actions", unit="batch")):
        for name, act in rows.items():
            _add(sums[name], owners[number], act(number, sample), _chunk(sample))
    return {
        "windows": len(chosen),
        "episodes": len(np.unique(np.concatenate(owners))),
        "rows": {
            name: {
                "error": _relative(total, sums[MEAN], seed),
                "actions": dict(zip(names, map(_figures, total.sum(axis=0).T))),
            }
            for name, total in sums.items()
        },
    }


def _decoder(bundle: Bundle) -> ActionDecoder:
    """What gives the bundle's actions."""
    if "inverse_vision_encoder" in bundle.models:
        raise BundleError(
            f"inverse dynamics of {bundle.path} has eyes of its own, whose features are not kept",
            remedy="judge it by rollouts, with 'amplify evaluate policy'",
        )
    if "inverse" in bundle.models:
        return bundle.module("inverse", InverseDynamics).decoder
    if "behaviour_cloning" in bundle.models:
        return bundle.module("behaviour_cloning", BehaviourCloning).decoder
    raise BundleError(
        f"{bundle.path} holds nothing that acts on features",
        got=", ".join(bundle.models) or "no models",
        allowed="inverse dynamics, or behaviour cloning",
        remedy="run 'amplify train inverse' first",
    )


def _chunk(sample: Sample) -> ActionChunk:
    assert sample.actions is not None
    return sample.actions


def _rows(bundle: Bundle, samples: list[Sample], seed: int) -> dict[str, Callable[[int, Sample], Tensor]]:
    """By name, what gives the actions of a batch."""
    if "inverse" not in bundle.models:
        cloning = bundle.module("behaviour_cloning", BehaviourCloning).eval()
        return {POLICY: lambda _, sample: cloning.act(*_seen(sample)).actions}
    tokenizer = bundle.module("tokenizer", MotionTokenizer).eval()
    forward = bundle.module("forward", ForwardDynamics).eval()
    inverse = bundle.module("inverse", InverseDynamics).eval()
    true: list[Int[Tensor, "b k"]] = []
    for sample in samples:
        assert sample.tracks is not None
        true.append(tokenizer.encode(sample.tracks).indices)
    count = sum(map(len, true))
    elsewhere = torch.cat(true)[torch.from_numpy(rng.numpy_generator(seed, "other moments").permutation(count))]
    other = elsewhere.split([len(tokens) for tokens in true])

    def acted(tokens: Int[Tensor, "b k"], sample: Sample) -> Tensor:
        features, proprio = _seen(sample)
        codes = tokenizer.embed(MotionTokens(indices=tokens), inverse.config.motion)
        return inverse.act(features, proprio, codes).actions

    return {
        TRUE: lambda number, sample: acted(true[number], sample),
        FORESEEN: lambda _, sample: acted(forward.plan(_seen(sample)[0]).indices, sample),
        OTHER: lambda number, sample: acted(other[number], sample),
    }


def _seen(sample: Sample) -> tuple[Any, Tensor]:
    assert sample.features is not None
    assert sample.proprio is not None
    return sample.features, sample.proprio


def _add(sums: Float[np.ndarray, "e 7 d"], owners: Int[np.ndarray, " b"], given: Tensor, wanted: ActionChunk) -> None:
    """Adds a batch to the sums of its episodes."""
    valid: Bool[np.ndarray, "b h 1"] = wanted.valid.numpy()[..., None]
    a, b = (np.where(valid, x.double().numpy(), 0.0) for x in (given, wanted.actions))
    terms = (np.broadcast_to(valid, a.shape), np.abs(a - b), a, b, a * a, b * b, a * b)
    np.add.at(sums, owners, np.stack([term.sum(axis=1, dtype=float) for term in terms], axis=1))


def _figures(total: Float[np.ndarray, " 7"]) -> Mapping[str, float | None]:
    """Of one dimension."""
    means = (total / total[_COUNT]).tolist()
    given, wanted = means[_GIVEN], means[_WANTED]
    together = means[_BOTH] - given * wanted
    of_given, of_wanted = _variance(given, means[_GIVEN2]), _variance(wanted, means[_WANTED2])
    return {
        "error": means[_MISSED],
        "bias": given - wanted,
        "correlation": together / math.sqrt(of_given * of_wanted) if of_given and of_wanted else None,
        "slope": together / of_given if of_given else None,
    }


def _variance(mean: float, mean_of_squares: float) -> float:
    """What rounding leaves of equal numbers is none."""
    variance = mean_of_squares - mean**2
    return variance if variance > 1e-9 * mean_of_squares else 0.0


def _relative(sums: Float[np.ndarray, "e 7 d"], mean: Float[np.ndarray, "e 7 d"], seed: int) -> dict[str, float] | None:
    """Error as a share of the mean action's, over dimensions that vary; None where none does."""
    varies = mean[:, _MISSED].sum(axis=0) > 1e-9 * mean[:, _COUNT].sum(axis=0)
    if not varies.any():
        return None
    ours, theirs = sums[:, _MISSED][:, varies], mean[:, _MISSED][:, varies]

    def share(drawn: np.ndarray) -> np.ndarray:
        numbers = drawn.astype(int)
        below = np.maximum(theirs[numbers].sum(axis=-2), 1e-12)
        return np.asarray((ours[numbers].sum(axis=-2) / below).mean(axis=-1))

    there = np.flatnonzero(mean[:, _COUNT].any(axis=-1)).astype(float)
    found = bootstrap(there, generator=rng.numpy_generator(seed, "actions"), statistic=share)
    return {"mean": found.mean, "low": found.low, "high": found.high}
