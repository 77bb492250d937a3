"""``amplify export``: trained models for runtimes without Python, checked as they are written; episodes to look at."""

from pathlib import Path
from typing import Annotated, Any

import tyro

BundlePath = Annotated[Path, tyro.conf.Positional]


def torch(bundle: BundlePath, /, *, out: Path, batch: int = 1, tolerance: float = 1e-5) -> dict[str, Any]:
    """Writes the control step (features to actions) as a torch.export program, and the bundle's own image encoders.

    Each file is loaded again and compared with the bundle on new inputs: the largest deviation, as a share of the
    largest value, is shown, and nothing is written where it is above the tolerance.

    Args:
        bundle: A bundle, or the run that wrote it.
        out: Folder of the files; export.json in it names inputs and outputs.
        batch: Windows of a call; fixed in the files.
        tolerance: Largest deviation that is accepted.
    """
    from amplify.export.files import export_torch
    from amplify.policy.bundle import load_bundle
    from amplify.train.recipes import bundle_of

    return export_torch(load_bundle(bundle_of(bundle)), out, batch=batch, tolerance=tolerance)


def onnx(bundle: BundlePath, /, *, out: Path, batch: int = 1, tolerance: float = 1e-4) -> dict[str, Any]:
    """Writes forward and inverse dynamics as ONNX files, each run by onnxruntime and compared with the bundle.

    Forward dynamics becomes its scores of a given string (forward_scores), its scores of all tokens at once where it
    has learned them (forward_at_once), and the two parts of a decoding loop (forward_start, forward_step); inverse
    dynamics turns tokens into actions (inverse).

    Args:
        bundle: A bundle, or the run that wrote it.
        out: Folder of the files; export.json in it names inputs and outputs.
        batch: Windows of a call; fixed in the files.
        tolerance: Largest deviation that is accepted, as a share of the largest value.
    """
    from amplify.export.files import export_onnx
    from amplify.policy.bundle import load_bundle
    from amplify.train.recipes import bundle_of

    return export_onnx(load_bundle(bundle_of(bundle)), out, batch=batch, tolerance=tolerance)


def rrd(
    dataset: Annotated[Path, tyro.conf.Positional],
    /,
    *,
    out: Path,
    episodes: tuple[int, ...] = (),
    tracks: str | None = None,
    bundle: Path | None = None,
    foresee_every: int = 4,
    jpeg_quality: int = 90,
    workers: int | None = None,
    strict: bool = False,
) -> dict[str, Any]:
    """Writes a file an episode for the Rerun viewer: cameras, tracks, proprioception, actions, what a bundle foresees.

    Open them with ``rerun OUT/*.rrd``. The same command goes on where it was interrupted.

    Args:
        dataset: Its folder.
        out: Folder of the files.
        episodes: Their numbers; all by default.
        tracks: Folder in the dataset's sidecars ("tracks-flow-10x10-h16"), or "none"; by default the only one there is.
        bundle: A bundle, or the run that wrote it: its foreseen motion and planned actions are shown, too.
        foresee_every: Frames between two foreseen futures.
        jpeg_quality: Of images, 1 to 100.
        workers: Processes; all cores by default.
        strict: Whether one broken episode ends the command.
    """
    from amplify.cli.track import refuse_set_aside
    from amplify.errors import MissingDependencyError

    try:
        from amplify.view.export import RerunConfig, export_rerun
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("amplify"):
            raise
        raise MissingDependencyError(
            f"the package {error.name!r} is missing", remedy="pip install 'amplify-robot[rerun]'"
        ) from None
    from amplify.train.recipes import bundle_of

    config = RerunConfig(
        tracks=tracks,
        bundle=None if bundle is None else bundle_of(bundle),
        foresee_every=foresee_every,
        jpeg_quality=jpeg_quality,
    )
    summary = export_rerun(dataset, out, config, episodes=episodes, workers=workers)
    refuse_set_aside(summary, strict=strict)
    return summary
