"""One self-contained HTML page from sections of text, pictures, tables and videos: no network, no scripts."""

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Literal

import jinja2


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A PNG with its caption."""

    png: bytes
    caption: str = ""
    width_percent: int = 100

    @property
    def data_uri(self) -> str:
        """The picture inside a URI."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """A JPEG with its caption."""

    jpeg: bytes
    caption: str = ""
    width_percent: int = 100

    @property
    def data_uri(self) -> str:
        """The picture inside a URI."""
        return "data:image/jpeg;base64," + base64.b64encode(self.jpeg).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A box that cannot be overlooked.

    Args:
        level: Gives its colour.
        text: What is to be known.
        detail: Smaller, below: where.
        remedy: What to do about it.
    """

    level: Literal["unusable", "problem", "note", "good"]
    text: str
    detail: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Video:
    """An mp4 file, embedded in the page."""

    path: Path
    caption: str = ""

    @property
    def data_uri(self) -> str:
        """The file inside a URI."""
        return "data:video/mp4;base64," + base64.b64encode(self.path.read_bytes()).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows under a header; numbers are shown with three significant digits, a dash stands for nothing."""

    header: Sequence[str]
    rows: Sequence[Sequence[object]]
    caption: str = ""

    @property
    def cells(self) -> list[list[str]]:
        """The rows as text."""
        return [[_cell(value) for value in row] for row in self.rows]


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return str(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading and what stands under it, in the order of the fields; facts are pairs of a label and a value."""

    heading: str
    text: str = ""
    facts: Sequence[tuple[str, str]] = field(default_factory=tuple)
    notices: Sequence[Notice] = field(default_factory=tuple)
    tables: Sequence[Table] = field(default_factory=tuple)
    pictures: Sequence[Picture | Photo] = field(default_factory=tuple)
    videos: Sequence[Video] = field(default_factory=tuple)
    preformatted: str = ""


def write_page(path: Path, *, title: str, verdict: str, sections: Sequence[Section]) -> None:
    """Writes the page, aside first.

    Args:
        path: The HTML file.
        title: Its heading.
        verdict: The result in a sentence or two, computed from the figures.
        sections: The evidence.
    """
    source = resources.files("amplify.evaluate").joinpath("report.html.j2").read_text()
    template = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(source)
    aside = path.with_suffix(".partial")
    aside.write_text(template.render(title=title, verdict=verdict, sections=sections))
    os.replace(aside, path)
