"""From checkpoints of the reference implementation to a bundle with the same function."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from torch import Tensor, nn

from amplify.data.importers.libero import ACTION_NAMES, PROPRIO_NAMES
from amplify.encoders.text import TextConfig, TextNetwork, default_name
from amplify.encoders.vision import PatchEncoder, PatchNetwork
from amplify.errors import BundleError, UsageError
from amplify.forward import ForwardDynamics
from amplify.inverse import InverseDynamics
from amplify.policy.bundle import save_bundle
from amplify.policy.info import BundleInfo, EncoderInfo
from amplify.reference.blocks import Shapes, Weights
from amplify.reference.checking import problems, refuse, require_whole, setting
from amplify.reference.denoisers import copies_that_differ
from amplify.reference.encoders import convert_encoder, encoder_shapes, text_network, vision_network
from amplify.reference.forward import convert_forward, forward_settings, forward_shapes
from amplify.reference.inverse import Codes, convert_inverse, inverse_settings, inverse_shapes
from amplify.reference.reading import Kind, Part, collect
from amplify.reference.tokenizer import convert_tokenizer, tokenizer_config, tokenizer_shapes
from amplify.tokens import MotionTokenizer

Model = TypeVar("Model", bound=nn.Module)

LIBERO_FPS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted(Generic[Model]):
    """One of the reference's models as ours.

    Args:
        part: Where it comes from.
        module: Ours, with its weights, in evaluation mode.
        convert: The reference's tensors → the state of the module, differentiable.
    """

    part: Part
    module: Model
    convert: Callable[[Weights], Mapping[str, Tensor]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What the files held, as ours; None where they did not hold it."""

    tokenizer: Converted[MotionTokenizer] | None = None
    forward: Converted[ForwardDynamics] | None = None
    inverse: Converted[InverseDynamics] | None = None
    vision_encoder: Converted[PatchNetwork] | None = None
    text_encoder: Converted[TextNetwork] | None = None

    @property
    def models(self) -> dict[str, nn.Module]:
        """The modules by their names in a bundle."""
        return {converted.part.kind: converted.module for converted in self}

    def __iter__(self) -> Iterator[Converted[Any]]:
        every = (self.tokenizer, self.forward, self.inverse, self.vision_encoder, self.text_encoder)
        return iter([cast(Converted[Any], converted) for converted in every if converted is not None])


def import_reference(paths: Iterable[Path], out: Path) -> dict[str, Any]:
    """Writes a bundle of what the files hold, with the same function.

    Args:
        paths: A bundled checkpoint, or the checkpoints of one, two or three stages in any order.
        out: The bundle's folder.

    Returns:
        What was imported, and what was not found.

    Raises:
        BundleError: A file cannot be read, is partial, or has what has no counterpart here.
        UsageError: There is no file, or two hold the same part.
    """
    parts = collect(paths)
    if not parts:
        raise UsageError("no checkpoint was given", remedy="give the bundled checkpoint, or those of its stages")
    imported = convert(parts)
    notes = _notes(imported)
    sources = {converted.part.kind: converted.part.source.name for converted in imported}
    save_bundle(out, imported.models, _info(imported).meta, {"imported_from": sources, "notes": notes})
    return {"bundle": str(out), "models": sources, "notes": notes}


def convert(parts: Mapping[Kind, Part]) -> Imported:
    """Our models of the reference's parts.

    Raises:
        BundleError: A part has what has no counterpart here; or tensors are missing or of another shape: all are
            listed.
    """
    wrong: list[str] = []
    tokenizer = forward = inverse = vision = text = None
    if part := parts.get("tokenizer"):
        tokenizer = _tokenizer(part, wrong)
    if part := parts.get("forward"):
        forward = _forward(part, tokenizer, wrong)
    if part := parts.get("inverse"):
        inverse = _inverse(part, _codes(part, tokenizer, forward), wrong)
    if part := parts.get("vision_encoder"):
        vision = _encoder(part, vision_network(part), wrong)
    if part := parts.get("text_encoder"):
        text = _encoder(part, text_network(part), wrong)
    require_whole(wrong)
    return Imported(tokenizer=tokenizer, forward=forward, inverse=inverse, vision_encoder=vision, text_encoder=text)


def _tokenizer(part: Part, wrong: list[str]) -> Converted[MotionTokenizer]:
    config = tokenizer_config(part)
    return _filled(
        part, MotionTokenizer(config), tokenizer_shapes(config), lambda w: convert_tokenizer(w, config), wrong
    )


def _forward(part: Part, tokenizer: Converted[MotionTokenizer] | None, wrong: list[str]) -> Converted[ForwardDynamics]:
    known = None if tokenizer is None else tokenizer.module.config
    classes = None if tokenizer is None else setting(tokenizer.part, "codebook_size", int)
    config, sizes = forward_settings(part, known, classes)
    return _filled(
        part,
        ForwardDynamics(config, **sizes),
        forward_shapes(config, sizes),
        lambda w: convert_forward(w, sizes),
        wrong,
    )


