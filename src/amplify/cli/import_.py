"""``amplify import …``: what others trained, as bundles."""

from pathlib import Path
from typing import Any

from tyro.conf import Positional


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
