"""The reference's forward dynamics as ours: the same function, its one table of positions cut into ours."""

from typing import Any

from torch import Tensor

from amplify.errors import BundleError
from amplify.forward import ForwardConfig
from amplify.reference.blocks import Shapes, Weights, encoder_blocks, encoder_shapes
from amplify.reference.checking import configured, refuse, setting
from amplify.reference.reading import Part
from amplify.reference.tokenizer import levels_of, quantiser_shapes
from amplify.tokens import TokenizerConfig

_TEXT_TOKENS = 32
"""Length to which the reference pads an instruction where it keeps all tokens."""

_IMAGE_PX = 224
"""Side to which it resizes an image before encoding it."""


def forward_settings(
    part: Part, tokenizer: TokenizerConfig | None, classes: int | None = None
) -> tuple[ForwardConfig, dict[str, Any]]:
    """The configuration and the sizes of our forward model.

    Args:
        part: The reference's.
        tokenizer: Of the tokenizer that it belongs to; without one, sizes are read from the tensors alone.
        classes: Outputs of the classifier, where the tensor that shows it is missing.

    Raises:
        BundleError: A setting or a tensor that gives a size is missing, or asks for what has no counterpart here.
    """
    inner = "forward_dynamics"
    refuse(
        part,
        {
            "biases in the trunk (transformer.bias)": setting(part, f"{inner}.transformer.bias", bool),
            "one token a step, for a tokenizer of one string a view": (
                tokenizer is not None and tokenizer.tokens_per == "view"
            ),
        },
    )
    shapes = {name: tuple(value.shape) for name, value in part.weights.items()}
    classes = shapes.get("unembed.weight", shapes.get("unembed.bias", (classes or 0,)))[0]
    rows = shapes.get("trunk.transformer.pos_emb.weight", (0,))[0]
    text = 1
    if setting(part, f"{inner}.text_encoder.return_all_tokens", bool):
        text = part.settings[inner]["text_encoder"].get("seq_len", _TEXT_TOKENS)
    if tokenizer is None:
        width, levels = shapes.get("sos_token", shapes.get("img_proj.bias", (0,)))[-1], levels_of(classes, part)
        tokens = rows - _open_tokens(part)
        patches = _patches_of(part)
        views = (rows - tokens - text) // patches
    else:
        width, levels = tokenizer.width, tokenizer.levels
        tokens, views = tokenizer.steps, tokenizer.views
        patches, rest = divmod(rows - tokens - text, views)
        if rest or patches < 1:  # the table of positions is damaged
            patches = _patches_of(part)
    config = configured(
        part,
        ForwardConfig,
        width=width,
        layers=setting(part, f"{inner}.transformer.n_layer", int),
        heads=setting(part, f"{inner}.transformer.n_head", int),
        dropout=setting(part, f"{inner}.transformer.dropout", (float, int)),
        feature_norm="none",
        classes=classes,
    )
    return config, {
        "levels": levels,
        "tokens": tokens,
        "vision_width": shapes.get("img_proj.weight", (1, 1))[-1],
        "patches": patches,
        "views": views,
        "text_width": shapes.get("text_proj.weight", (1, 1))[-1],
        "text_tokens": text,
    }


def forward_shapes(config: ForwardConfig, sizes: dict[str, Any]) -> Shapes:
    """The reference's tensors that a forward model of this configuration has."""
    width, classes = config.width, config.classes or 0
    positions = sizes["views"] * sizes["patches"] + sizes["text_tokens"] + sizes["tokens"]
    return {
        "sos_token": (1, 1, width),
        **quantiser_shapes(len(sizes["levels"]), width),
        **encoder_shapes("trunk.", layers=config.layers, width=width, positions=positions),
        "img_proj.weight": (width, sizes["vision_width"]),
        "img_proj.bias": (width,),
        "text_proj.weight": (width, sizes["text_width"]),
        "text_proj.bias": (width,),
        "unembed.weight": (classes, width),
        "unembed.bias": (classes,),
    }


def convert_forward(weights: Weights, sizes: dict[str, Any]) -> dict[str, Tensor]:
    """The state of our forward model, a differentiable function of the reference's tensors.

    Args:
        weights: The reference's tensors.
        sizes: From `forward_settings`.
    """
    views, patches, text = sizes["views"], sizes["patches"], sizes["text_tokens"]
    of_patches, of_text, of_tokens = weights["trunk.transformer.pos_emb.weight"].split(
        (views * patches, text, sizes["tokens"])
    )
    named = {
        "vision.1.weight": weights["img_proj.weight"],
        "vision.1.bias": weights["img_proj.bias"],
        "text.1.weight": weights["text_proj.weight"],
        "text.1.bias": weights["text_proj.bias"],
        "code.weight": weights["quantize.project_out.weight"],
        "code.bias": weights["quantize.project_out.bias"],
        "start_token": weights["sos_token"][0, 0],
        "patch_positions": of_patches.unflatten(0, (views, patches)),
        "token_positions": of_tokens,
        **encoder_blocks(weights, "trunk.", "trunk."),
        "classifier.weight": weights["unembed.weight"],
        "classifier.bias": weights["unembed.bias"],
    }
    if text == 1:
        # Ours gives the one token of an instruction no place, so its place is part of the bias.
        return named | {"text.1.bias": weights["text_proj.bias"] + of_text[0]}
    return named | {"text_positions": of_text}


def _patches_of(part: Part) -> int:
    """Patches that the image encoder makes of a view."""
    vision = setting(part, "forward_dynamics.vision_encoder", dict)
    if not vision.get("get_patches") or vision.get("patch_pooling"):
        return 1
    name, side = str(vision.get("model_name")), int(vision.get("img_size", _IMAGE_PX))
    sizes = {"resnet": 32, "dinov2": 14, "vit": 16}
    for start, size in sizes.items():
        if name.startswith(start):
            return (side // size) ** 2
    raise BundleError(
        f"the image encoder of {part.source} is not known, so its patches cannot be counted",
        got=repr(name),
        allowed=", ".join(f"{start}…" for start in sizes),
        remedy="give the tokenizer's file as well",
    )


def _open_tokens(part: Part) -> int:
    """Conditioning tokens: all positions may look at them, so the first row of the mask shows how many they are."""
    for name, value in part.weights.items():
        if name.endswith("attn_mask"):
            return int(value[0, 0, 0].sum())
    raise BundleError(
        f"{part.source} does not say how many tokens it foresees", remedy="give the tokenizer's file as well"
    )
