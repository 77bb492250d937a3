"""Track prediction: motion tokens against coordinate regression and diffusion, for equal processor time.

All models see the same frozen features of one image and one sentence, learn from the same videos' tracks, and are
scored against the simulator's truth on held-out episodes of the same tasks and on tasks that no model has seen.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from amplify.draw import plot_bars
from amplify.evaluate.report import Picture, Section, Table
from amplify.evaluate.tracks import interval, ratio
from amplify.experiments.arms import interval_text
from amplify.experiments.cells.data import Recording
from amplify.experiments.cells.tracks import Decoded, Foreseen, TrackScores, mean_over_seeds
from amplify.experiments.engine.cell import Cell
from amplify.experiments.engine.store import Store
from amplify.experiments.engine.study import Evidence, Study
from amplify.experiments.lab import Lab, LabConfig

AMPLIFY, MEAN, ATM, DIFFUSION = "AMPLIFY", "AMPLIFY, mean of 16 futures", "ATM (regression)", "diffusion"
ROWS = {
    "tokenizer": "tokenizer alone (its ceiling)",
    "constant_velocity": "constant velocity",
    "no_motion": "no motion",
}
FIGURES = ("mse", "pixel_accuracy", "delta_auc", "error_px")
SEEN, UNSEEN = "held-out episodes", "held-out tasks"
OTHER_TASKS = ("button-press-topdown", "handle-press", "plate-slide", "coffee-button")
PAPER = {"mse": 0.022 / 0.006, "pixel_accuracy": 0.629 / 0.250, "delta_auc": 0.913 / 0.767}
"""What the paper reports against ATM on LIBERO (arXiv 2506.14198): ratios of its figures over all points."""


class Tracks(Study):
    """Foreseen tracks of several kinds of models."""

    name = "tracks"
    tracker = "ground-truth"
    question = "Track prediction: motion tokens against regression and diffusion at equal processor time"

    def __init__(self, config: LabConfig):
        super().__init__(config)
        self.lab = Lab(config)

    def goals(self) -> Sequence[Cell]:
        """Scores by recording and training seed."""
        return [cell for cells in self._cells().values() for cell in cells]

    def _cells(self) -> dict[str, list[TrackScores]]:
        recordings = {SEEN: self.lab.held_out(), UNSEEN: self.unseen()}
        seeds = range(self.config.motion_seeds)
        return {name: [self._scores(recording, seed) for seed in seeds] for name, recording in recordings.items()}

    def unseen(self) -> Recording:
        """Videos of tasks that no model learns from."""
        return self.lab.recording("other-tasks", tasks=OTHER_TASKS, episodes=self.config.held_out)

    def _scores(self, recording: Recording, seed: int) -> TrackScores:
        videos = self.lab.data(self.lab.videos())
        forward = self.lab.forward(videos, seed=seed)
        return TrackScores(
            recording=recording,
            predictors=(
                Decoded(name=AMPLIFY, model=forward),
                Decoded(name=MEAN, model=forward, futures=16, temperature=0.7),
                Foreseen(name=ATM, model=self.lab.any_point(videos, seed=seed)),
                Foreseen(name=DIFFUSION, model=self.lab.diffusion(videos, seed=seed)),
            ),
            tracking=self.config.tracking.model_copy(update={"tracker": "ground-truth"}),
            ceiling=forward,
        )

    def evidence(self, store: Store) -> Evidence:
        """Figures over moving and all points, ratios to ATM, and what the training cost."""
        scores = {
            name: mean_over_seeds([store.result(cell.key) for cell in cells]) for name, cells in self._cells().items()
        }
        spent = self._spent(store)
        here = scores[SEEN]
        against = {kind: self._against(here, kind) for kind in ("moving", "all")}
        error = ratio(here, AMPLIFY, ATM, seed=self.config.seed)
        verdict = (
            f"Moving points of held-out episodes: AMPLIFY {interval_text(self._error(here, AMPLIFY))} px, ATM's "
            f"regression {interval_text(self._error(here, ATM))} px, diffusion "
            f"{interval_text(self._error(here, DIFFUSION))} px, no motion "
            f"{interval_text(self._error(here, 'no_motion'))} px. AMPLIFY's error is {interval_text(error)} of ATM's, "
            f"after {spent[AMPLIFY]:.0f} and {spent[ATM]:.0f} CPU seconds of training. Over all points, the paper's "
            f"form: AMPLIFY's MSE is {1 / against['all']['mse']:.2f} of ATM's (in the paper on LIBERO: "
            f"{1 / PAPER['mse']:.2f})."
        )
        figures = {
            "scores": {name: {kind: row[kind] for kind in ("moving", "all")} for name, row in scores.items()},
            "amplify_against_atm": against | {"moving_error_ratio_ci95": [error.low, error.high]},
            "paper_against_atm": PAPER,
            "training_cpu_seconds": spent,
            "seeds": self.config.motion_seeds,
        }
        sections = [self._section(name, row) for name, row in scores.items()]
        return Evidence(verdict=verdict, figures=figures, sections=[*sections, self._ratios(against, spent)])

    def _error(self, scores: Mapping[str, Any], name: str) -> Any:
        return interval(scores, name, seed=self.config.seed)

    def _against(self, scores: Mapping[str, Any], kind: str) -> dict[str, float]:
        """How many times better AMPLIFY is than ATM: a ratio above 1 is in its favour, for errors and accuracies."""
        ours, theirs = scores[kind][AMPLIFY], scores[kind][ATM]
        better = {figure: theirs[figure] / ours[figure] for figure in ("mse", "error_px")}
        return better | {figure: ours[figure] / theirs[figure] for figure in ("pixel_accuracy", "delta_auc")}

    def _spent(self, store: Store) -> dict[str, float]:
        """CPU seconds of training, mean over seeds; AMPLIFY's of tokenizer and forward dynamics together."""
        videos, seeds = self.lab.data(self.lab.videos()), range(self.config.motion_seeds)

        def mean(cells: Sequence[Sequence[Cell]]) -> float:
            return sum(store.seconds(cell.key)["cpu"] for row in cells for cell in row) / len(cells)

        forward = [self.lab.forward(videos, seed=seed) for seed in seeds]
        return {
            AMPLIFY: mean([(model, model.tokenizer) for model in forward]),
            ATM: mean([(self.lab.any_point(videos, seed=seed),) for seed in seeds]),
            DIFFUSION: mean([(self.lab.diffusion(videos, seed=seed),) for seed in seeds]),
        }

    def _section(self, name: str, scores: Mapping[str, Any]) -> Section:
        shown = [AMPLIFY, MEAN, ATM, DIFFUSION, "tokenizer", "no_motion"]
        bars = {ROWS.get(row, row).replace(" (its ceiling)", ""): {"error": self._error(scores, row)} for row in shown}
        return Section(
            heading=f"Predicted tracks: {name}",
            text=f"{len(scores['episodes'])} episodes, {scores['windows']} windows, mean of "
            f"{self.config.motion_seeds} training seed(s). Pixels of a 128×128 frame.",
            pictures=[
                Picture(
                    png=plot_bars(bars, y="error on moving points, px", size_in=(9.0, 3.4)),
                    caption="Mean error on moving points with 95 % interval (bootstrap over episodes).",
                )
            ],
            tables=[self._table(scores, kind) for kind in ("moving", "all")],
        )

    def _table(self, scores: Mapping[str, Any], kind: str) -> Table:
        rows = [
            [
                ROWS.get(row, row),
                *[f"{figures[figure]:.4g}" for figure in FIGURES],
                interval_text(interval(scores, row, kind=kind, seed=self.config.seed)),
            ]
            for row, figures in scores[kind].items()
        ]
        return Table(
            header=["", "MSE ↓", "pixel accuracy ↑", "ΔAUC ↑", "error px ↓", "error px, 95 %"],
            rows=rows,
            caption=f"{kind.capitalize()} points.",
        )

    def _ratios(self, against: Mapping[str, Mapping[str, float]], spent: Mapping[str, float]) -> Section:
        rows = [
            [figure, against["moving"][figure], against["all"][figure], PAPER.get(figure)]
            for figure in ("mse", "pixel_accuracy", "delta_auc", "error_px")
        ]
        return Section(
            heading="Against ATM, and against what the paper reports",
            text="Above 1: AMPLIFY is better. The paper's figures are of another benchmark (LIBERO), over all points, "
            "and do not state equal training time. "
            + " ".join(f"{name}: {seconds:.0f} CPU seconds of training." for name, seconds in spent.items())
            + " The any-point transformer's points see image and instruction but not each other, which was better "
            "for it than ATM's attention among points (measured on tuning data).",
            tables=[Table(header=["times better", "moving", "all", "paper, all"], rows=rows)],
        )
