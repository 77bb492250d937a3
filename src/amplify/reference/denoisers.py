"""The networks of the reference's diffusion and flow heads as our denoiser.

Its diffusion network is a decoder of torch's own layers, its flow network one of the diffusers library's blocks.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from amplify.inverse import InverseConfig
from amplify.inverse.denoiser import LEVEL_CHANNELS
from amplify.reference.blocks import Shapes, Weights, linear_shapes

NOISE, _NET = "head.policy.noise_pred_net.", "head.policy.net."
"""Where the networks are in an inverse model."""

_COPY = "head.policy.solver.velocity_model.model."
"""A second copy of the flow network's tensors, kept by its integrator."""

_PLACES = 512
"""Rows of the flow network's fixed table of places."""


def diffusion_shapes(config: InverseConfig, *, action_width: int, context_tokens: int) -> Shapes:
    """The reference's tensors of a diffusion head."""
    layers, width, action, horizon, context = (
        config.layers,
        config.width,
        action_width,
        config.action_horizon,
        context_tokens,
    )
    shapes: Shapes = {"pos_emb": (1, horizon, width), "cond_pos_emb": (1, 1 + context, width)}
    shapes |= linear_shapes("input_emb", width, action) | linear_shapes("cond_obs_emb", width, width)
    shapes |= linear_shapes("encoder.0", 4 * width, width) | linear_shapes("encoder.2", width, 4 * width)
    for i in range(layers):
        block = f"decoder.layers.{i}."
        for name in ("self_attn", "multihead_attn"):
            shapes |= {f"{block}{name}.in_proj_weight": (3 * width, width), f"{block}{name}.in_proj_bias": (3 * width,)}
            shapes |= linear_shapes(f"{block}{name}.out_proj", width, width)
        shapes |= linear_shapes(f"{block}linear1", 4 * width, width) | linear_shapes(
            f"{block}linear2", width, 4 * width
        )
        shapes |= {f"{block}norm{k}.{kind}": (width,) for k in (1, 2, 3) for kind in ("weight", "bias")}
    shapes |= {f"ln_f.{kind}": (width,) for kind in ("weight", "bias")} | linear_shapes("head", action, width)
    return {f"{NOISE}{name}": shape for name, shape in shapes.items()}


def flow_shapes(config: InverseConfig, *, action_width: int, found: Weights) -> Shapes:
    """The reference's tensors of a flow head.

    Args:
        config: Its configuration.
        action_width: Action dimensions.
        found: The tensors in the file: whether its integrator kept a copy.
    """
    own = _net_shapes(config.layers, config.width, action_width)
    places = [_NET, _COPY] if any(name.startswith(_COPY) for name in found) else [_NET]
    return {f"{place}{name}": shape for place in places for name, shape in own.items()}


def copies_that_differ(weights: Weights) -> list[str]:
    """Names of the flow network's tensors whose second copy is another: it would not be clear which one acted."""
    pairs = ((name, weights.get(_NET + name.removeprefix(_COPY))) for name in weights if name.startswith(_COPY))
    return [name for name, own in pairs if own is not None and not torch.equal(own, weights[name])]


def _net_shapes(layers: int, width: int, action: int) -> Shapes:
    level = "timestep_encoder.timestep_embedder."
    shapes = linear_shapes(f"{level}linear_1", width, LEVEL_CHANNELS) | linear_shapes(f"{level}linear_2", width, width)
    shapes |= linear_shapes("proj_in", width, action) | linear_shapes("proj_out_1", 2 * width, width)
    for i in range(layers):
        block = f"transformer_blocks.{i}."
        shapes |= {f"{block}pos_embed.pe": (1, _PLACES, width)} | linear_shapes(
            f"{block}norm1.linear", 2 * width, width
        )
        for name in ("to_q", "to_k", "to_v", "to_out.0"):
            shapes |= linear_shapes(f"{block}attn1.{name}", width, width)
        shapes |= linear_shapes(f"{block}ff.net.0.proj", 4 * width, width)
        shapes |= linear_shapes(f"{block}ff.net.2", width, 4 * width)
    return shapes | linear_shapes("proj_out_2", action, width)


