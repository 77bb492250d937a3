"""The README of a bundle."""

from collections.abc import Mapping
from typing import Any

from torch import nn


def model_card(
    name: str, models: Mapping[str, nn.Module], meta: Mapping[str, Any], stats: Mapping[str, Any], version: str
) -> str:
    """Markdown: what the bundle holds, what it was trained on, how to load it."""
    rows = [f"| {key} | {sum(p.numel() for p in model.parameters()):,} |" for key, model in sorted(models.items())]
    about = [f"- {key.replace('_', ' ')}: {value}" for key, value in sorted(meta.items()) if value]
    figures = [f"- {key}: {value}" for key, value in sorted(stats.items()) if isinstance(value, str | int | float)]
    lines = [
        f"# {name}",
        "",
        "Models of AMPLIFY: motion tokens from video, actions from motion tokens.",
        "",
        "| model | parameters |",
        "|---|---|",
        *rows,
        "",
        "## Trained on",
        *(about or ["- not recorded"]),
        *(["", "## Figures", *figures] if figures else []),
        "",
        "## Use",
        "```python",
        "from pathlib import Path",
        "from amplify.policy import load_bundle",
        f'bundle = load_bundle(Path("{name}"))',
        "```",
        "",
        f"Written by amplify-robot {version}. Weights are safetensors; loading runs no code.",
        "",
    ]
    return "\n".join(lines)
