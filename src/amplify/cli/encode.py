"""``amplify encode``: from video and instructions to frozen features."""

import os
from pathlib import Path
from typing import Any, Literal

from tyro.conf import Positional

from amplify.cli.track import refuse_set_aside
from amplify.data.dataset import Dataset
from amplify.data.extract import encode_dataset
from amplify.encoders import TEXT_ENCODERS, VISION_ENCODERS, Setting
from amplify.encoders.vision import PatchEncoder
from amplify.errors import UsageError, pick
from amplify.jobs import distributed
from amplify.nn.device import computing_device


def encode(
    dataset: Positional[Path],
    /,
    vision: str = "efficientnet-lite0",
    text: str = "minilm",
    weights: str = "",
    input_px: int | None = None,
    grid: int | None = None,
    text_weights: str = "",
    words: Literal["mean", "first", "all"] = "mean",
    max_words: int | None = None,
    bundle: Path | None = None,
    device: str = "cpu",
    workers: int | None = None,
    strict: bool = False,
    ray: str | None = None,
    gpus_per_worker: float = 0.0,
) -> dict[str, Any]:
    """Computes the features of every frame and instruction once, into sidecar files.

    Args:
        dataset: Folder of a LeRobotDataset v3.
        vision: Frozen image encoder: efficientnet-lite0 (offline), resnet18, dinov2, dinov3, siglip.
        text: Frozen sentence encoder: minilm (offline), t5.
        weights: Of the image encoder: a name on the Hugging Face hub, or a folder in its layout; its own by default.
        input_px: Side to which images are resized; the image encoder's own by default.
        grid: Image tokens a side; the image encoder's own by default.
        text_weights: Of the sentence encoder, as for images.
        words: One token a sentence, the mean of its word pieces or the first of them; or all of them.
        max_words: Word pieces of a sentence, where longer ones are cut.
        bundle: A bundle or run whose encoders are used, fine-tuned ones included, in place of all the above.
        device: Where images are encoded: "cpu", "cuda", "cuda:1".
        workers: Processes; all cores by default, at most four on a GPU, which they share.
        strict: Whether one broken episode ends the command.
        ray: Address of a Ray cluster to run on ("local", "auto", "host:port", "ray://host:port").
        gpus_per_worker: GPUs, or share of one, that each worker has to itself.
    """
    computing_device(device)
    if bundle is None:
        seen = _given(weights=_place(weights), input_px=input_px, grid=grid)
        heard = _given(weights=_place(text_weights), tokens=words, max_tokens=max_words)
        eyes = pick(vision, VISION_ENCODERS, kind="vision encoder")(seen)
        eyes = PatchEncoder(eyes.config, name=eyes.name, device=device)
        ears = pick(text, TEXT_ENCODERS, kind="text encoder")(heard)
    else:
        eyes, ears = _of_bundle(bundle, device)
    if workers is None and device != "cpu" and ray is None:
        workers = min(4, os.cpu_count() or 1)
    with distributed(ray, gpus_per_worker):
        opened = Dataset.open(dataset, strict=strict, columns=False)
        summary = encode_dataset(opened, eyes, ears, workers=workers)
    refuse_set_aside(summary, strict=strict)
    return summary


def _of_bundle(path: Path, device: str) -> tuple[Any, Any]:
    from amplify.evaluate.loading import Loader
    from amplify.train.recipes import bundle_of

    return Loader(device).encoders(bundle_of(path))


def _given(**settings: Setting | None) -> dict[str, Setting]:
    return {name: value for name, value in settings.items() if value is not None and value != ""}


def _place(weights: str) -> str:
    """A folder by its full path, since it is stored with the features; a name on the hub as it is."""
    folder = Path(weights).expanduser()
    if weights and folder.is_dir():
        return str(folder.resolve())
    if weights.startswith((".", "/", "~")):
        raise UsageError("no such folder of weights", got=weights, remedy="name a folder, or a model on the hub")
    return weights