def convert_diffusion(weights: Weights, config: InverseConfig) -> dict[str, Tensor]:
    """The state of our diffusion head, a differentiable function of the reference's tensors."""
    named = {
        "denoiser.positions": weights[f"{NOISE}pos_emb"][0],
        "denoiser.context_positions": weights[f"{NOISE}cond_pos_emb"][0],
    }
    same = {
        "input_emb": "enter",
        "cond_obs_emb": "context",
        "encoder.0": "memory.0",
        "encoder.2": "memory.2",
        "ln_f": "norm.norm",
        "head": "out",
    }
    for i in range(config.layers):
        theirs, ours = f"decoder.layers.{i}.", f"layers.{i}."
        for asked, name in (("self_attn", "among"), ("multihead_attn", "across")):
            for kind in ("weight", "bias"):
                packed = weights[f"{NOISE}{theirs}{asked}.in_proj_{kind}"]
                query, key_value = packed.split((config.width, 2 * config.width))
                named[f"denoiser.{ours}{name}.query.{kind}"] = query
                named[f"denoiser.{ours}{name}.key_value.{kind}"] = key_value
            same[f"{theirs}{asked}.out_proj"] = f"{ours}{name}.out"
        same |= {
            f"{theirs}norm1": f"{ours}among_norm.norm",
            f"{theirs}norm2": f"{ours}across_norm.norm",
            f"{theirs}norm3": f"{ours}mlp_norm",
            f"{theirs}linear1": f"{ours}widen",
            f"{theirs}linear2": f"{ours}narrow",
        }
    return named | dict(_linears(weights, NOISE, same))


def convert_flow(weights: Weights, config: InverseConfig) -> dict[str, Tensor]:
    """The state of our flow head, a differentiable function of the reference's tensors."""
    level = "timestep_encoder.timestep_embedder."
    sines = weights[f"{_NET}{level}linear_1.weight"]
    same = {f"{level}linear_1": "level.0", f"{level}linear_2": "level.2", "proj_in": "enter", "proj_out_2": "out"}
    named: dict[str, Tensor] = {}
    for i in range(config.layers):
        theirs, ours = f"transformer_blocks.{i}.", f"layers.{i}."
        same |= {
            f"{theirs}norm1.linear": f"{ours}across_norm.modulate",
            f"{theirs}attn1.to_q": f"{ours}across.query",
            f"{theirs}attn1.to_out.0": f"{ours}across.out",
            f"{theirs}ff.net.0.proj": f"{ours}widen",
            f"{theirs}ff.net.2": f"{ours}narrow",
        }
        for kind in ("weight", "bias"):
            pair = [weights[f"{_NET}{theirs}attn1.{name}.{kind}"] for name in ("to_k", "to_v")]
            named[f"denoiser.{ours}across.key_value.{kind}"] = torch.cat(pair)
    named |= dict(_linears(weights, _NET, same))
    # Cosines before sines, and the shift before the scale, are the other way round here.
    named["denoiser.level.0.weight"] = sines.roll(sines.shape[1] // 2, dims=1)
    for kind in ("weight", "bias"):
        named[f"denoiser.norm.modulate.{kind}"] = weights[f"{_NET}proj_out_1.{kind}"].roll(config.width, dims=0)
    places = weights[f"{_NET}transformer_blocks.0.pos_embed.pe"]
    return named | {"denoiser.positions": places[0, : config.action_horizon]}


def _linears(weights: Weights, prefix: str, same: dict[str, str]) -> Iterator[tuple[str, Tensor]]:
    for theirs, ours in same.items():
        for kind in ("weight", "bias"):
            yield f"denoiser.{ours}.{kind}", weights[f"{prefix}{theirs}.{kind}"]
