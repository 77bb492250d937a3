"""How far inverse dynamics is from the actions of held-out demonstrations, beside guesses that know nothing."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from amplify.data.windows import WindowSet
from amplify.forward.dynamics import ForwardDynamics
from amplify.inverse.dynamics import InverseDynamics
from amplify.jobs import progress
from amplify.policy.bundle import Bundle
from amplify.policy.info import info_of
from amplify.tokens.tokenizer import MotionTokenizer
from amplify.train.training_data import TrainingData

ROWS = {
    "foreseen": "inverse dynamics on the motion that is foreseen",
    "real": "inverse dynamics on the motion that came",
    "hold": "the action before, held",
    "mean": "mean action of the demonstrations",
}


@torch.no_grad()
def action_errors(bundle: Bundle, data: TrainingData) -> dict[str, Any]:
    """Mean absolute error of the actions of a chunk, by row of `ROWS`, over all windows of held-out demonstrations.

    Args:
        bundle: With tokenizer, forward and inverse dynamics.
        data: Its training demonstrations and the held-out ones.

    Returns:
        ``"rows"``: for each row ``mean`` (over dimensions, each in `units` of the training demonstrations), ``first``
        (the same for the first action of each chunk alone) and ``dimensions`` (by name, in
        environment units); ``"names"``; ``"windows"`` and ``"episodes"``, their numbers.
    """
    tokenizer, forward = bundle.module("tokenizer", MotionTokenizer), bundle.module("forward", ForwardDynamics)
    inverse = bundle.module("inverse", InverseDynamics)
    data = data.resolved(actions=True, parent=bundle)
    goal = forward.config.goal != "text"
    windows = data.windows(tracks=True, features=True, actions=True, goal=goal, held_out=True)
    single = data.model_copy(update={"action_horizon": 1})
    plain = single.training_windows(tracks=False, features=False, actions=True)
    assert windows is not None
    known = _first_actions(plain, np.arange(len(plain)))
    mean, deviation = known.mean(dim=0), units(known)
    sums = {name: torch.zeros(2, len(mean), dtype=torch.float64) for name in ROWS}
    counts = torch.zeros(2, dtype=torch.float64)
    batches = np.array_split(np.arange(len(windows)), max(1, len(windows) // 128))
    for chosen in progress(batches, total=len(batches), label="action error", unit="batch"):
        batch = windows.batch(chosen)
        assert batch.tracks is not None
        assert batch.features is not None
        assert batch.actions is not None
        assert batch.proprio is not None
        true, valid = batch.actions.actions, batch.actions.valid
        guesses = {"mean": mean.expand_as(true), "hold": _before(windows, chosen, mean)[:, None].expand_as(true)}
        for name, tokens in (("real", tokenizer.encode(batch.tracks)), ("foreseen", forward.plan(batch.features))):
            codes = tokenizer.embed(tokens, inverse.config.motion)
            guesses[name] = inverse.act(batch.features, batch.proprio, codes).actions
        counts += torch.stack([valid.sum(), valid[:, 0].sum()])
        for name, guess in guesses.items():
            error = (guess - true).abs().double() * valid[..., None]
            sums[name] += torch.stack([error.sum(dim=(0, 1)), error[:, 0].sum(dim=0)])
    names = info_of(bundle).action_names
    rows = {}
    for name, total in sums.items():
        error = total / counts[:, None].clamp_min(1)
        scaled = (error / deviation).mean(dim=1).tolist()
        rows[name] = {"mean": scaled[0], "first": scaled[1], "dimensions": dict(zip(names, error[0].tolist()))}
    return {"rows": rows, "names": list(names), "windows": len(windows), "episodes": len(windows.episodes)}


def units(actions: Float[Tensor, "m a"]) -> Float[Tensor, " a"]:
    """What an error of each dimension is measured in: its standard deviation, or the environment's unit if it is 0."""
    deviation = actions.std(dim=0, correction=0)
    return torch.where(deviation > 1e-6, deviation, 1.0)


def _first_actions(windows: WindowSet, chosen: np.ndarray) -> Tensor:
    actions = windows.batch(chosen).actions
    assert actions is not None
    return actions.actions[:, 0]


def _before(windows: WindowSet, chosen: np.ndarray, mean: Tensor) -> Tensor:
    """The action of the frame before each window; the mean where it is an episode's first."""
    starts = torch.from_numpy(windows.locate(chosen)[:, 2])
    return torch.where((starts > 0)[:, None], _first_actions(windows, np.maximum(chosen - 1, 0)), mean)
