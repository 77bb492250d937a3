"""``amplify export``: trained models for runtimes without Python, checked against PyTorch as they are written."""

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
