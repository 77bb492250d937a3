"""The quick-start's evidence: report.json for machines, report.html for people. Every sentence is computed."""

import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amplify.evaluate.report import Section, Table, write_page
from amplify.evaluate.rollout import RolloutResult
from amplify.evaluate.success import paired_difference, success_table
from amplify.experiments.defaults import versions
from amplify.experiments.ledger import Ledger
from amplify.experiments.quickstart import pictures
from amplify.experiments.quickstart.config import QuickstartConfig
from amplify.experiments.quickstart.folders import Folders
from amplify.jobs import cores

FIGURES = ("mse", "pixel_accuracy", "delta_auc", "error_px", "delta_avg")
ROWS = {
    "model": "forward dynamics, free-running",
    "tokenizer": "tokenizer alone (its ceiling)",
    "constant_velocity": "constant velocity",
    "no_motion": "no motion",
}


def write_report(config: QuickstartConfig, folders: Folders, ledger: Ledger) -> dict[str, Any]:
    """Writes report.json and report.html; the content of the former that matters most.

    Args:
        config: What was run.
        folders: Where everything lies.
        ledger: What every stage returned, and how long it took.
    """
    episodes = [RolloutResult(**row) for row in ledger.result("rollouts")["episodes"]]
    success = _success(episodes)
    theirs = f"behaviour_cloning_{success['behaviour_cloning']['budget']}"
    difference = paired_difference(episodes, "amplify", theirs, seed=config.seed)
    tracks = ledger.result("track_metrics")
    disk = sum(path.stat().st_size for path in folders.out.rglob("*") if path.is_file())
    report = {
        "seed": config.seed,
        "preset": config.preset,
        "tracker": {"name": config.tracker, **tracks["tracker"]},
        "success": success,
        "difference": {"mean": difference.mean, "ci95": [difference.low, difference.high]},
        "tracks": {kind: tracks["truth"][kind] for kind in ("moving", "all")},
        "agreement_with_tracker": {kind: tracks["own_tracker"][kind] for kind in ("moving", "all")},
        "codebook": ledger.result("tokenizer")["codebook"],
        "seconds": _by_kind(ledger.seconds, ledger.wall_s),
        "cpu_seconds": _by_kind(ledger.cpu_seconds, ledger.cpu_s),
        "recording": ledger.result("record"),
        "tracking": ledger.result("track"),
        "resources": {"peak_memory_gb": ledger.peak_memory_gb, "disk_gb": disk / 1e9, "cores": cores()},
        "versions": versions(),
        "settings": config.model_dump(mode="json"),
    }
    _write(folders.out / "report.json", json.dumps(report, indent=1, default=str) + "\n")
    write_page(
        folders.out / "report.html",
        title=f"AMPLIFY quick-start: {len(config.tasks)} Meta-World tasks, seed {config.seed}",
        verdict=_verdict(config, report),
        sections=_sections(config, folders, report),
    )
    return {
        "report": str(folders.out / "report.html"),
        "bundle": str(folders.out / "bundle"),
        "verdict": _verdict(config, report),
        **{key: report[key] for key in ("success", "difference", "tracks", "tracker", "codebook", "seconds", "seed")},
        "versions": report["versions"],
    }


def _by_kind(stages: Mapping[str, float], total: float) -> dict[str, float]:
    """Seconds by stage; models of one kind are added up."""
    seconds: dict[str, float] = {}
    for name, value in stages.items():
        kind = "baseline" if name.startswith("behaviour-cloning") else name.split("-")[0]
        seconds[kind] = seconds.get(kind, 0.0) + value
    return {**seconds, "total": total}


def _success(episodes: list[RolloutResult]) -> dict[str, Any]:
    """Success of both methods; behaviour cloning's is the better of its budgets, chosen on these very rollouts."""
    table = success_table(episodes)
    budgets = {label.removeprefix("behaviour_cloning_"): row for label, row in table.items() if label != "amplify"}
    best = max(budgets, key=lambda budget: budgets[budget]["mean"])
    return {
        "amplify": table["amplify"],
        "behaviour_cloning": {**budgets[best], "budget": best},
        "behaviour_cloning_budgets": {budget: row["mean"] for budget, row in budgets.items()},
    }


