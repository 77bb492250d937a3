"""``amplify encode``: from video and instructions to frozen features."""

from pathlib import Path
from typing import Any

from tyro.conf import Positional

from amplify.cli.track import refuse_set_aside
from amplify.data.dataset import Dataset
from amplify.data.extract import encode_dataset
from amplify.encoders import TEXT_ENCODERS, VISION_ENCODERS
from amplify.errors import pick


def encode(
    dataset: Positional[Path],
    /,
    vision: str = "efficientnet-lite0",
    text: str = "minilm",
    workers: int | None = None,
    strict: bool = False,
) -> dict[str, Any]:
    """Computes the features of every frame and instruction once, into sidecar files.

    Args:
        dataset: Folder of a LeRobotDataset v3.
        vision: Frozen image encoder.
        text: Frozen sentence encoder.
        workers: Processes; all cores by default.
        strict: Whether one broken episode ends the command.
    """
    eyes, ears = (
        pick(vision, VISION_ENCODERS, kind="vision encoder")(),
        pick(text, TEXT_ENCODERS, kind="text encoder")(),
    )
    opened = Dataset.open(dataset, strict=strict, columns=False)
    summary = encode_dataset(opened, eyes, ears, workers=workers)
    refuse_set_aside(summary, strict=strict)
    return summary
