"""What a mixture comes to, one line a source, to look at before training."""

from collections.abc import Sequence
from dataclasses import dataclass

from amplify.data.dataset import Dataset
from amplify.data.mixture.alignment import frames_a_step, views_of
from amplify.data.mixture.choosing import chosen_episodes
from amplify.data.mixture.source import Mixture, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One source of a mixture.

    Args:
        source: Its path.
        role: What it teaches, or "held out".
        used: Episodes that count.
        available: Episodes that can be read.
        windows: Of the episodes that count.
        hours: Of them.
        weight: As it was given.
        share: How often it is drawn; None of a source that is held out.
        views: Its cameras as the mixture calls them, "–" for a view that it lacks.
        fps: Frames a second.
        frames_a_step: Frames that one step of a window spans.
        tasks: Instructions of the episodes that count.
        embodiment: Who acts.
    """

    source: str
    role: str
    used: int
    available: int
    windows: int
    hours: float
    weight: float
    share: float | None
    views: str
    fps: float
    frames_a_step: float
    tasks: int
    embodiment: str


def lines_of(mixture: Mixture) -> list[Line]:
    """The sources of a mixture, then those that are held out.

    Args:
        mixture: After `split`, if a fraction of it is held back.

    Raises:
        DataError: A dataset, or an episode that is named, does not exist.
        UsageError: A filter fits nothing.
    """
    every = (*mixture.sources, *mixture.held_out)
    datasets = [Dataset.open(source.path, columns=False) for source in every]
    views = views_of(every, datasets, mixture.views)
    lines = [_line(source, dataset, mixture) for source, dataset in zip(every, datasets)]
    drawn = [
        line.weight * (line.windows if mixture.sampling == "by-window" else 1) for line in lines[: len(mixture.sources)]
    ]
    finished = []
    for number, (line, cameras) in enumerate(zip(lines, views.cameras)):
        named = [name if camera is not None else "–" for name, camera in zip(views.names, cameras)]
        trained = number < len(drawn)
        finished.append(
            Line(
                **{name: getattr(line, name) for name in Line.__slots__ if name not in ("role", "share", "views")},
                role=line.role if trained else "held out",
                share=drawn[number] / sum(drawn) if trained else None,
                views=" ".join(named),
            )
        )
    return finished


def _line(source: Source, dataset: Dataset, mixture: Mixture) -> Line:
    chosen, fps = chosen_episodes(source, dataset, quiet=True), float(dataset.spec.fps)
    frames = sum(info.length for info in chosen)
    return Line(
        source=str(source.path),
        role=source.role,
        used=len(chosen),
        available=len(dataset.episodes),
        windows=frames,
        hours=frames / fps / 3600,
        weight=source.weight,
        share=None,
        views="",
        fps=fps,
        frames_a_step=frames_a_step(source, fps, mixture.rate),
        tasks=len({info.instruction for info in chosen}),
        embodiment=source.embodiment or dataset.spec.robot_type,
    )


HEADER = ("source", "role", "episodes", "windows", "hours", "weight", "share", "views", "fps", "step", "tasks", "who")


def table(lines: Sequence[Line]) -> str:
    """The lines as text with a header, numbers to the right."""
    rows = [HEADER, *map(cells, lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    left = {HEADER.index(name) for name in ("source", "role", "views", "who")}
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in rows
    )


def cells(line: Line) -> tuple[str, ...]:
    """What stands under `HEADER` for a source."""
    step = f"{line.frames_a_step:g} frame" + ("" if line.frames_a_step == 1 else "s")
    return (
        line.source,
        line.role,
        f"{line.used} of {line.available}",
        f"{line.windows:,}",
        f"{line.hours:.2f}" if line.hours >= 0.1 else f"{line.hours:.4f}",
        f"{line.weight:g}",
        "–" if line.share is None else f"{100 * line.share:.1f} %",
        line.views,
        f"{line.fps:g}",
        step,
        str(line.tasks),
        line.embodiment,
    )
