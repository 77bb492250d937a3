"""The card of a dataset, from what is in it."""

from collections import Counter
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from amplify.data.dataset import Dataset
from amplify.data.layout import VERSION
from amplify.hub.checks import SCENE
from amplify.policy.card import BEGIN, END, NON_COMMERCIAL

SHOWN_TASKS = 30
_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))


def dataset_metadata(dataset: Dataset) -> dict[str, Any]:
    """What the hub and its viewer read from the front matter; rows are frames."""
    frames = sum(episode.length for episode in dataset.episodes)
    return {
        "task_categories": ["robotics"],
        "tags": ["LeRobot", "amplify", "robotics", "video"],
        "size_categories": [next((name for limit, name in _SIZES if frames < limit), "10M<n<100M")],
        "configs": [{"config_name": "default", "data_files": "data/*/*.parquet"}],
    }


def dataset_section(
    dataset: Dataset,
    sidecars: Mapping[str, Mapping[str, Any]],
    *,
    source: str,
    licence: str | None,
    others: list[str],
) -> str:
    """The marked part of a dataset's card.

    Args:
        dataset: All of whose episodes are usable.
        sidecars: What each folder that is pushed says of itself.
        source: The repository's name.
        licence: Of the data.
        others: Sidecar folders that the repository has beside those.
    """
    spec, episodes = dataset.spec, dataset.episodes
    frames = sum(episode.length for episode in episodes)
    tasks = Counter(episode.instruction for episode in episodes)
    acts = "with actions" if spec.action_names else "video without actions"
    lines = [
        BEGIN,
        f"{len(episodes):,} episodes, {frames:,} frames at {spec.fps} a second "
        f"({frames / spec.fps / 60:.1f} minutes), {acts}; a LeRobotDataset {VERSION}.",
        "",
        "| | |",
        "|---|---|",
        f"| robot | {spec.robot_type} |",
        f"| cameras | {', '.join(_camera(dataset, name) for name in spec.cameras)} |",
        f"| proprioception | {', '.join(spec.proprio_names or ()) or '–'} |",
        f"| action | {', '.join(spec.action_names or ()) or '–'} |",
        f"| frames an episode | {min(e.length for e in episodes)} to {max(e.length for e in episodes)} |",
        "",
        f"## Tasks ({len(tasks)})",
        "",
        "| instruction | episodes |",
        "|---|---|",
        *(f"| {_cell(task) or '(none)'} | {count} |" for task, count in tasks.most_common(SHOWN_TASKS)),
        *([f"| … and {len(tasks) - SHOWN_TASKS} more | |"] if len(tasks) > SHOWN_TASKS else []),
        "",
        "## How it was made",
        *_origin(dataset),
        "",
        *_sidecars(sidecars, others),
        "## Use",
        "```bash",
        f"amplify pull {source} --kind dataset --out {source.split('/')[1]}",
        "```",
        "",
        "```python",
        "from lerobot.datasets.lerobot_dataset import LeRobotDataset",
        "",
        f'dataset = LeRobotDataset("{source}")',
        "```",
        "",
        "## Licence",
        f"Data: {licence}." if licence else "None is stated here; ask who made this.",
        *_notice(sidecars),
        "",
        f"Written by amplify-robot {version('amplify-robot')}.",
        END,
    ]
    return "\n".join(lines)


def _camera(dataset: Dataset, name: str) -> str:
    height, width = dataset.frame_size(name)
    return f"{name} ({width}×{height})"


def _origin(dataset: Dataset) -> list[str]:
    notes = [episode.info for episode in dataset.episodes if episode.info]
    if not notes:
        return ["Not recorded by amplify-robot, or without notes."]
    lines = []
    for key in sorted({key for note in notes for key in note}):
        values = [note[key] for note in notes if key in note]
        distinct = sorted(set(map(str, values)))
        if all(isinstance(v, int | float) for v in values) and len(distinct) > 1:
            lines.append(f"- {key}: {min(values):.6g} to {max(values):.6g}")  # type: ignore[type-var]
        else:
            more = f" … ({len(distinct)} in all)" if len(distinct) > 12 else ""
            lines.append(f"- {key}: {', '.join(map(_cell, distinct[:12]))}{more}")
    return lines


def _sidecars(sidecars: Mapping[str, Mapping[str, Any]], others: list[str]) -> list[str]:
    if not sidecars and not others:
        return []
    rows = [
        f"| `{name}` | {header['kind']} | {header['producer']} {header.get('version', '')} | "
        f"{_cell(', '.join(f'{k} {v}' for k, v in sorted(header.get('settings', {}).items())))} |"
        for name, header in sidecars.items()
    ]
    rows += [f"| `{name}` | {'scene' if name == SCENE else name.split('-')[0]} | | |" for name in others]
    return ["## Sidecars", "", "| folder | kind | made by | settings |", "|---|---|---|---|", *rows, ""]


def _notice(sidecars: Mapping[str, Mapping[str, Any]]) -> list[str]:
    made = {str(header["producer"]) for header in sidecars.values()}
    limited = sorted(name for name in made if name.startswith(NON_COMMERCIAL))
    return [f"Tracks of {name}: its code and weights are CC BY-NC 4.0, not for commercial use." for name in limited]


def _cell(text: str) -> str:
    # Neither columns nor marks may end where a sentence says so.
    return " ".join(str(text).replace("|", "/").replace("<", "&lt;").split())[:300]
