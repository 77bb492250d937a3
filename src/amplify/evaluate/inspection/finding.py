"""What an inspection found to be wrong, or worth knowing, and what to do about it."""

from collections.abc import Iterable, Sized
from dataclasses import dataclass
from typing import Any, Literal

Severity = Literal["unusable", "problem", "note"]
SHOWN = 20
"""Episodes of a finding that are listed."""
LISTED = 5
"""Examples that a message names."""


def counted(number: int, noun: str) -> str:
    """A number with its noun: "1 episode", "2 episodes"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def more(examples: Sized) -> str:
    """What follows a list of the first `LISTED` of some examples."""
    return " …" if len(examples) > LISTED else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is wrong with a dataset, or worth knowing.

    Args:
        kind: Its name for machines, the same in every inspection.
        severity: "unusable" where nothing can be learned, "problem" where data are lost or mislead, else "note".
        message: What it is, with its figures.
        remedy: What to do.
        episodes: Those it is about; empty where it is about the dataset.
    """

    kind: str
    severity: Severity
    message: str
    remedy: str = ""
    episodes: tuple[int, ...] = ()

    @property
    def where(self) -> str:
        """The episodes in words; empty where it is about the dataset."""
        if not self.episodes:
            return ""
        listed = ", ".join(map(str, self.episodes[:SHOWN]))
        more = f" and {len(self.episodes) - SHOWN} more" if len(self.episodes) > SHOWN else ""
        return f"episode{'s' if len(self.episodes) > 1 else ''} {listed}{more}"

    def summary(self) -> dict[str, Any]:
        """The finding by stable names, ready for JSON."""
        return {
            "severity": self.severity,
            "kind": self.kind,
            "message": self.message,
            "count": len(self.episodes),
            "episodes": list(self.episodes[:SHOWN]),
            "remedy": self.remedy,
        }


_ORDER: tuple[Severity, ...] = ("unusable", "problem", "note")


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """The findings by severity."""
    return sorted(findings, key=lambda finding: _ORDER.index(finding.severity))