def _verdict(config: QuickstartConfig, report: Mapping[str, Any]) -> str:
    ours, theirs, gap = report["success"]["amplify"], report["success"]["behaviour_cloning"], report["difference"]
    moving = report["tracks"]["moving"]
    low, high = gap["ci95"]
    if low > 0:
        judgement = "The difference is above zero with 95 % confidence."
    elif high < 0:
        judgement = "Behaviour cloning is better with 95 % confidence."
    else:
        judgement = "The interval of the difference includes zero."
    sentence = (
        f"AMPLIFY succeeds in {_percent(ours['mean'])} of {ours['rollouts']} rollouts, behaviour cloning on the same "
        f"{config.demos} demonstrations a task in {_percent(theirs['mean'])} of {theirs['rollouts']}: "
        f"{100 * gap['mean']:+.0f} points [{100 * low:+.0f}, {100 * high:+.0f}]. {judgement}\n"
        f"Its motion model learned from {config.videos * len(config.tasks)} videos without actions; on held-out videos "
        f"its tracks of moving points are {moving['model']['error_px']:.1f} px from the simulator's truth "
        f"(no motion: {moving['no_motion']['error_px']:.1f} px)."
    )
    if config.preset == "smoke":
        sentence = "A smoke run: everything works, and no figure on this page means anything.\n" + sentence
    return sentence


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _sections(config: QuickstartConfig, folders: Folders, report: Mapping[str, Any]) -> list[Section]:
    found = pictures.foresee(config, folders)
    (folders.out / "foreseen.png").write_bytes(pictures.overview(found))
    learned = "pixels only (optical flow)" if config.tracker == "flow" else "the simulator's geometry"
    return [
        Section(
            heading="What it foresees",
            text="Predicted motion on the first frame of held-out videos. The model has seen one image and one "
            f"sentence; it learned motion from {learned}. Left: predicted. Right: the simulator's truth.",
            pictures=pictures.predicted_tracks(found),
        ),
        Section(
            heading="Success in closed loop",
            text=f"{config.rollouts} initial states a task, the same for every policy; each method is trained with "
            f"{config.inverse_seeds} seed(s) (dots). Bars: mean with Wilson 95 % interval over all rollouts.",
            pictures=[pictures.success_bars(config, report["success"])],
            tables=[_success_by_task(config, report["success"]), _success_by_seed(report["success"])],
        ),
        Section(
            heading="Rollouts",
            text="The first initial state of every task; lines show the motion that AMPLIFY foresees at that moment.",
            videos=pictures.films(folders),
        ),
        Section(
            heading="Predicted tracks against the simulator",
            text=f"Held-out episodes, {report['tracks']['moving']['model']['count']} moving point positions. Pixels "
            "of a 128×128 frame. Most points of a fixed camera never move, so figures over all points flatter "
            "'no motion'; the moving points are the ones to read.",
            tables=[
                _tracks_table(report["tracks"]["moving"], "Moving, visible points, without the query frame."),
                _tracks_table(report["tracks"]["all"], "All points, in the paper's form."),
                _tracker_table(config, report),
            ],
        ),
        Section(heading="Training", pictures=pictures.training_curves(config, folders), text=_codebook(report)),
        Section(heading="Time", tables=[_time_table(report), _rate_table(config, report)], text=_machine(report)),
        Section(
            heading="Settings and versions",
            preformatted=json.dumps({"versions": report["versions"], "settings": report["settings"]}, indent=1),
        ),
    ]


