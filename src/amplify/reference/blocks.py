"""Transformer blocks: the reference's names and shapes, and what its tensors are called here."""

from collections.abc import Iterator, Mapping

from torch import Tensor

Weights = Mapping[str, Tensor]
Shapes = dict[str, tuple[int, ...]]


def encoder_shapes(prefix: str, *, layers: int, width: int, positions: int) -> Shapes:
    """Names and shapes of a stack of self-attention blocks.

    Args:
        prefix: Name of the stack, with its last dot.
        layers: Blocks.
        width: Channels.
        positions: Rows of its table of positions.
    """
    shapes: Shapes = {f"{prefix}transformer.pos_emb.weight": (positions, width)}
    for i in range(layers):
        block = f"{prefix}transformer.h.{i}."
        shapes |= _attention_shapes(f"{block}attn.", width) | _mlp_shapes(f"{block}mlp.", width)
        shapes |= _norm_shapes(block, 2, width)
    return shapes | {f"{prefix}transformer.ln_f.weight": (width,)}


def decoder_shapes(prefix: str, *, layers: int, width: int, positions: int) -> Shapes:
    """Names and shapes of a stack of blocks that attend to themselves, then to a context; see `encoder_shapes`."""
    shapes: Shapes = {f"{prefix}transformer.pos_emb.weight": (positions, width)}
    for i in range(layers):
        block = f"{prefix}transformer.h.{i}."
        shapes |= _attention_shapes(f"{block}self_attn.", width)
        shapes |= _mlp_shapes(f"{block}mlp.", width) | _mlp_shapes(f"{block}mlp_2.", width)
        shapes |= _norm_shapes(block, 4, width)
        shapes |= {
            f"{block}cross_attn.q_proj.weight": (width, width),
            f"{block}cross_attn.kv_proj.weight": (2 * width, width),
            f"{block}cross_attn.c_proj.weight": (width, width),
        }
    return shapes | {f"{prefix}transformer.ln_f.weight": (width,)}


def linear_shapes(name: str, out: int, width: int) -> Shapes:
    """Names and shapes of a linear layer with a bias."""
    return {f"{name}.weight": (out, width), f"{name}.bias": (out,)}


def encoder_blocks(weights: Weights, theirs: str, ours: str) -> dict[str, Tensor]:
    """A stack of self-attention blocks as an `amplify.nn.transformer.Transformer`; positions are left to the caller.

    Args:
        weights: The reference's tensors.
        theirs: Name of the stack there, with its last dot.
        ours: Name of the transformer here, with its last dot.
    """
    named = {f"{ours}norm.weight": weights[f"{theirs}transformer.ln_f.weight"]}
    for i, block in _blocks(weights, theirs):
        named |= _renamed(weights, block, f"{ours}blocks.{i}.", ("ln_1", "attn", "ln_2", "mlp"))
    return named


def decoder_blocks(weights: Weights, theirs: str, ours: str) -> dict[str, Tensor]:
    """A stack of decoder blocks as an `amplify.nn.transformer.CrossTransformer`; see `encoder_blocks`."""
    named = {f"{ours}norm.weight": weights[f"{theirs}transformer.ln_f.weight"]}
    for i, block in _blocks(weights, theirs):
        named |= _renamed(weights, block, f"{ours}among.{i}.", ("ln_1", "self_attn", "ln_2", "mlp"))
        named |= _renamed(weights, block, f"{ours}across.{i}.", ("ln_3", "cross_attn", "ln_4", "mlp_2"))
    return named


def _blocks(weights: Weights, prefix: str) -> Iterator[tuple[int, str]]:
    i = 0
    while f"{prefix}transformer.h.{i}.ln_1.weight" in weights:
        yield i, f"{prefix}transformer.h.{i}."
        i += 1


def _renamed(weights: Weights, theirs: str, ours: str, parts: tuple[str, str, str, str]) -> dict[str, Tensor]:
    norm, attention, mlp_norm, mlp = (f"{theirs}{part}." for part in parts)
    if f"{attention}c_attn.weight" in weights:
        packed = weights[f"{attention}c_attn.weight"]
        query, key_value = packed.split((packed.shape[1], 2 * packed.shape[1]))
    else:
        query, key_value = weights[f"{attention}q_proj.weight"], weights[f"{attention}kv_proj.weight"]
    return {
        f"{ours}attention_norm.weight": weights[f"{norm}weight"],
        f"{ours}attention.query.weight": query,
        f"{ours}attention.key_value.weight": key_value,
        f"{ours}attention.out.weight": weights[f"{attention}c_proj.weight"],
        f"{ours}mlp_norm.weight": weights[f"{mlp_norm}weight"],
        f"{ours}widen.weight": weights[f"{mlp}c_fc.weight"],
        f"{ours}narrow.weight": weights[f"{mlp}c_proj.weight"],
    }


def _attention_shapes(prefix: str, width: int) -> Shapes:
    return {f"{prefix}c_attn.weight": (3 * width, width), f"{prefix}c_proj.weight": (width, width)}


def _mlp_shapes(prefix: str, width: int) -> Shapes:
    return {f"{prefix}c_fc.weight": (4 * width, width), f"{prefix}c_proj.weight": (width, 4 * width)}


def _norm_shapes(prefix: str, count: int, width: int) -> Shapes:
    return {f"{prefix}ln_{i}.weight": (width,) for i in range(1, count + 1)}
