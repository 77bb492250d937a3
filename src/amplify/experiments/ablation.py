"""What each option of training and decoding is worth: one option changed at a time, everything else as in the lab.

Options of the motion models are scored by foreseen tracks on held-out episodes, those of inverse dynamics by success
in closed loop with 5 demonstrations a task. Motion models train for a share of the lab's steps (`ablation_share`), so
that all options fit into an hour.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from amplify.draw import plot_rows
from amplify.evaluate.report import Picture, Section, Table
from amplify.evaluate.tracks import interval
from amplify.experiments.arms import Arm, Outcomes, interval_text, points_text, success_cell
from amplify.experiments.cells.data import Part, Tracking
from amplify.experiments.cells.models import Forward
from amplify.experiments.cells.tracks import Decoded, TrackScores, mean_over_seeds
from amplify.experiments.engine.cell import Cell
from amplify.experiments.engine.store import Store
from amplify.experiments.engine.study import Evidence, Study
from amplify.experiments.lab import Lab, LabConfig, changed
from amplify.metrics.statistics import Interval

BASE = "as in the lab"
DEMOS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One change to the motion models.

    Args:
        tokenizer: Settings of the tokenizer that differ.
        forward: Settings of forward dynamics that differ.
        tracking: Settings of the tracks that differ (grid, horizon).
        decoding: How tokens are read.
    """

    tokenizer: Mapping[str, Any] = field(default_factory=dict)
    forward: Mapping[str, Any] = field(default_factory=dict)
    tracking: Mapping[str, Any] = field(default_factory=dict)
    decoding: Mapping[str, Any] = field(default_factory=dict)


MOTION_OPTIONS: dict[str, Option] = {
    BASE: Option(),
    "loss on 16 points a window in place of 8": Option(tokenizer={"subset_points": 16}),
    "loss on all 100 points": Option(tokenizer={"subset_points": 0}),
    "no auxiliary regression": Option(tokenizer={"regression_weight": 0.0, "path_weight": 0.0}),
    "no loss on summed paths": Option(tokenizer={"path_weight": 0.0}),
    "no centre bias": Option(tokenizer={"centre_bias": 0.0}),
    "steps do not start from their own code": Option(tokenizer={"code_in_query": False}),
    "no positions on keys": Option(tokenizer={"key_positions": False}),
    "encoder sees its own step only": Option(tokenizer={"encoder_mask": "per-step"}),
    "encoder sees all steps": Option(tokenizer={"encoder_mask": "full"}),
    "window 11×11 px": Option(tokenizer={"window": 11}),
    "15×15 cells to 30 px": Option(tokenizer={"window_spacing": "log"}),
    "continuous codes": Option(tokenizer={"quantised": False}),
    "even use of codes": Option(tokenizer={"usage_weight": 0.1}),
    "20×20 points": Option(tokenizer={"points": 400}, tracking={"grid": 20}),
    "horizon 8": Option(tokenizer={"steps": 7}, tracking={"horizon": 8}),
    "expectation on all points": Option(decoding={"decoding": "expectation"}),
    "argmax decoding": Option(decoding={"decoding": "argmax"}),
    "mean of 16 random futures": Option(decoding={"futures": 16, "temperature": 0.7}),
    "token by token only": Option(forward={"at_once": 0.0, "mean_code_weight": 0.0}),
    "no distance of mean codes": Option(forward={"mean_code_weight": 0.0}),
    "no scores shared by levels": Option(forward={"level_scores": False}),
    "features normalised by patch": Option(forward={"feature_norm": "patch"}),
    "dropout 0.1 in forward dynamics": Option(forward={"dropout": 0.1}),
}
"""Name → what it changes."""

ACTION_OPTIONS: dict[str, dict[str, Any]] = {
    BASE: {},
    "no image dropout": {"image_dropout": 0.0},
    "image dropout 0.6": {"image_dropout": 0.6},
    "no image": {"image_dropout": 1.0},
    "FSQ codes in place of decoder states": {"motion": "codes"},
    "L1 head": {"head": "l1"},
    "flow head": {"head": "flow"},
    "diffusion head": {"head": "diffusion"},
    "flow head that foretells the velocity": {"head": "flow", "denoiser": "adaptive", "foretells": "noise"},
    "diffusion head that foretells the noise": {"head": "diffusion", "denoiser": "adaptive", "foretells": "noise"},
}
"""Name → settings of inverse dynamics that differ."""


