"""The evidence: report.json for machines, report.html for people. Every sentence is computed."""

import json
from collections.abc import Mapping
from typing import Any

from amplify.data.files import write_json
from amplify.data.mixture.table import HEADER, Line, cells
from amplify.evaluate.report import Section, Table, write_page
from amplify.experiments.defaults import versions
from amplify.experiments.ledger import Ledger
from amplify.experiments.own_videos import pictures
from amplify.experiments.own_videos.actions import ROWS as ACTION_ROWS
from amplify.experiments.own_videos.parts import Parts
from amplify.experiments.quickstart.report import FIGURES
from amplify.experiments.quickstart.report import ROWS as TRACK_ROWS


def write_report(parts: Parts, ledger: Ledger) -> dict[str, Any]:
    """Writes report.json and report.html; the content of the former that matters most.

    Args:
        parts: Data and folders.
        ledger: What every stage returned, and how long it took.
    """
    config, tracks = parts.config, ledger.result("track_metrics")
    report: dict[str, Any] = {
        "preset": config.preset,
        "seed": config.seed,
        "tracker": config.tracker,
        "data": ledger.result("data"),
        "tracks": {name: scores for name, scores in tracks.items() if scores is not None},
        "actions": ledger.result("action_error"),
        "codebook": ledger.result("tokenizer")["codebook"],
        "seconds": {**ledger.seconds, "total": ledger.wall_s},
        "cpu_seconds": {**ledger.cpu_seconds, "total": ledger.cpu_s},
        "versions": versions(),
        "settings": config.model_dump(mode="json"),
    }
    write_json(parts.out / "report.json", report)
    verdict = _verdict(report)
    episodes = pictures.filmed(parts)
    write_page(
        parts.out / "report.html",
        title=f"AMPLIFY on {', '.join(source.path.name for source in config.videos)}",
        verdict=verdict,
        sections=_sections(parts, report, episodes),
    )
    return {
        "report": str(parts.out / "report.html"),
        "bundle": str(parts.bundle),
        "verdict": verdict,
        **{key: report[key] for key in ("tracks", "actions", "codebook", "seconds")},
    }


def _verdict(report: Mapping[str, Any]) -> str:
    judge = "truth" if "truth" in report["tracks"] else "own_tracker"
    against = "the simulator's truth" if judge == "truth" else f"the tracks of the {report['tracker']} tracker"
    moving, rows = report["tracks"][judge]["moving"], report["actions"]["rows"]
    best = min(("mean", "hold"), key=lambda name: rows[name]["mean"])
    sentences = []
    if report["preset"] == "smoke":
        sentences.append("A smoke run: everything works, and no figure on this page means anything.")
    if moving["model"]["count"]:
        sentences.append(
            f"On held-out videos, foreseen tracks of moving points are {moving['model']['error_px']:.1f} px from "
            f"{against} (no motion: {moving['no_motion']['error_px']:.1f} px, constant velocity: "
            f"{moving['constant_velocity']['error_px']:.1f} px)."
        )
    else:
        sentences.append("Nothing moves in the held-out videos, so that foreseen motion cannot be judged.")
    sentences.append(
        f"On held-out demonstrations, actions are off by {rows['foreseen']['mean']:.2f} standard deviations with the "
        f"motion that is foreseen and {rows['real']['mean']:.2f} with the motion that came ({ACTION_ROWS[best]}: "
        f"{rows[best]['mean']:.2f}). Errors of actions do not foretell success: only a robot, or a simulator, does."
    )
    return "\n".join(sentences)


def _sections(parts: Parts, report: Mapping[str, Any], episodes: list[pictures.Filmed]) -> list[Section]:
    tables = [_sources_table(report["data"][name], text) for name, text in _LEARNERS.items()]
    judged = [_tracks_table(scores, _JUDGES[name].format(**report)) for name, scores in report["tracks"].items()]
    book = report["codebook"]
    return [
        Section(
            heading="What it foresees",
            text="Motion foreseen on held-out frames from one image and one sentence, beside what the tracker saw.",
            pictures=pictures.stills(episodes),
            videos=pictures.films(parts, episodes),
        ),
        Section(heading="What it learned from", tables=tables),
        Section(
            heading="Foreseen tracks",
            text="Held-out episodes; pixels of a 128×128 frame. Most points of a fixed camera never move, so that "
            "figures over all points flatter 'no motion': the moving points are the ones to read.",
            tables=[table for pair in judged for table in pair],
        ),
        Section(
            heading="Actions",
            text=f"{report['actions']['episodes']} held-out demonstrations, {report['actions']['windows']} chunks.",
            tables=[_actions_table(report["actions"])],
        ),
        Section(
            heading="Training",
            text=f"Codebook on held-out videos: {book['used']} of {book['size']} codes used, perplexity "
            f"{book['perplexity']:.0f}.",
            pictures=pictures.curves(parts),
        ),
        Section(
            heading="Time",
            tables=[
                Table(
                    header=["stage", "seconds", "processor seconds"],
                    rows=[
                        [name.replace("_", " "), f"{value:.0f}", f"{report['cpu_seconds'][name]:.0f}"]
                        for name, value in report["seconds"].items()
                    ],
                    caption="Encoding and training stages run side by side; total is the wall clock of all attempts.",
                )
            ],
        ),
        Section(
            heading="Settings and versions",
            preformatted=json.dumps({"versions": report["versions"], "settings": report["settings"]}, indent=1),
        ),
    ]


_LEARNERS = {"motion": "Tokens and forward dynamics.", "actions": "Inverse dynamics."}
_JUDGES = {
    "own_tracker": "Against the {tracker} tracker, from whose tracks it learned: agreement, not truth",
    "truth": "Against the simulator's truth",
}


def _sources_table(rows: list[Mapping[str, Any]], caption: str) -> Table:
    return Table(header=HEADER, rows=[cells(Line(**row)) for row in rows], caption=caption)


def _tracks_table(scores: Mapping[str, Any], judge: str) -> list[Table]:
    return [
        Table(
            header=["", "MSE ↓", "pixel accuracy ↑", "ΔAUC ↑", "error px ↓", "δ_avg ↑"],
            rows=[[text, *[scores[kind][name][figure] for figure in FIGURES]] for name, text in TRACK_ROWS.items()],
            caption=f"{judge}: {text}.",
        )
        for kind, text in (("moving", "moving, visible points, without the query frame"), ("all", "all points"))
    ]


def _actions_table(actions: Mapping[str, Any]) -> Table:
    names = actions["names"]
    rows = [
        [text, row["mean"], row["first"], *[row["dimensions"][name] for name in names]]
        for text, row in ((text, actions["rows"][name]) for name, text in ACTION_ROWS.items())
    ]
    return Table(
        header=["mean absolute error", "all, in σ", "first of a chunk, in σ", *names],
        rows=rows,
        caption="By dimension in the units of the environment; σ is each dimension's standard deviation in training.",
    )
