"""``amplify import …``: what others recorded, as datasets, and what others trained, as bundles."""

from pathlib import Path
from typing import Any, Literal

from tyro.conf import Positional

Fit = Literal["crop", "pad", "stretch"]


def videos(
    source: Positional[Path],
    /,
    *,
    out: Path,
    fps: int | None = None,
    size: str | None = None,
    fit: Fit = "crop",
    cameras: tuple[str, ...] = (),
    instructions: Path | None = None,
    segment_s: float | None = None,
    robot_type: str = "unknown",
    limit: int | None = None,
    workers: int | None = None,
    strict: bool = False,
) -> dict[str, Any]:
    """Makes a dataset without actions of a folder of videos; the same command again goes on where it stopped.

    Any container and codec that FFmpeg reads; sound is left out, phones' rotation is applied, a variable frame rate
    becomes a constant one. The instruction is what a file's name spells ("open_the_drawer_07.mp4"), or the folder's.

    Args:
        source: A folder, with all folders in it; or one video.
        out: Folder of the dataset.
        fps: Frames per second; by default the most common rate, at most 30.
        size: "128" (a square) or "640x480", in pixels; by default the most common size, its shorter side at most 480.
        fit: How other shapes become that one: cut the sides off, add black, or change the aspect.
        cameras: Which files are whose, as in --cameras front=_front side=_side (endings of names), front=front_
            (beginnings), front=front/ (folders) or "front=*/front"; episodes that lack a camera are set aside.
        instructions: CSV (file,instruction) or JSON ({"file": "instruction"}) in place of the names.
        segment_s: Cut long videos into episodes of so many seconds.
        robot_type: Who acts, as the dataset calls it.
        limit: Import the first so many only.
        workers: Processes; all cores by default.
        strict: Whether one video that cannot be used ends the command.
    """
    from amplify.data.importers.engine import run_import
    from amplify.data.importers.options import size_of
    from amplify.data.importers.videos import VideosConfig, plan_videos

    config = VideosConfig(
        fps=fps,
        size=size_of(size),
        fit=fit,
        cameras=cameras,
        instructions=instructions,
        segment_s=segment_s,
        robot_type=robot_type,
    )
    plan = plan_videos(source, config, workers=workers).limited(limit)
    return run_import(plan, out, workers=workers, strict=strict)


def reference(checkpoints: Positional[tuple[Path, ...]], /, *, out: Path) -> dict[str, Any]:
    """Turns checkpoints of the reference implementation into a bundle with the same function.

    Only tensors and plain settings are read: a file that asks for anything else is refused. Sizes are those in the
    files. A bundle of one or two stages holds what there is.

    Args:
        checkpoints: Its bundled checkpoint, or those of its stages (tokenizer, forward, inverse dynamics) in any order.
        out: The bundle's folder.
    """
    from amplify.reference.importer import import_reference

    return import_reference(checkpoints, out)
