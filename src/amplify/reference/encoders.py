"""The reference's image and text encoders as ours, where a checkpoint holds them.

Its ResNet comes from timm, with names of its own; it is fed pixels from 0 to 1 without ImageNet's mean and deviation,
resized without a filter. Its T5 has the names of the transformers library; the first word piece stands for a sentence.
"""

import re
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from amplify.encoders.text import TextConfig, TextNetwork
from amplify.encoders.vision import PatchNetwork, VisionConfig
from amplify.reference.blocks import Shapes, Weights
from amplify.reference.checking import refuse, setting
from amplify.reference.reading import Part

_STAGES = ("4", "5", "6", "7")
"""Places of a ResNet's stages among the layers of the reference's encoder."""


def vision_network(part: Part) -> PatchNetwork:
    """Our image encoder of the reference's sizes, without its weights.

    Raises:
        BundleError: It is not a ResNet of basic blocks whose patches are taken.
    """
    name = setting(part, "model_name", str)
    convolutions = {key: value.shape for key, value in part.weights.items() if re.search(r"(conv\d|model\.0)\.w", key)}
    refuse(
        part,
        {
            f"a network {name!r}": not name.startswith("resnet"),
            "a network of bottleneck blocks": any(".conv3." in key for key in convolutions),
            "one vector in place of patches (get_patches)": not setting(part, "get_patches", bool),
            f"patch_pooling {part.settings.get('patch_pooling')!r}": bool(part.settings.get("patch_pooling")),
        },
    )
    blocks = [sorted({key.split(".")[2] for key in part.weights if key.startswith(f"model.{s}.")}) for s in _STAGES]
    widths = [
        convolutions[f"model.{s}.0.conv1.weight"][0] for s in _STAGES if f"model.{s}.0.conv1.weight" in convolutions
    ]
    side = int(part.settings.get("img_size", 224))
    architecture = {
        "model_type": "resnet",
        "embedding_size": convolutions.get("model.0.weight", (64,))[0],
        "hidden_sizes": widths,
        "depths": [len(rows) for rows in blocks if rows],
        "layer_type": "basic",
        "hidden_act": "relu",
        "downsample_in_first_stage": False,
        "downsample_in_bottleneck": False,
    }
    config = VisionConfig(network="resnet18", input_px=side, grid=side // 32, normalise=False, antialias=False)
    return PatchNetwork(config, architecture=architecture)


def text_network(part: Part) -> TextNetwork:
    """Our text encoder of the reference's sizes, without its weights."""
    attention = "model.block.0.layer.0.SelfAttention."
    shapes = {key: tuple(value.shape) for key, value in part.weights.items()}
    vocabulary, width = shapes.get("model.embed_tokens.weight", (0, 0))
    buckets, heads = shapes.get(f"{attention}relative_attention_bias.weight", (32, 8))
    architecture = {
        "model_type": "t5",
        "vocab_size": vocabulary,
        "d_model": width,
        "d_kv": shapes.get(f"{attention}q.weight", (0, 0))[0] // heads,
        "d_ff": shapes.get("model.block.0.layer.1.DenseReluDense.wi.weight", (0, 0))[0],
        "num_layers": len({key.split(".")[2] for key in shapes if key.startswith("model.block.")}),
        "num_heads": heads,
        "relative_attention_num_buckets": buckets,
    }
    tokens = "all" if setting(part, "return_all_tokens", bool) else "first"
    config = TextConfig(network="t5", tokens=tokens, max_tokens=int(part.settings.get("seq_len", 32)))
    return TextNetwork(config, architecture=architecture)


def encoder_shapes(network: nn.Module) -> Shapes:
    """The reference's tensors that an encoder of these sizes has."""
    return {_theirs(name): tuple(value.shape) for name, value in network.state_dict().items()}


def convert_encoder(weights: Weights, network: nn.Module) -> dict[str, Tensor]:
    """The state of our encoder, the reference's tensors by our names.

    Args:
        weights: The reference's tensors; counts of training batches may be missing.
        network: From `vision_network` or `text_network`.
    """
    return {name: weights.get(_theirs(name), value) for name, value in network.state_dict().items()}


def _theirs(name: str) -> str:
    if name.startswith("language.network."):
        return f"model.{name.removeprefix('language.network.')}"
    return _of_resnet(name.removeprefix("trunk.network."))


def _of_resnet(name: str) -> str:
    return "model." + ".".join(_levels(name.split(".")))


def _levels(levels: list[str]) -> Iterator[Any]:
    if levels[0] == "embedder":
        yield from ("0" if levels[2] == "convolution" else "1", levels[3])
        return
    # encoder.stages.S.layers.B.(layer.C | shortcut).(convolution | normalization).tensor
    yield from (_STAGES[int(levels[2])], levels[4])
    convolution = levels[-2] == "convolution"
    if levels[5] == "shortcut":
        yield from ("downsample", "0" if convolution else "1")
    else:
        yield f"{'conv' if convolution else 'bn'}{int(levels[6]) + 1}"
    yield levels[-1]