def _inverse(part: Part, codes: Codes, wrong: list[str]) -> Converted[InverseDynamics]:
    config, sizes = inverse_settings(part, codes)
    differing = copies_that_differ(part.weights)
    refuse(part, {f"tensors whose copies differ: {', '.join(differing[:3])}": bool(differing)})
    return _filled(
        part,
        InverseDynamics(config, **sizes),
        inverse_shapes(config, sizes, part),
        lambda w: convert_inverse(w, codes.weights, config, part),
        wrong,
    )


def _encoder(part: Part, network: Model, wrong: list[str]) -> Converted[Model]:
    return _filled(part, network, encoder_shapes(network), lambda w: convert_encoder(w, network), wrong)


def _filled(
    part: Part, module: Model, shapes: Shapes, function: Callable[[Weights], Mapping[str, Tensor]], wrong: list[str]
) -> Converted[Model]:
    """The module with the part's weights; what is wrong with them is added to the list."""
    lines = problems(part, shapes)
    wrong.extend(lines)
    if not lines and not (part.kind == "inverse" and wrong):
        module.load_state_dict(dict(function(part.weights)))
    return Converted(part=part, module=module.eval(), convert=function)


def _codes(
    part: Part, tokenizer: Converted[MotionTokenizer] | None, forward: Converted[ForwardDynamics] | None
) -> Codes:
    if tokenizer is not None:
        config = tokenizer.module.config
        return Codes(
            tokens=config.tokens,
            levels=config.levels,
            views=config.views,
            width=config.width,
            horizon=setting(tokenizer.part, "true_horizon", int),
            weights=tokenizer.part.weights,
        )
    if forward is not None:
        sizes = forward.module.dimensions
        return Codes(
            tokens=sizes["tokens"],
            levels=sizes["levels"],
            views=sizes["views"],
            width=forward.module.config.width,
            horizon=None,
            weights=forward.part.weights,
        )
    raise BundleError(
        f"the inverse model in {part.source} alone does not say what its codes are",
        got="no quantize.project_out in any file",
        remedy="give the tokenizer's or the forward model's file as well",
    )


def _info(imported: Imported) -> BundleInfo:
    known: dict[str, Any] = {}
    if imported.tokenizer is not None:
        config, side = imported.tokenizer.module.config, math.isqrt(imported.tokenizer.module.config.points)
        known |= {
            "cameras": tuple(setting(imported.tokenizer.part, "cond_cameraviews", list)),
            "frame_size_px": config.frame_px,
            "grid": side if side * side == config.points else None,
            "horizon": config.steps + 1,
            "tracker": {"name": str(imported.tokenizer.part.settings.get("track_method"))},
            "fps": LIBERO_FPS,
        }
    if imported.inverse is not None:
        sizes = imported.inverse.module.dimensions
        known |= {
            "action_names": _named(ACTION_NAMES, sizes["action_width"], "action"),
            "proprio_names": _named(PROPRIO_NAMES, sizes["proprio_width"], "state"),
        }
    if imported.vision_encoder is not None:
        eyes = PatchEncoder(network=imported.vision_encoder.module)
        # A name of their own, so that the published network's features never pass for theirs.
        known["vision_encoder"] = EncoderInfo(name=f"{eyes.name}-reference-{eyes.version[:8]}", settings=eyes.settings)
    if imported.text_encoder is not None or imported.forward is not None:
        ears = _ears(imported)
        known["text_encoder"] = EncoderInfo(name=default_name(ears), settings=ears.model_dump())
    return BundleInfo(**known)


def _ears(imported: Imported) -> TextConfig:
    """Those of the checkpoint, or the published ones that gave the embeddings it was trained on."""
    if imported.text_encoder is not None:
        return imported.text_encoder.module.config
    assert imported.forward is not None
    room = imported.forward.module.dimensions["text_tokens"]
    return TextConfig(network="t5", tokens="first" if room == 1 else "all", max_tokens=max(room, 32))


def _named(names: tuple[str, ...], width: int, kind: str) -> tuple[str, ...]:
    return names if len(names) == width else tuple(f"{kind}_{i}" for i in range(width))


def _notes(imported: Imported) -> list[str]:
    notes = []
    if imported.vision_encoder is None and (imported.forward or imported.inverse):
        notes.append("no image encoder in the files: image tokens must be given (its weights are timm's ResNet-18)")
    if imported.text_encoder is None and imported.forward is not None:
        notes.append("no text encoder in the files: T5 embeddings must be given, or T5 is taken from the hub")
    if imported.forward is None and imported.inverse is not None:
        notes.append("no forward dynamics in the files: the bundle acts on given motion tokens only")
    return notes
