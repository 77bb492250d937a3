"""The reference's motion tokenizer as ours.

Three things differ. It counts its grid column by column and says (row, column), so points and coordinates are put in
our order where they enter weights. Its decoder's MLP ends in a residual and a projection with nothing between them, so
they are one matrix here and a direct way from the step to the classes. Its encoder takes normalised velocities, ours
pixels in units of ``velocity_scale_px``.
"""

import math

import torch
from torch import Tensor

from amplify.coords import EVALUATION_SIZE_PX
from amplify.errors import BundleError
from amplify.reference.blocks import Shapes, Weights, decoder_blocks, decoder_shapes, encoder_blocks, encoder_shapes
from amplify.reference.checking import configured, refuse, setting
from amplify.reference.reading import Part
from amplify.tokens import TokenizerConfig
from amplify.tracks.queries import column_order

_LEVELS = {
    4: (5, 3),
    6: (8, 8),
    8: (8, 6, 5),
    9: (8, 8, 8),
    10: (8, 5, 5, 5),
    11: (8, 8, 6, 5),
    12: (7, 5, 5, 5, 5),
}
"""FSQ levels that stand for a codebook of two to this power."""

_MASKS = {True: "causal", False: "full", "diag": "per-step"}


def levels_of(codebook_size: int, part: Part) -> tuple[int, ...]:
    """The FSQ levels that a nominal codebook size stands for.

    Args:
        codebook_size: As in the settings, the number of classes of the forward model.
        part: Whose it is, for the message.

    Raises:
        BundleError: No levels are known for it.
    """
    levels = _LEVELS.get(codebook_size.bit_length() - 1)
    if levels is None:
        raise BundleError(
            f"no FSQ levels are known for the codebook of the {part.kind} in {part.source}",
            got=codebook_size,
            allowed=", ".join(str(2**power) for power in _LEVELS),
        )
    return levels


def point_order(points: int) -> Tensor:
    """Where each of our points stands among the reference's; as they are where they form no square grid."""
    side = math.isqrt(points)
    return column_order(side) if side * side == points else torch.arange(points)


def tokenizer_config(part: Part) -> TokenizerConfig:
    """The configuration under which our tokenizer computes what the reference's does.

    Raises:
        BundleError: A setting is missing, or asks for what has no counterpart here.
    """
    cameras = setting(part, "cond_cameraviews", list)
    frame, window = setting(part, "loss.cls_img_size", list), setting(part, "loss.rel_cls_img_size", list)
    causal = setting(part, "causal_encoder", (bool, str))
    refuse(
        part,
        {
            "an encoder that sees the image (cond_on_img)": setting(part, "cond_on_img", bool),
            f"frames {frame} and {part.settings.get('img_shape')} that are no one square": (
                len({*frame, *setting(part, "img_shape", list)}) != 1
            ),
            f"a window of {window}": len(set(window)) != 1,
            f"causal_encoder {causal!r}": causal not in _MASKS,
            f"loss {part.settings['loss'].get('loss_fn')!r}": setting(part, "loss.loss_fn", str) != "relative_ce",
        },
    )
    layers = setting(part, "num_layers", int)
    return configured(
        part,
        TokenizerConfig.reference,
        views=len(cameras),
        points=setting(part, "num_tracks", int),
        steps=setting(part, "track_pred_horizon", int) - 1,
        tokens_per="view" if setting(part, "per_view", bool) else "joint",
        width=setting(part, "hidden_dim", int),
        heads=setting(part, "num_heads", int),
        encoder_layers=layers,
        decoder_layers=layers // 2,
        decoder_hidden=setting(part, "decoder_mlp_hidden_dim", int),
        levels=levels_of(setting(part, "codebook_size", int), part),
        window=window[0],
        frame_px=frame[0],
        encoder_mask=_MASKS[causal],  # type: ignore[arg-type]
        dropout=setting(part, "attn_pdrop", (float, int)),
        view_weights=tuple(float(setting(part, f"loss.loss_weights.{view}", (float, int))) for view in cameras),
    )


