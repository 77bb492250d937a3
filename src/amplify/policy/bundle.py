"""A bundle: one folder that holds trained models and all that is needed to use them again.

``weights.safetensors`` (tensors named ``model.parameter``), ``config.json`` (kind, schema, version, sizes,
settings), ``stats.json`` (figures of training), ``parents.json`` (hashes of the bundles it was trained on),
``README.md`` (model card). No pickles: loading a bundle runs no code.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar, cast

import pydantic
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from amplify.baselines import (
    BehaviourCloning,
    TrackDiffusion,
    TrackDiffusionConfig,
    TrackGuidedPolicy,
    TrackTransformer,
    TrackTransformerConfig,
)
from amplify.config import Config
from amplify.encoders.text import TextConfig, TextNetwork
from amplify.encoders.vision import PatchNetwork, VisionConfig
from amplify.errors import BundleError, pick
from amplify.forward import ForwardConfig, ForwardDynamics
from amplify.inverse import InverseConfig, InverseDynamics
from amplify.policy.card import model_card
from amplify.tokens import MotionTokenizer, TokenizerConfig

Model = TypeVar("Model", bound=nn.Module)

KIND = "amplify-bundle"
SCHEMA = 1
FILES = ("weights.safetensors", "config.json", "stats.json", "parents.json", "README.md")
MODELS: dict[str, tuple[type[nn.Module], type[Config]]] = {
    "tokenizer": (MotionTokenizer, TokenizerConfig),
    "forward": (ForwardDynamics, ForwardConfig),
    "inverse": (InverseDynamics, InverseConfig),
    "behaviour_cloning": (BehaviourCloning, InverseConfig),
    "track_transformer": (TrackTransformer, TrackTransformerConfig),
    "track_diffusion": (TrackDiffusion, TrackDiffusionConfig),
    "track_policy": (TrackGuidedPolicy, InverseConfig),
    "vision_encoder": (PatchNetwork, VisionConfig),
    "inverse_vision_encoder": (PatchNetwork, VisionConfig),
    "text_encoder": (TextNetwork, TextConfig),
}
"""What a bundle can hold: any of these, by these names. Encoders are there where their weights are not the published
ones: of an imported checkpoint, or fine-tuned (inverse dynamics has eyes of its own where it was trained with them)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A loaded bundle.

    Args:
        path: Where it lies.
        models: By name, in evaluation mode.
        meta: What surrounds the models: encoders, cameras, grid, tracker, names of actions, settings of observation.
        stats: Figures of training.
        parents: Path → hash of the bundles it was trained on.
        hash: SHA-256 of its weights and configuration.
    """

    path: Path
    models: dict[str, nn.Module]
    meta: dict[str, Any]
    stats: dict[str, Any]
    parents: dict[str, str]
    hash: str

    def module(self, name: str, kind: type[Model]) -> Model:
        """One of its models.

        Args:
            name: One of `MODELS`.
            kind: The class that it must have.

        Raises:
            BundleError: The bundle does not hold it.
        """
        model = self.models.get(name)
        if not isinstance(model, kind):
            raise BundleError(f"{self.path} holds no {name} model", allowed=", ".join(self.models))
        return model


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    for name in ("weights.safetensors", "config.json"):
        digest.update((path / name).read_bytes())
    return digest.hexdigest()


def save_bundle(
    path: Path,
    models: Mapping[str, nn.Module],
    meta: Mapping[str, Any] | None = None,
    stats: Mapping[str, Any] | None = None,
    *,
    parents: Sequence[Bundle] = (),
) -> None:
    """Writes a bundle aside, then renames it into place; an earlier bundle there is replaced.

    Args:
        path: The folder to make.
        models: Any of `MODELS`, by name.
        meta: What surrounds them, as JSON values.
        stats: Figures of training, as JSON values.
        parents: The bundles it was trained on.

    Raises:
        UnknownNameError: A model's name is not one of `MODELS`.
        BundleError: The path is taken by something that is not a bundle.
    """
    if path.exists() and not (path / "config.json").is_file():
        raise BundleError(f"{path} exists and is not a bundle", remedy="choose another folder or remove it")
    meta, stats, release = dict(meta or {}), dict(stats or {}), version("amplify-robot")
    described: dict[str, Any] = {}
    weights: dict[str, Tensor] = {}
    for name, model in models.items():
        kind, _ = pick(name, MODELS, kind="bundle model")
        assert isinstance(model, kind), f"{name} is a {type(model).__name__}"
        config = cast(Any, model).config
        described[name] = {"config": config.model_dump(mode="json"), "dimensions": model.dimensions}
        weights |= {f"{name}.{key}": value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    config = {"kind": KIND, "schema": SCHEMA, "version": release, "models": described, "meta": meta}
    aside = path.with_name(f".{path.name}.writing")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    save_file(weights, aside / "weights.safetensors")
    for name, content in (("config", config), ("stats", stats), ("parents", {str(p.path): p.hash for p in parents})):
        (aside / f"{name}.json").write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
    (aside / "README.md").write_text(model_card(path.name, models, meta, stats, release))
    if path.exists():
        shutil.rmtree(path)
    aside.rename(path)


def load_bundle(path: Path) -> Bundle:
    """Rebuilds every model of a bundle, on the CPU and in evaluation mode.

    Raises:
        BundleError: Something is missing, damaged, of another kind or of another shape; it is named.
    """
    if not path.is_dir():
        raise BundleError(f"no bundle at {path}", remedy="give the folder that holds config.json")
    missing = [name for name in FILES if not (path / name).is_file()]
    if missing:
        raise BundleError(f"{path} is not a whole bundle", got=f"no {', '.join(missing)}", remedy="copy it again")
    config = _read_json(path / "config.json")
    if config.get("kind") != KIND or config.get("schema") != SCHEMA:
        raise BundleError(
            f"{path} is not a bundle of this version",
            got=f"kind {config.get('kind')!r}, schema {config.get('schema')!r}",
            allowed=f"kind {KIND!r}, schema {SCHEMA}",
        )
    try:
        weights = load_file(path / "weights.safetensors")
    except SafetensorError as error:
        raise BundleError(
            f"{path / 'weights.safetensors'} is damaged", got=str(error), remedy="copy it again"
        ) from None
    try:
        meta = dict(config["meta"])
        models = {name: _build(name, **described) for name, described in config["models"].items()}
    except (AttributeError, KeyError, TypeError, RuntimeError, pydantic.ValidationError) as error:
        raise BundleError(f"{path / 'config.json'} does not describe models of this version", got=str(error)) from None
    _fill(models, weights, path)
    return Bundle(
        path=path,
        models=models,
        meta=meta,
        stats=_read_json(path / "stats.json"),
        parents=_read_json(path / "parents.json"),
        hash=_hash(path),
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (ValueError, UnicodeDecodeError) as error:
        raise BundleError(f"{path} is not JSON", got=str(error), remedy="copy it again") from None
    if not isinstance(content, dict):
        raise BundleError(f"{path} holds no object", got=type(content).__name__)
    return content


def _build(name: str, *, config: dict[str, Any], dimensions: dict[str, Any]) -> nn.Module:
    model, settings = pick(name, MODELS, kind="bundle model")
    sizes = {key: tuple(value) if isinstance(value, list) else value for key, value in dimensions.items()}
    return model(settings.model_validate(config), **sizes).eval()


def _fill(models: Mapping[str, nn.Module], weights: dict[str, Tensor], path: Path) -> None:
    wanted = {f"{name}.{key}": value for name, model in models.items() for key, value in model.state_dict().items()}
    problems = [f"{key} is missing" for key in wanted.keys() - weights.keys()]
    problems += [f"{key} belongs to no model" for key in weights.keys() - wanted.keys()]
    problems += [
        f"{key} has shape {tuple(weights[key].shape)} instead of {tuple(wanted[key].shape)}"
        for key in wanted.keys() & weights.keys()
        if weights[key].shape != wanted[key].shape
    ]
    if problems:
        shown = "; ".join(sorted(problems)[:3]) + (f"; … ({len(problems)} in all)" if len(problems) > 3 else "")
        raise BundleError(f"the weights in {path} do not fit its configuration", got=shown)
    for name, model in models.items():
        prefix = f"{name}."
        model.load_state_dict({k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)})
