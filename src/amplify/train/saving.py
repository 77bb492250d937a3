"""What every recipe ends with: a bundle that names its models, data, encoders and parents."""

from pathlib import Path
from typing import Any

from torch import nn

from amplify.config import Config
from amplify.data.dataset import Dataset
from amplify.data.windows import WindowSet
from amplify.encoders.vision import PatchNetwork
from amplify.policy.bundle import Bundle, save_bundle
from amplify.policy.info import BundleInfo, info_of
from amplify.train.fine_tuning import BUNDLE
from amplify.train.sight import tuned
from amplify.train.training_data import TrainingData, encoder_info


def with_eyes(
    models: dict[str, nn.Module], info: BundleInfo, data: TrainingData, eyes: PatchNetwork | None
) -> tuple[dict[str, nn.Module], BundleInfo]:
    """Models and meta of a bundle, with the eyes that learned together with the models, if any did."""
    if eyes is None or not data.sight.fine_tune:
        return models, info
    assert info.vision_encoder is not None
    named = info.model_copy(update={"vision_encoder": tuned(info.vision_encoder, eyes)})
    return {**models, "vision_encoder": eyes}, named


def identity_of(data: TrainingData, model: Config, parent: Bundle | None = None) -> dict[str, Any]:
    """What the result of a stage depends on beside its budget: only the same run resumes."""
    return {
        "data": data.model_dump(mode="json"),
        "model": model.model_dump(mode="json"),
        "parent": None if parent is None else parent.hash,
    }


def set_aside(windows: WindowSet) -> dict[str, Any]:
    """How many broken episodes the datasets have, which were left out with a warning each."""
    return {"episodes_set_aside": sum(len(dataset.problems) for dataset in windows.datasets)}


def save_run(
    run: Path,
    models: dict[str, nn.Module],
    info: BundleInfo,
    figures: dict[str, Any],
    *,
    parent: Bundle | None = None,
    init: Bundle | None = None,
) -> None:
    """Writes the run's bundle; its figures come after the parent's, and it names parent and beginning."""
    stats = figures if parent is None else parent.stats | figures
    save_bundle(run / BUNDLE, models, info.meta, stats, parents=[bundle for bundle in (parent, init) if bundle])


def learned_from(data: TrainingData, parent: Bundle | None = None) -> BundleInfo:
    """What a bundle must know of its data to be used elsewhere; a parent's entries stay where this stage has none."""
    # Columns are left closed: video must be enough, whatever the files of actions hold.
    first = data.sources[0]
    spec = Dataset.open(first.path, columns=False).spec
    known: dict[str, Any] = {
        "cameras": data.view_names(),
        "optional_cameras": data.optional_views(),
        "frame_size_px": spec.width,
        "fps": spec.fps,
        "robot_type": first.embodiment or spec.robot_type,
        "instructions": data.instructions(),
    }
    if data.tracks is not None:
        header = data.header(data.tracks)
        settings = dict(header.settings)
        known["grid"], known["horizon"] = int(settings.pop("grid")), data.horizon
        del settings["horizon"]
        known["tracker"] = {"name": header.producer, "version": header.version, **settings}
    if data.features is not None:
        known["vision_encoder"] = encoder_info(data.header(data.features))
        known["text_encoder"] = encoder_info(data.text_header())
    if spec.action_names and spec.proprio_names:
        known["action_names"], known["proprio_names"] = spec.action_names, spec.proprio_names
    return (info_of(parent) if parent else BundleInfo()).model_copy(update=known)
