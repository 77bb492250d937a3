"""The reference's inverse dynamics as ours, with its Gaussian, diffusion or flow head.

Its codes reach it through the quantiser's projection, which the tokenizer's (or the forward model's) file holds; here
it is the embedding of the guide.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from amplify.errors import BundleError, pick
from amplify.inverse import InverseConfig
from amplify.reference.blocks import Shapes, Weights, decoder_blocks, decoder_shapes, linear_shapes
from amplify.reference.checking import configured, refuse, setting
from amplify.reference.denoisers import NOISE, convert_diffusion, convert_flow, diffusion_shapes, flow_shapes
from amplify.reference.reading import Part


@dataclass(frozen=True, slots=True, kw_only=True)
class Codes:
    """What an inverse model must know of the tokens it is given.

    Args:
        tokens: Of a window.
        levels: FSQ levels.
        views: Cameras.
        width: Channels of all the reference's models.
        horizon: Actions of a chunk; None where only the tokenizer would say it.
        weights: Tensors with the quantiser's projection.
    """

    tokens: int
    levels: tuple[int, ...]
    views: int
    width: int
    horizon: int | None
    weights: Weights


def inverse_settings(part: Part, codes: Codes) -> tuple[InverseConfig, dict[str, Any]]:
    """The configuration and the sizes of our inverse model.

    Args:
        part: The reference's.
        codes: Of the tokenizer or the forward model that it belongs to.

    Raises:
        BundleError: A setting is missing or asks for what has no counterpart here, or nothing says how long its chunk
            is.
    """
    refuse(
        part,
        {f"a model that {text}": setting(part, key, bool) != wanted for key, wanted, text in _CONDITIONS},
    )
    kind = setting(part, "type", str)
    config = configured(
        part,
        InverseConfig,
        width=codes.width,
        layers=setting(part, "num_layers", int),
        heads=setting(part, "num_heads", int),
        dropout=setting(part, "attn_pdrop", (float, int)),
        action_horizon=_horizon(part, codes),
        discount=setting(part, "action_loss_discount", (float, int)),
        view_fusion="concat",
        feature_norm="none",
        key_positions=False,
        context_norm=False,
        motion="codes",
        **pick(kind, _HEADS, kind=f"head of the inverse model in {part.source}")(part),
    )
    return config, {
        "code_width": len(codes.levels),
        "tokens": codes.tokens,
        "vision_width": setting(part, "img_embed_dim", int) // codes.views,
        "patches": setting(part, "num_img_tokens", int),
        "views": codes.views,
        "proprio_width": setting(part, "proprio_dim", int),
        "action_width": setting(part, "action_dim", int),
    }


_CONDITIONS = (
    ("cond_on_img", True, "sees no image"),
    ("cond_on_proprio", True, "does not feel the robot (cond_on_proprio)"),
    ("cond_on_tracks", True, "sees no motion (cond_on_tracks)"),
    ("cond_on_text", False, "hears the instruction (cond_on_text)"),
)


def _gaussian_settings(part: Part) -> dict[str, Any]:
    refuse(part, {"actions that are not squashed (action_squash)": not setting(part, "action_squash", bool)})
    return {
        "head": "gaussian",
        "std": _number(part, "std") / _number(part, "action_squash_scale"),
        "std_kind": "learned" if part.settings["std"] == "learned" else "fixed",
    }


_HEADS: dict[str, Any] = {
    "gaussian": _gaussian_settings,
    "diffusion": lambda part: {
        "head": "diffusion",
        "denoiser": "token",
        "diffusion_steps": setting(part, "diffusion_steps", int),
        "diffusion_sampler": "ddpm",
    },
    "flow": lambda part: {
        "head": "flow",
        "denoiser": "adaptive",
        "steps_attend": False,
        "flow_sampler": "midpoint",
        "sampling_steps": setting(part, "flow_matching_steps", int),
        "clip_samples": False,
    },
}


def inverse_shapes(config: InverseConfig, sizes: dict[str, Any], part: Part) -> Shapes:
    """The reference's tensors that an inverse model of this configuration has.

    Args:
        config: From `inverse_settings`.
        sizes: From `inverse_settings`.
        part: The reference's: whether it learned deviation and scale, and whether its integrator kept a copy.
    """
    width, action, horizon = config.width, sizes["action_width"], config.action_horizon
    shapes: Shapes = {
        "img_proj.weight": (width, sizes["views"] * sizes["vision_width"]),
        "img_proj.bias": (width,),
        "proprio_proj.weight": (width, sizes["proprio_width"]),
        "proprio_proj.bias": (width,),
    }
    if config.head == "gaussian":
        learned = ("std", "action_squash_scale")
        return (
            shapes
            | {f"head.{name}": () for name in learned if part.settings.get(name) == "learned"}
            | {"head.latents": (1, horizon, width)}
            | decoder_shapes("head.decoder.", layers=config.layers, width=width, positions=horizon)
            | linear_shapes("head.action_proj", action, width)
        )
    if config.head == "diffusion":
        context = sizes["patches"] + 1 + sizes["tokens"]
        return shapes | diffusion_shapes(config, action_width=action, context_tokens=context)
    return shapes | flow_shapes(config, action_width=action, found=part.weights)


def convert_inverse(weights: Weights, codes: Weights, config: InverseConfig, part: Part) -> dict[str, Tensor]:
    """The state of our inverse model, a differentiable function of the reference's tensors.

    Args:
        weights: The reference's tensors.
        codes: Tensors with the quantiser's projection, of the tokenizer or the forward model.
        config: From `inverse_settings`.
        part: The reference's, for constants of its settings.
    """
    width, actions, proprio = config.width, setting(part, "action_dim", int), setting(part, "proprio_dim", int)
    scale = _number(part, "action_squash_scale") if config.head == "gaussian" else 1.0
    named = {
        "decoder.proprio_scaler.centre": torch.zeros(proprio),
        "decoder.proprio_scaler.half_range": torch.ones(proprio),
        "decoder.action_scaler.centre": torch.zeros(actions),
        "decoder.action_scaler.half_range": torch.full((actions,), scale),
        "decoder.vision.1.weight": weights["img_proj.weight"],
        "decoder.vision.1.bias": weights["img_proj.bias"],
        "decoder.proprio.weight": weights["proprio_proj.weight"],
        "decoder.proprio.bias": weights["proprio_proj.bias"],
        "decoder.guide.weight": codes["quantize.project_out.weight"],
        "decoder.guide.bias": codes["quantize.project_out.bias"],
        "decoder.no_image": torch.zeros(width),
    }
    head = {"gaussian": _gaussian, "diffusion": convert_diffusion, "flow": convert_flow}[config.head](weights, config)
    return named | {f"decoder.head.{name}": value for name, value in head.items()}


def _gaussian(weights: Weights, config: InverseConfig) -> dict[str, Tensor]:
    mean = weights["head.action_proj.weight"]
    named = {
        "trunk.queries": weights["head.latents"][0] + weights["head.decoder.transformer.pos_emb.weight"],
        **decoder_blocks(weights, "head.decoder.", "trunk.transformer."),
        "mean.weight": mean,
        "mean.bias": weights["head.action_proj.bias"],
    }
    if config.std_kind == "learned":
        scale = weights.get("head.action_squash_scale", torch.ones(()))
        named["spread.weight"] = torch.zeros_like(mean)
        named["spread.bias"] = (weights["head.std"] / scale / config.std).log().expand(len(mean))
    return named


def _number(part: Part, name: str) -> float:
    """A setting that is a number, or that of a learned scalar."""
    value = setting(part, name, (float, int, str))
    if value == "learned":
        value = float(part.weights.get(f"head.{name}", torch.ones(())))
    if isinstance(value, str) or not (value > 0 and math.isfinite(value)):
        raise BundleError(f"{name} of the inverse model in {part.source} cannot be used", got=value, allowed="above 0")
    return float(value)


def _horizon(part: Part, codes: Codes) -> int:
    if codes.horizon is not None:
        return codes.horizon
    for name in ("head.latents", f"{NOISE}pos_emb"):
        if name in part.weights:
            return part.weights[name].shape[1]
    raise BundleError(
        f"the inverse model in {part.source} does not say how many actions a chunk has",
        remedy="give the tokenizer's file as well",
    )