def _success_by_task(config: QuickstartConfig, success: Mapping[str, Any]) -> Table:
    def cell(row: Mapping[str, Any]) -> str:
        low, high = row["ci95"]
        return f"{row['mean']:.2f} [{low:.2f}, {high:.2f}]"

    ours, theirs = success["amplify"], success["behaviour_cloning"]
    rows = [[task, cell(ours["tasks"][task]), cell(theirs["tasks"][task])] for task in config.tasks]
    rows.append(["mean", cell(ours), cell(theirs)])
    first = next(iter(ours["tasks"].values()))
    return Table(
        header=["task", "AMPLIFY", "behaviour cloning"],
        rows=rows,
        caption=f"Success with Wilson 95 % interval; {first['rollouts']} rollouts a cell, {ours['rollouts']} in all.",
    )


def _success_by_seed(success: Mapping[str, Any]) -> Table:
    rows: list[list[object]] = [["AMPLIFY", *success["amplify"]["by_seed"]]]
    chosen = success["behaviour_cloning"]
    rows.append([f"behaviour cloning ({chosen['budget']} steps)", *chosen["by_seed"]])
    budgets = ", ".join(f"{name} steps {mean:.2f}" for name, mean in success["behaviour_cloning_budgets"].items())
    seeds = len(success["amplify"]["by_seed"])
    return Table(
        header=["training seed", *[str(i) for i in range(seeds)]],
        rows=rows,
        caption=f"Behaviour cloning was trained for two budgets and the better one is shown: {budgets}.",
    )


def _tracks_table(rows: Mapping[str, Any], caption: str) -> Table:
    return Table(
        header=["", "MSE ↓", "pixel accuracy ↑", "ΔAUC ↑", "error px ↓", "δ_avg ↑"],
        rows=[[text, *[rows[name][figure] for figure in FIGURES]] for name, text in ROWS.items()],
        caption=caption,
    )


def _tracker_table(config: QuickstartConfig, report: Mapping[str, Any]) -> Table:
    rows: list[list[object]] = []
    for kind in ("moving", "all"):
        exact, own = report["tracker"][kind], report["agreement_with_tracker"][kind]["model"]
        rows.append([f"{config.tracker} tracker against the truth, {kind}", *[exact[f] for f in FIGURES]])
        rows.append([f"forward dynamics against the {config.tracker} tracker, {kind}", *[own[f] for f in FIGURES]])
    return Table(
        header=["", "MSE ↓", "pixel accuracy ↑", "ΔAUC ↑", "error px ↓", "δ_avg ↑"],
        rows=rows,
        caption="How good the training tracks are, and how well the model agrees with them (not a measure of truth).",
    )


def _codebook(report: Mapping[str, Any]) -> str:
    book = report["codebook"]
    used = f"{book['used']} of {book['size']} codes used"
    return f"Codebook on held-out videos: {used}, perplexity {book['perplexity']:.0f}."


def _time_table(report: Mapping[str, Any]) -> Table:
    cpu = report["cpu_seconds"]
    rows = [[name.replace("_", " "), f"{value:.0f}", f"{cpu[name]:.0f}"] for name, value in report["seconds"].items()]
    caption = (
        "Encoding and training stages run side by side, one core each, so that rows add up to more than the total, "
        "which is the wall clock of all attempts."
    )
    return Table(header=["stage", "seconds", "processor seconds"], rows=rows, caption=caption)


def _rate_table(config: QuickstartConfig, report: Mapping[str, Any]) -> Table:
    recorded, tracked = report["recording"]["videos"], report["tracking"]["videos"]
    grid = f"{config.grid}×{config.grid} points, every start frame"
    return Table(
        header=["", "rate"],
        rows=[
            ["recording, demonstrations / s", float(recorded["episodes_per_s"])],
            [f"{config.tracker} tracking, frames / s ({grid})", float(tracked["frames_per_second"])],
        ],
        caption="Of the action-free videos, all worker processes together, their start-up included.",
    )


def _machine(report: Mapping[str, Any]) -> str:
    resources = report["resources"]
    return (
        f"{cores()} core(s), {platform.machine()}. Peak memory {resources['peak_memory_gb']:.1f} GB, "
        f"disk {resources['disk_gb']:.2f} GB."
    )


def _write(path: Path, text: str) -> None:
    aside = path.with_suffix(".partial")
    aside.write_text(text)
    os.replace(aside, path)