def tokenizer_shapes(config: TokenizerConfig) -> Shapes:
    """The reference's tensors that a tokenizer of this configuration has."""
    width, hidden, levels = config.width, config.decoder_hidden, len(config.levels)
    together = config.views if config.tokens_per == "joint" else 1
    return {
        **quantiser_shapes(levels, width),
        "encoder.encoder_proj.weight": (width, together * config.points * 2),
        "encoder.encoder_proj.bias": (width,),
        **encoder_shapes("encoder.encoder.", layers=config.encoder_layers, width=width, positions=config.tokens),
        "decoder.track_pos_emb.weight": (config.points, width),
        "decoder.view_emb.weight": (config.views, width),
        "decoder.decoder_mlp.0.weight": (hidden, 3 * width),
        "decoder.decoder_mlp.0.bias": (hidden,),
        "decoder.decoder_mlp.2.weight": (width, hidden),
        "decoder.decoder_mlp.2.bias": (width,),
        "decoder.decoder_proj.weight": (config.window**2, width),
        "decoder.decoder_proj.bias": (config.window**2,),
        **decoder_shapes("decoder.decoder.", layers=config.decoder_layers, width=width, positions=config.tokens),
    }


def quantiser_shapes(levels: int, width: int) -> Shapes:
    """The reference's tensors around its quantiser, which the tokenizer and the forward model both keep."""
    return {
        "quantize.project_in.weight": (levels, width),
        "quantize.project_in.bias": (levels,),
        "quantize.project_out.weight": (width, levels),
        "quantize.project_out.bias": (width,),
    }


def convert_tokenizer(weights: Weights, config: TokenizerConfig) -> dict[str, Tensor]:
    """The state of our tokenizer, a differentiable function of the reference's tensors.

    Args:
        weights: The reference's tensors.
        config: From `tokenizer_config`.
    """
    order = point_order(config.points)
    embed = weights["encoder.encoder_proj.weight"].unflatten(1, (-1, config.points, 2))
    from_step, from_point, from_view = weights["decoder.decoder_mlp.0.weight"].split(config.width, dim=1)
    classes = weights["decoder.decoder_proj.weight"]
    bias = classes @ weights["decoder.decoder_mlp.2.bias"] + weights["decoder.decoder_proj.bias"]
    return {
        "velocity_scale_px": torch.tensor(EVALUATION_SIZE_PX / 2),
        "encoder.embed.weight": embed[:, :, order].flip(-1).flatten(1),
        "encoder.embed.bias": weights["encoder.encoder_proj.bias"],
        "encoder.positions": weights["encoder.encoder.transformer.pos_emb.weight"],
        **encoder_blocks(weights, "encoder.encoder.", "encoder.transformer."),
        "encoder.out.weight": weights["quantize.project_in.weight"],
        "encoder.out.bias": weights["quantize.project_in.bias"],
        "decoder.code.weight": weights["quantize.project_out.weight"],
        "decoder.code.bias": weights["quantize.project_out.bias"],
        "decoder.queries": weights["decoder.decoder.transformer.pos_emb.weight"],
        **decoder_blocks(weights, "decoder.decoder.", "decoder.transformer."),
        "decoder.point.table": weights["decoder.track_pos_emb.weight"][order],
        "decoder.view": weights["decoder.view_emb.weight"],
        "decoder.from_step.weight": from_step,
        "decoder.from_step.bias": weights["decoder.decoder_mlp.0.bias"],
        "decoder.from_point.weight": from_point,
        "decoder.from_view.weight": from_view,
        "decoder.classifier.weight": classes @ weights["decoder.decoder_mlp.2.weight"],
        "decoder.classifier.bias": bias,
        "decoder.step_classifier.weight": classes,
    }
