"""The README of a bundle: a model card whose marked part is written from the bundle's own figures."""

from collections.abc import Mapping
from typing import Any

from torch import nn

BEGIN = "<!-- amplify: written anew with every push, down to the line that ends it -->"
END = "<!-- amplify: end -->"
SHOWN_INSTRUCTIONS = 12
SHOWN_FIGURES = 80

METHOD = (
    "[AMPLIFY](https://arxiv.org/abs/2506.14198) turns keypoint tracks of any video into a short string of motion "
    "tokens; forward dynamics foresees it from\nimage and instruction (learned from videos alone), inverse dynamics "
    "turns it into actions (learned from a few demonstrations)."
)

HOLDS = {
    "tokenizer": "tracks to motion tokens and back",
    "forward": "forward dynamics: image and instruction to motion tokens",
    "inverse": "inverse dynamics: image, proprioception and motion tokens to actions",
    "behaviour_cloning": "behaviour cloning: image, proprioception and instruction to actions",
    "track_transformer": "ATM's regression of tracks",
    "track_diffusion": "diffusion of tracks",
    "track_policy": "ATM's policy on foreseen tracks",
    "vision_encoder": "image encoder with weights of its own",
    "inverse_vision_encoder": "image encoder of inverse dynamics",
    "text_encoder": "sentence encoder with weights of its own",
}

METADATA: dict[str, Any] = {
    "library_name": "amplify-robot",
    "pipeline_tag": "robotics",
    "tags": ["robotics", "amplify", "motion-tokens", "imitation-learning", "safetensors"],
}
"""What the hub reads from a model card's front matter."""

NON_COMMERCIAL = ("cotracker",)
"""Trackers whose code and weights must not be used commercially, by the beginning of their names."""


def model_card(
    name: str,
    models: Mapping[str, nn.Module],
    meta: Mapping[str, Any],
    stats: Mapping[str, Any],
    version: str,
    *,
    source: str | None = None,
    licence: str | None = None,
) -> str:
    """Markdown without front matter: title and the marked section.

    Args:
        name: Title.
        models: By name.
        meta: What surrounds them.
        stats: Figures.
        version: Of amplify-robot.
        source: Where it is loaded from: ``hub:owner/name``; a folder of the card's name by default.
        licence: Of the weights.
    """
    section = model_section(models, meta, stats, version, source=source or name, licence=licence)
    return f"# {name}\n\n{section}\n"


def model_section(
    models: Mapping[str, nn.Module],
    meta: Mapping[str, Any],
    stats: Mapping[str, Any],
    version: str,
    *,
    source: str,
    licence: str | None = None,
) -> str:
    """The part between the marks: method, models, figures, data, use, licence, limitations; arguments as above."""
    parameters = {key: sum(p.numel() for p in model.parameters()) for key, model in sorted(models.items())}
    figures = figure_lines(stats)
    lines = [
        BEGIN,
        METHOD,
        "",
        "| model | parameters | |",
        "|---|---|---|",
        *(f"| {key} | {count:,} | {HOLDS.get(key, '')} |" for key, count in parameters.items()),
        "",
        "## Figures",
        *(figures or ["None were recorded."]),
        "",
        "## Learned from",
        *(_data(meta) or ["- not recorded"]),
        "",
        "## Use",
        *_use(source, acts=bool({"inverse", "behaviour_cloning", "track_policy"} & set(models))),
        "",
        "## Licence",
        _licence(meta, licence),
        "",
        "## Limitations",
        *_limitations(meta),
        "",
        f"Written by amplify-robot {version}. Weights are safetensors, descriptions JSON; loading runs no code.",
        END,
    ]
    return "\n".join(lines)


def figure_lines(stats: Mapping[str, Any]) -> list[str]:
    """Markdown lines, one a figure; means come with their interval and their count."""
    lines = [f"- {name}: {value}" for name, value in _flat(stats)]
    more = len(lines) - SHOWN_FIGURES
    return [*lines[:SHOWN_FIGURES], f"- … and {more} more in stats.json"] if more > 0 else lines


def _flat(stats: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in sorted(stats.items()):
        name = f"{prefix}{key}".replace("|", "/").replace("\n", " ")
        if isinstance(value, Mapping) and "mean" in value:
            rows.append((name, _measured(value)))
        elif isinstance(value, Mapping):
            rows += _flat(value, f"{name}, ")
        elif isinstance(value, bool | str | int | float):
            rows.append((name, _number(value)))
    return rows


def _measured(value: Mapping[str, Any]) -> str:
    interval = value.get("ci95")
    text = f"**{_number(value['mean'])}**"
    if isinstance(interval, list | tuple) and len(interval) == 2:
        text += f" [{_number(interval[0])}, {_number(interval[1])}] (95 %)"
    counts = [f"{value[key]} {key}" for key in ("rollouts", "episodes", "windows") if isinstance(value.get(key), int)]
    return ", ".join([text, *counts])


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _data(meta: Mapping[str, Any]) -> list[str]:
    told = dict(meta)
    sentences = list(told.pop("instructions", None) or [])
    lines = [f"- {key.replace('_', ' ')}: {_listed(value)}" for key, value in sorted(told.items()) if value]
    if sentences:
        # A sentence must not end the marked section.
        shown = [f"“{str(sentence).replace('<', '&lt;')}”" for sentence in sentences[:SHOWN_INSTRUCTIONS]]
        more = len(sentences) - len(shown)
        lines.append(f"- instructions ({len(sentences)}): {', '.join(shown)}" + (f" … and {more} more" if more else ""))
    return lines


def _listed(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    if isinstance(value, Mapping):
        inner = {key: _listed(part) for key, part in value.items() if part not in ({}, None)}
        return ", ".join(part if key == "name" else f"{key} {part}" for key, part in inner.items())
    return str(value)


def _use(source: str, *, acts: bool) -> list[str]:
    if source.startswith("hub:"):
        load = ["from amplify.hub.resolve import hub_bundle", "from amplify.policy import load_bundle", ""]
        load += [f'bundle = load_bundle(hub_bundle("{source}"))']
    else:
        load = ["from pathlib import Path", "from amplify.policy import load_bundle", ""]
        load += [f'bundle = load_bundle(Path("{source}"))']
    command = f"amplify evaluate policy {source} --tasks …" if acts else f"amplify predict {source} image.png --text …"
    return ["```python", *load, "```", "", "```bash", "pip install amplify-robot", command, "```"]


def _licence(meta: Mapping[str, Any], licence: str | None) -> str:
    stated = f"Weights: {licence}." if licence else "None is stated here; ask who made this."
    tracker = meta.get("tracker")
    name = str(tracker.get("name", "")) if isinstance(tracker, Mapping) else ""
    if name.startswith(NON_COMMERCIAL):
        stated += f" The tracks came from {name}, whose code and weights are CC BY-NC 4.0: not for commercial use."
    return stated


def _limitations(meta: Mapping[str, Any]) -> list[str]:
    cameras = meta.get("cameras") or ()
    lines = ["- Research software: watch a robot that it moves, and limit forces and workspace."]
    if cameras:
        lines.append(
            f"- It has seen the views {', '.join(cameras)} only; other cameras, robots and scenes are new to it."
        )
    if meta.get("instructions"):
        lines.append("- Instructions unlike those above are new to it; it answers them all the same.")
    lines.append(
        "- Figures hold for the data and tasks that they name, with the counts given; nothing else was measured."
    )
    return lines
