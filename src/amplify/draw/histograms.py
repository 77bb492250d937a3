"""Histograms as PNG files with a clear background, readable on light and dark pages."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from amplify.draw.plots import PALETTE

_INK, _FAINT = "#7b8696", "#7b869640"
"""Grey that stands out from white and from black."""


def plot_histogram(
    edges: Sequence[float | int],
    counts: Sequence[float | int],
    *,
    x: str,
    y: str,
    log_x: bool = False,
    lines: Mapping[str, float | int] | None = None,
    size_in: tuple[float | int, float | int] = (4.6, 2.6),
) -> bytes:
    """Bars between edges as a PNG file.

    Args:
        edges: One more than bars, ascending.
        counts: Heights of the bars.
        x: Label of the axis, with unit.
        y: Label of the axis, with unit.
        log_x: Logarithmic x axis.
        lines: Vertical lines by name.
        size_in: Width and height in inches, at 160 dots an inch.
    """
    figure, axes = _figure(size_in)
    axes.stairs(counts, edges, fill=True, color=PALETTE[0])
    axes.yaxis.get_major_locator().set_params(integer=True)
    if log_x:
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    for (name, at), colour in zip((lines or {}).items(), PALETTE[1:]):
        axes.axvline(at, color=colour, linewidth=1.6, linestyle="--", label=name)
    if lines:
        axes.legend(frameon=False, fontsize=8, labelcolor=_INK)
    axes.set_xlabel(x, fontsize=9, color=_INK)
    axes.set_ylabel(y, fontsize=9, color=_INK)
    return _png(figure)


def plot_small_histograms(values: Mapping[str, np.ndarray], *, columns: int = 4, bins: int = 24) -> bytes:
    """A small histogram for each name, side by side, as a PNG file.

    Args:
        values: Samples by name; at least one name.
        columns: Histograms a row.
        bins: Bars of each.
    """
    rows = -(-len(values) // columns)
    figure, _ = _figure((2.3 * columns, 1.35 * rows), empty=True)
    for position, (name, samples) in enumerate(values.items()):
        axes = _styled(figure.add_subplot(rows, columns, position + 1))
        counts, edges = np.histogram(samples, bins=bins)
        axes.stairs(counts, edges, fill=True, color=PALETTE[0])
        axes.set_title(name, fontsize=8, color=_INK, pad=3)
        axes.set_yticks([])
        axes.locator_params(axis="x", nbins=3)
        axes.tick_params(labelsize=7)
    return _png(figure)


def _figure(size_in: tuple[float | int, float | int], *, empty: bool = False) -> tuple[Any, Any]:
    # The object interface: pyplot would keep global state and choose a display.
    from matplotlib.figure import Figure

    figure = Figure(figsize=size_in, dpi=160, layout="constrained")
    figure.patch.set_alpha(0)
    return figure, None if empty else _styled(figure.add_subplot())


def _styled(axes: Any) -> Any:
    axes.patch.set_alpha(0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_INK)
    axes.tick_params(colors=_INK, labelsize=8)
    axes.grid(axis="y", color=_FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    return axes


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", transparent=True)
    return buffer.getvalue()
