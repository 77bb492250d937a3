"""The golden bundle: tiny models with random weights of one version, which every later version must load.

``python -m tests.golden`` writes it anew, under the version that runs; an older one is kept unless bundles of that
version need not be read any more.
"""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from amplify.baselines import BehaviourCloning
from amplify.forward import ForwardConfig, ForwardDynamics
from amplify.inverse import InverseConfig, InverseDynamics
from amplify.policy import Bundle, load_bundle, save_bundle
from amplify.policy.info import BundleInfo, EncoderInfo
from amplify.tokens import MotionTokenizer, TokenizerConfig
from amplify.tracks.queries import uniform_grid
from amplify.types import ActionChunk, Features, MotionTokens, TrackWindow

GOLDEN = Path(__file__).parent / "data" / "golden_bundle"
ARRAYS = GOLDEN.with_name("golden_arrays.safetensors")
SIZES = {"vision_width": 6, "patches": 4, "views": 2}
SMALL = {"width": 32, "heads": 4}


def inputs() -> dict[str, Tensor]:
    """Features, states, tracks and actions of three samples."""
    generator = torch.Generator().manual_seed(1)
    steps = torch.randn(3, 2, 6, 25, 2, generator=generator) * 0.03
    start = uniform_grid(5).expand(3, 2, 1, 25, 2)
    return {
        "vision": torch.randn(3, 2, 4, 6, generator=generator),
        "text": torch.randn(3, 1, 5, generator=generator),
        "proprio": torch.randn(3, 9, generator=generator),
        "points": torch.cat((start, start + steps.cumsum(dim=2)), dim=2),
        "visible": torch.rand(3, 2, 7, 25, generator=generator) < 0.9,
        "actions": torch.rand(3, 8, 7, generator=generator) * 2 - 1,
    }


def outputs(bundle: Bundle, given: dict[str, Tensor]) -> dict[str, Tensor]:
    """What the models of the bundle make of the inputs."""
    tokenizer = bundle.module("tokenizer", MotionTokenizer)
    forward = bundle.module("forward", ForwardDynamics)
    inverse = bundle.module("inverse", InverseDynamics)
    cloning = bundle.module("behaviour_cloning", BehaviourCloning)
    features = Features(vision=given["vision"], text=given["text"])
    valid = torch.ones(given["points"].shape[:3], dtype=torch.bool)
    window = TrackWindow(points=given["points"], visible=given["visible"], valid=valid)
    chunk = ActionChunk(actions=given["actions"], valid=torch.ones(given["actions"].shape[:2], dtype=torch.bool))
    with torch.no_grad():
        tokens = tokenizer.encode(window)
        motion = tokenizer.embed(tokens, inverse.config.motion)
        return {
            "tokens": tokens.indices,
            "tracks": tokenizer.decode(tokens, given["points"][:, :, 0]).points,
            "tokenizer_loss": tokenizer.loss(window)[0],
            "scores": forward.logits(features, tokens),
            "generated": forward.generate(features).indices,
            "expected_codes": forward.foresee(features),
            "log_likelihood": forward.log_likelihood(features, MotionTokens(indices=tokens.indices)),
            "inverse_actions": inverse.act(features, given["proprio"], motion).actions,
            "inverse_loss": inverse.loss(features, given["proprio"], motion, chunk)[0],
            "cloned_actions": cloning.act(features, given["proprio"]).actions,
        }


def make() -> None:
    """Writes the bundle, inputs and outputs."""
    torch.manual_seed(0)
    levels = (5, 4)
    tokenizer = MotionTokenizer(TokenizerConfig.tiny(levels=levels, steps=6, window=7))
    forward = ForwardDynamics(ForwardConfig.tiny(**SMALL, at_once=0.5), levels=levels, tokens=6, text_width=5, **SIZES)
    acting = {"proprio_width": 9, "action_width": 7, **SIZES}
    inverse = InverseDynamics(
        InverseConfig.tiny(**SMALL, action_horizon=8), code_width=len(levels), tokens=tokenizer.tokens, **acting
    )
    cloning = BehaviourCloning(
        InverseConfig.tiny(**SMALL, action_horizon=8, head="flow", discrete=(6,)), text_width=5, text_tokens=1, **acting
    )
    given = inputs()
    spread = torch.randn(50, 7, generator=torch.Generator().manual_seed(2))
    spread[:, 6] = (spread[:, 6] > 0).float()
    for model in (inverse, cloning):
        model.fit_scalers(given["proprio"].repeat(2, 1), spread)
    info = BundleInfo(
        text_encoder=EncoderInfo(name="toy"), cameras=("front", "wrist"), frame_size_px=128, grid=5, horizon=7, fps=10
    )
    models = {"tokenizer": tokenizer, "forward": forward, "inverse": inverse, "behaviour_cloning": cloning}
    save_bundle(GOLDEN, models, info.meta, {"note": "random weights"})
    arrays = {f"in.{name}": value for name, value in given.items()}
    arrays |= {f"out.{name}": value.contiguous() for name, value in outputs(load_bundle(GOLDEN), given).items()}
    save_file(arrays, ARRAYS)


if __name__ == "__main__":
    make()