class Ablation(Study):
    """The effect of single options."""

    name = "ablation"
    tracker = "ground-truth"
    question = "Ablation: what is each option of training and decoding worth?"

    def __init__(self, config: LabConfig):
        super().__init__(config)
        self.lab = Lab(config).shortened(config.ablation_share)

    def goals(self) -> Sequence[Cell]:
        """Track scores of every motion option, rollouts of every action option."""
        tracks = [cell for name in MOTION_OPTIONS for cell in self._scores(name)]
        return [*tracks, *[cell for arm in self.arms() for cells in arm.runs for cell in cells]]

    def _forward(self, option: Option, seed: int) -> Forward:
        lab = Lab(changed(self.lab.config, {"tracking": changed(self.config.tracking, option.tracking)}))
        videos = lab.data(lab.videos())
        tokenizer = lab.tokenizer(videos, seed=seed, **option.tokenizer)
        return lab.forward(videos, tokenizer=tokenizer, seed=seed, **option.forward)

    def _scores(self, name: str) -> list[TrackScores]:
        option = MOTION_OPTIONS[name]
        truth = changed(Tracking(tracker="ground-truth"), option.tracking)
        cells = []
        for seed in range(self.config.ablation_seeds):
            forward = self._forward(option, seed)
            model = Decoded(name=name, model=forward, **option.decoding)
            cells.append(
                TrackScores(recording=self.lab.held_out(), predictors=(model,), tracking=truth, ceiling=forward)
            )
        return cells

    def arms(self) -> list[Arm]:
        """Inverse dynamics with one option changed."""
        lab = self.lab
        demos = lab.data(Part(recording=lab.demos(), per_task=DEMOS))
        forward = lab.forward(lab.data(lab.videos()))
        return [
            Arm(
                method=name,
                condition=f"{DEMOS} demonstrations",
                runs=tuple(
                    (lab.rollouts(lab.inverse(forward, demos, seed, **changes)),)
                    for seed in range(self.config.ablation_seeds)
                ),
            )
            for name, changes in ACTION_OPTIONS.items()
        ]

    def evidence(self, store: Store) -> Evidence:
        """A row an option."""
        scores = {
            name: mean_over_seeds([store.result(cell.key) for cell in self._scores(name)]) for name in MOTION_OPTIONS
        }
        rows = {name: self._row(name, store, scores[name]) for name in MOTION_OPTIONS}
        outcomes = Outcomes(self.arms(), store, seed=self.config.seed)
        comparable = [n for n, option in MOTION_OPTIONS.items() if n != BASE and not option.tracking]
        base = rows[BASE]["error_px"]
        worst = max(comparable, key=lambda name: rows[name]["error_px"])
        best = min(comparable, key=lambda name: rows[name]["error_px"])
        verdict = (
            f"Of the options of the motion models, '{worst}' costs most: {rows[worst]['error_px']:.2f} px on moving "
            f"points in place of {base:.2f} px. The best change is '{best}': {rows[best]['error_px']:.2f} px. "
            f"{self.config.ablation_seeds} training seed(s) an option: differences of a few per cent are noise."
        )
        figures = {"motion": rows, "actions": outcomes.figures(BASE)}
        return Evidence(
            verdict=verdict,
            figures=figures,
            sections=[self._motion(rows, scores), self._actions(outcomes)],
        )

    def _row(self, name: str, store: Store, scores: Mapping[str, Any]) -> dict[str, Any]:
        moving = scores["moving"]
        forward = [self._forward(MOTION_OPTIONS[name], seed) for seed in range(self.config.ablation_seeds)]
        cpu = [store.seconds(model.key)["cpu"] + store.seconds(model.tokenizer.key)["cpu"] for model in forward]
        return {
            "error_px": moving[name]["error_px"],
            "mse": moving[name]["mse"],
            "delta_auc": moving[name]["delta_auc"],
            "tokenizer_error_px": moving["tokenizer"]["error_px"],
            "no_motion_error_px": moving["no_motion"]["error_px"],
            "training_cpu_s": sum(cpu) / len(cpu),
        }

    def _motion(self, rows: Mapping[str, Mapping[str, Any]], scores: Mapping[str, Any]) -> Section:
        errors = {name: interval(scores[name], name, seed=self.config.seed) for name in rows}
        comparable = {name: errors[name] for name, option in MOTION_OPTIONS.items() if not option.tracking}
        table = [
            [
                name,
                interval_text(errors[name]),
                row["tokenizer_error_px"],
                row["mse"],
                row["delta_auc"],
                row["no_motion_error_px"],
                f"{row['training_cpu_s']:.0f}",
            ]
            for name, row in rows.items()
        ]
        return Section(
            heading="Motion models",
            pictures=[
                Picture(
                    png=plot_rows(comparable, x="error on moving points, px", reference=BASE),
                    caption="Rows with the same points and horizon; 95 % intervals over held-out episodes.",
                )
            ],
            text="Moving points of held-out episodes against the simulator's truth; equal steps, so that options that "
            "make a step dearer show it in the last column. Another horizon or grid changes the task itself: compare "
            "those rows with their own 'no motion'.",
            tables=[
                Table(
                    header=["", "error px, 95 %", "tokenizer alone, px", "MSE", "ΔAUC", "no motion, px", "CPU s"],
                    rows=table,
                )
            ],
        )

    def _actions(self, outcomes: Outcomes) -> Section:
        condition = outcomes.conditions[0]
        table, bars = [], {}
        for name in outcomes.methods:
            row = outcomes.success(name, condition)
            assert row is not None
            bars[name] = Interval(row["mean"], *row["ci95"])
            against = "–" if name == BASE else points_text(outcomes.difference(name, BASE, condition))
            table.append([name, success_cell(row), against])
        return Section(
            heading="Inverse dynamics",
            text=f"Success in closed loop with {condition} a task.",
            pictures=[
                Picture(
                    png=plot_rows(bars, x="success rate", reference=BASE),
                    caption="Wilson 95 % intervals over all rollouts.",
                )
            ],
            tables=[Table(header=["", "success, 95 %", f"points against '{BASE}', paired"], rows=table)],
        )
