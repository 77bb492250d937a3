"""The files that the reference implementation wrote, and files of other sizes in its format with random weights."""

import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from amplify.reference.forward import forward_settings, forward_shapes
from amplify.reference.inverse import Codes, inverse_settings, inverse_shapes
from amplify.reference.reading import Part
from amplify.reference.tokenizer import tokenizer_config, tokenizer_shapes

FOLDER = Path(__file__).parents[1] / "data" / "reference_checkpoint"
STAGES = ("stage_motion_tokenizer.pt", "stage_forward_dynamics.pt", "stage_inverse_dynamics.pt")

VIEWS, PATCHES, VISION, TEXT, PROPRIO, ACTIONS, STEPS, HORIZON = 3, 2, 6, 10, 5, 4, 6, 9
WIDTH, HEADS = 24, 3

TOKENIZER: dict[str, Any] = {
    "cond_cameraviews": ["a", "b", "c"],
    "img_shape": [96, 96],
    "true_horizon": HORIZON,
    "track_pred_horizon": STEPS + 1,
    "track_method": "uniform_9_reinit_7",
    "num_tracks": 9,
    "num_heads": HEADS,
    "num_layers": 4,
    "attn_pdrop": 0.1,
    "hidden_dim": WIDTH,
    "codebook_size": 64,
    "causal_encoder": False,
    "decoder_mlp_hidden_dim": 20,
    "cond_on_img": False,
    "per_view": False,
    "loss": {
        "loss_fn": "relative_ce",
        "loss_weights": {"a": 0.5, "b": 0.2, "c": 0.6, "elsewhere": 1.0},
        "cls_img_size": [96, 96],
        "rel_cls_img_size": [7, 7],
    },
}
FORWARD: dict[str, Any] = {
    "forward_dynamics": {
        "vision_encoder": {"model_name": "resnet18", "get_patches": True},
        "text_encoder": {"return_all_tokens": False, "use_preprocessed_embs": True},
        "transformer": {"n_layer": 3, "n_head": 2, "dropout": 0.1, "bias": False},
    }
}
INVERSE: dict[str, Any] = {
    "type": "gaussian",
    "diffusion_steps": 7,
    "flow_matching_steps": 3,
    "num_heads": 4,
    "num_layers": 1,
    "attn_pdrop": 0.1,
    "action_dim": ACTIONS,
    "action_squash": True,
    "action_loss_discount": 0.9,
    "std": 0.2,
    "action_squash_scale": 1.0,
    "cond_on_tracks": True,
    "cond_on_proprio": True,
    "proprio_dim": PROPRIO,
    "cond_on_img": True,
    "num_img_tokens": PATCHES,
    "img_embed_dim": VIEWS * VISION,
    "cond_on_text": False,
}


def part(kind: Any, settings: dict[str, Any], weights: dict[str, Tensor] | None = None) -> Part:
    return Part(kind=kind, settings=settings, weights=weights or {}, source=Path("made.pt"))


def random_weights(shapes: dict[str, tuple[int, ...]], seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator) * 0.4 for name, shape in shapes.items()}


def other_sizes() -> dict[str, tuple[dict[str, Any], dict[str, Tensor]]]:
    """Settings and random tensors of each part; the quantiser is shared, as in the reference."""
    config = tokenizer_config(part("tokenizer", TOKENIZER))
    tokenizer = random_weights(tokenizer_shapes(config), 0)
    positions = VIEWS * PATCHES + 1 + STEPS
    sized = {
        "trunk.transformer.pos_emb.weight": torch.zeros(positions, WIDTH),
        "unembed.weight": torch.zeros(64, WIDTH),
        "img_proj.weight": torch.zeros(WIDTH, VISION),
        "text_proj.weight": torch.zeros(WIDTH, TEXT),
    }
    shapes = forward_shapes(*forward_settings(part("forward", FORWARD, sized), config))
    forward = random_weights(shapes, 1) | {k: v for k, v in tokenizer.items() if k.startswith("quantize.")}
    return {
        "tokenizer": (TOKENIZER, tokenizer),
        "forward": (FORWARD, forward),
        "inverse": (INVERSE, inverse_weights("gaussian")),
    }


def inverse_weights(kind: str) -> dict[str, Tensor]:
    """Random tensors of an inverse model with any head."""
    codes = Codes(tokens=STEPS, levels=(8, 8), views=VIEWS, width=WIDTH, horizon=HORIZON, weights={})
    made = part("inverse", {**INVERSE, "type": kind})
    return random_weights(inverse_shapes(*inverse_settings(made, codes), made), 2)


def save_stage(path: Path, settings: dict[str, Any], weights: dict[str, Tensor], prefix: str = "") -> Path:
    torch.save({"model": {prefix + k: v for k, v in weights.items()}, "config": settings, "epoch": 1}, path)
    return path


def copied(tmp_path: Path) -> Path:
    """The folder, to be changed."""
    return Path(shutil.copytree(FOLDER, tmp_path / "folder"))
