"""How much of a draft a trained model accepts: a plan at every frame of a video, each drafted by the one before."""

import time
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor

from amplify.bench.settings import BenchSettings
from amplify.data.sidecar import folders
from amplify.data.windows import Source, WindowSet
from amplify.errors import DataError
from amplify.forward import ForwardDynamics
from amplify.jobs import progress
from amplify.policy.bundle import Bundle
from amplify.policy.compiled import CompiledPlanner
from amplify.policy.info import info_of
from amplify.tokens import MotionTokenizer
from amplify.types import ActionChunk, Features, MotionTokens, Plan


@torch.inference_mode()
def acceptance(bundle: Bundle, videos: Path, *, plans: int, settings: BenchSettings) -> dict[str, float]:
    """Tokens of a draft that stand before the first that does not, and passes a plan, one window at a time.

    On a GPU also the median time of the tokens of such a plan as CUDA graphs, features to tokens.

    The draft is the plan of the frame before, moved on by one step, as `amplify.policy.amplify.AmplifyPolicy` drafts.
    A model that has learned to foresee all tokens at once is read token by token here.

    Args:
        bundle: With tokenizer and forward dynamics.
        videos: A dataset with a feature sidecar of their encoder.
        plans: Plans to draft, spread over the episodes.
        settings: Gives threads and device.

    Raises:
        BundleError: The bundle lacks one of the models.
        DataError: The dataset has no features, or no episode of two frames.
    """
    device = settings.prepare()
    forward = bundle.module("forward", ForwardDynamics).to(device)
    steps = bundle.module("tokenizer", MotionTokenizer).config.steps
    windows = _windows(bundle, videos)
    lengths = [info.length for _, info in windows.episodes]
    first = [sum(lengths[:number]) for number in range(len(lengths))]
    each = -(-plans // max(1, len(lengths)))
    frames = [start + at for start, length in zip(first, lengths) for at in range(min(each + 1, length))]
    accepted, passes, before, seconds = [], [], None, []
    # Without actions: what they take does not depend on the draft.
    graphs = CompiledPlanner(forward, _tokens_alone) if device.type == "cuda" else None
    for frame in progress(frames, total=len(frames), label="drafts", unit="plan"):
        features = windows.batch(np.array([frame])).features
        assert features is not None
        draft = None if before is None or frame in first else _moved_on(before, steps)
        made = forward.generation(features.to(device), draft=draft)
        if graphs is not None and draft is not None:
            seconds.append(_seconds(graphs, features.to(device), draft))
        before = made.tokens
        if draft is not None:
            accepted.append(int(made.accepted))
            passes.append(made.passes)
    if not accepted:
        raise DataError(f"nothing to draft in {videos}", allowed="an episode of two frames or more")
    return {
        "accepted_tokens": sum(accepted) / len(accepted),
        "of_tokens": float(forward.tokens),
        "passes": sum(passes) / len(passes),
        "plans": float(len(accepted)),
        **({"tokens_ms": 1e3 * median(seconds[1:])} if len(seconds) > 1 else {}),
    }


def _tokens_alone(tokens: MotionTokens, features: Features, proprio: Tensor) -> Plan:
    return Plan(actions=ActionChunk(actions=proprio[:, None], valid=torch.ones_like(proprio[:, :1]) > 0), tokens=tokens)


def _seconds(graphs: CompiledPlanner, features: Features, draft: MotionTokens) -> float:
    nothing = features.text[:, 0, :1]
    torch.cuda.synchronize()
    start = time.perf_counter()
    graphs(features, nothing, draft)
    torch.cuda.synchronize()
    return time.perf_counter() - start


def _moved_on(tokens: MotionTokens, steps: int) -> MotionTokens:
    strings = tokens.indices.unflatten(1, (-1, steps))
    return MotionTokens(indices=torch.cat((strings[..., 1:], strings[..., -1:]), dim=-1).flatten(1))


def _windows(bundle: Bundle, videos: Path) -> WindowSet:
    info = info_of(bundle)
    names = {}
    for kind, encoder in (("features", info.vision_encoder), ("text", info.text_encoder)):
        names[kind] = f"{kind}-{encoder.name if encoder else ''}"
        if names[kind] not in folders(videos, kind):
            raise DataError(
                f"{videos} has no {kind} of the bundle's encoder",
                got=", ".join(folders(videos, kind)) or "none",
                allowed=names[kind],
                remedy=f"run 'amplify encode {videos}' first",
            )
    return WindowSet([Source(path=videos)], tracks=None, actions=False, **names)
