"""Plots as PNG files."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from amplify.metrics.statistics import Interval

PALETTE = ("#2f6fde", "#e8743b", "#19a979", "#945ecf", "#c9a100", "#6c8893", "#d6336c")
"""Colours of series, in order; told apart with most kinds of colour blindness and on paper."""


def plot_curves(
    series: Mapping[str, tuple[Sequence[float | int], Sequence[float | int]]],
    *,
    x: str,
    y: str,
    log_y: bool = False,
    size_in: tuple[float | int, float | int] = (5.0, 3.0),
) -> bytes:
    """Lines (training curves) as a PNG file.

    Args:
        series: For each name its x and y values.
        x: Label of the axis, with unit.
        y: Label of the axis, with unit.
        log_y: Logarithmic y axis.
        size_in: Width and height in inches, at 160 dots an inch.
    """
    figure, axes = _axes(size_in)
    for (name, (xs, ys)), colour in zip(series.items(), _colours(len(series))):
        axes.plot(xs, ys, color=colour, linewidth=1.8, label=name)
    if log_y:
        axes.set_yscale("log")
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    if len(series) > 1:
        axes.legend(frameon=False, fontsize=8)
    return _finish(figure)


def plot_bars(
    groups: Mapping[str, Mapping[str, Interval | float | int]],
    *,
    y: str,
    dots: Mapping[str, Mapping[str, Sequence[float | int]]] | None = None,
    limit: tuple[float | int, float | int] | None = None,
    size_in: tuple[float | int, float | int] = (6.5, 3.2),
) -> bytes:
    """Grouped bars with their intervals as a PNG file.

    Args:
        groups: For each group (a task) the bars by series (a method); the series get one colour each.
        y: Label of the axis, with unit.
        dots: Single outcomes (seeds) to show over the bars, by group and series.
        limit: Of the y axis.
        size_in: Width and height in inches, at 160 dots an inch.
    """
    figure, axes = _axes(size_in)
    names = list(dict.fromkeys(name for bars in groups.values() for name in bars))
    width = 0.8 / max(1, len(names))
    for index, (name, colour) in enumerate(zip(names, _colours(len(names)))):
        for position, (group, bars) in enumerate(groups.items()):
            if name not in bars:
                continue
            value = bars[name]
            at = position + (index - (len(names) - 1) / 2) * width
            height = value.mean if isinstance(value, Interval) else value
            axes.bar(at, height, 0.92 * width, color=colour, label=name if position == 0 else None)
            if isinstance(value, Interval):
                axes.plot([at, at], [value.low, value.high], color="#1c2026", linewidth=1.2, solid_capstyle="butt")
            points = (dots or {}).get(group, {}).get(name, ())
            axes.plot([at] * len(points), points, "o", color="white", markeredgecolor="#1c2026", markersize=3.5)
    axes.set_xticks(
        range(len(groups)),
        list(groups),
        rotation=20 if len(groups) > 4 else 0,
        ha="right" if len(groups) > 4 else "center",
    )
    axes.set_ylabel(y, fontsize=9)
    if limit:
        axes.set_ylim(*limit)
    if len(names) > 1:
        axes.legend(frameon=False, fontsize=8, ncols=len(names), loc="lower left", bbox_to_anchor=(0, 1))
    return _finish(figure)


def plot_rows(
    rows: Mapping[str, Interval], *, x: str, reference: str | None = None, width_in: float | int = 8.0
) -> bytes:
    """Horizontal bars with their intervals, one a row, as a PNG file.

    Args:
        rows: In order from the top; names may be sentences.
        x: Label of the axis, with unit.
        reference: The row that others are compared with: it has a colour of its own and a line through the others.
        width_in: Width in inches, at 160 dots an inch; the height follows the number of rows.
    """
    figure, axes = _axes((width_in, 0.8 + 0.26 * len(rows)))
    for position, (name, value) in enumerate(rows.items()):
        axes.barh(-position, value.mean, 0.7, color=PALETTE[1] if name == reference else PALETTE[0])
        axes.plot([value.low, value.high], [-position] * 2, color="#1c2026", linewidth=1.2, solid_capstyle="butt")
    if reference is not None:
        axes.axvline(rows[reference].mean, color=PALETTE[1], linewidth=1.0, linestyle="--")
    axes.set_yticks([-position for position in range(len(rows))], list(rows))
    axes.grid(axis="x", color="#e6e9ed", linewidth=0.8)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(x, fontsize=9)
    return _finish(figure)


def _colours(count: int) -> list[str]:
    return [PALETTE[i % len(PALETTE)] for i in range(count)]


def _axes(size_in: tuple[float | int, float | int]) -> tuple[Any, Any]:
    # The object interface: pyplot would keep global state and choose a display.
    from matplotlib.figure import Figure

    figure = Figure(figsize=size_in, dpi=160, layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#9aa3ad")
    axes.tick_params(colors="#4a525c", labelsize=8)
    axes.grid(axis="y", color="#e6e9ed", linewidth=0.8)
    axes.set_axisbelow(True)
    return figure, axes


def _finish(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
