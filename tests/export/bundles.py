"""Bundles of tiny models with random weights."""

from pathlib import Path

import torch

from amplify.bench.models import ACTIONS, PROPRIO, BenchModels, BenchSizes
from amplify.policy.bundle import Bundle, load_bundle, save_bundle
from amplify.policy.info import BundleInfo


def tiny(path: Path, *, head: str = "gaussian", forward: dict | None = None, names: tuple[str, ...] = ()) -> Bundle:
    sizes = BenchSizes.named("tiny", head=head)
    sizes = sizes.model_copy(
        update={
            "forward": sizes.forward.model_copy(update=forward or {}),
            "inverse": sizes.inverse.model_copy(update={"sampling_steps": 1}),
            "tokenizer": sizes.tokenizer.model_copy(update={"steps": 3}),
        }
    )
    made = BenchModels.build(sizes, seed=0, device=torch.device("cpu"))
    models = {
        "tokenizer": made.tokenizer,
        "forward": made.forward,
        "inverse": made.inverse,
        "vision_encoder": made.plain_encoder,
    }
    info = BundleInfo(
        cameras=("front", "wrist"),
        frame_size_px=48,
        action_names=tuple(f"a{i}" for i in range(ACTIONS)),
        proprio_names=tuple(f"p{i}" for i in range(PROPRIO)),
    )
    save_bundle(path, {name: models[name] for name in names or models}, info.meta)
    return load_bundle(path)
