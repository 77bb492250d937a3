"""An inspection from beginning to end: read, judge, sum up, and show."""

from pathlib import Path
from typing import Any

from amplify.evaluate.inspection.config import InspectionConfig
from amplify.evaluate.inspection.evidence import Evidence, gather
from amplify.evaluate.inspection.finding import Finding, worst_first
from amplify.evaluate.inspection.judging import judge
from amplify.evaluate.inspection.judging_motion import judge_motion
from amplify.evaluate.inspection.page import write_inspection
from amplify.evaluate.inspection.summary import summary

PICTURED = 12
"""Episodes that a page shows."""


def inspect_dataset(
    root: Path,
    config: InspectionConfig,
    *,
    out: Path | None = None,
    workers: int | None = None,
    strict: bool = False,
) -> dict[str, Any]:
    """What is in a dataset and what is wrong with it, by stable names; ``passed`` says whether it can be used.

    Args:
        root: The dataset's folder.
        config: How much to look at.
        out: An HTML page to write.
        workers: Processes; all cores by default.
        strict: Whether any problem makes it fail.

    Raises:
        DataError: There is no dataset, or its tables are damaged.
        UsageError: There are no tracks of the name that was asked for.
    """
    evidence = gather(root, config, pictures=PICTURED if out else 0, workers=workers)
    findings = worst_first([*judge(evidence), *judge_motion(evidence)])
    said = verdict(evidence, findings)
    figures = summary(evidence, findings)
    if out is not None:
        write_inspection(out, evidence, findings, figures, said)
    usable = not any(finding.severity == "unusable" for finding in findings)
    problems = sum(finding.severity == "problem" for finding in findings)
    return {
        **figures,
        "problems": problems,
        "verdict": said,
        "page": None if out is None else str(out),
        "usable": usable,
        "passed": usable and not (strict and problems),
    }


def verdict(evidence: Evidence, findings: list[Finding]) -> str:
    """The outcome in a sentence or two.

    Args:
        evidence: What was read.
        findings: What is wrong, the worst first.
    """
    reasons = [finding.message for finding in findings if finding.severity == "unusable"]
    if reasons:
        return "Unusable: " + " ".join(reasons)
    count = sum(finding.severity == "problem" for finding in findings)
    checked = len(evidence.checks) + len(evidence.broken)
    whole = f"{evidence.usable} of {checked} checked episodes can be used"
    everything = evidence.motion_by(None)
    moves = ""
    if everything and everything["all"].moving_steps:
        share = everything["all"].beyond[0] / everything["all"].moving_steps
        moves = f" {100 * share:.1f} % of the moving steps lie beyond the token window."
    problems = "no problem was found" if not count else f"{count} problem{'s' if count > 1 else ''} found"
    return f"Usable: {whole}; {problems}.{moves}"
