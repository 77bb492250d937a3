"""``amplify parity``: our models and readers against what the reference implementation computed."""

from pathlib import Path
from typing import Any

from tyro.conf import Positional


def parity(folder: Positional[Path], /) -> dict[str, Any]:
    """Compares every stored array of a folder with ours; exits 1 if one differs or is not covered.

    The folder holds checkpoints (*.pt), arrays that the reference implementation computed from them (*.npz), and the
    data that its loader read (data/). Deviations are in units of an array's largest magnitude. Choices (argmax) are
    compared where the best led by more than 1e-4.

    Args:
        folder: The folder.
    """
    from amplify.reference.parity import check_folder

    return check_folder(folder).summary
