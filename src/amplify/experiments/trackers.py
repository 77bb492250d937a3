"""Trackers: what better tracks bring to the motion that is foreseen, and in closed loop.

The same AMPLIFY learns from the same videos and demonstrations, whose points were followed by chained optical flow, by
the default tracker, and by the simulator's geometry: the best that any tracker could do.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from amplify.draw import plot_bars
from amplify.evaluate.report import Picture, Section, Table
from amplify.evaluate.tracks import difference, interval
from amplify.experiments.arms import Arm, Outcomes, interval_text, points_text
from amplify.experiments.cells.data import Part
from amplify.experiments.cells.models import Forward
from amplify.experiments.cells.tracks import Foreseen, TrackScores, mean_over_seeds
from amplify.experiments.engine.cell import Cell
from amplify.experiments.engine.store import Store
from amplify.experiments.engine.study import Evidence, Study
from amplify.experiments.lab import Lab, LabConfig

BASELINE, TRUTH = "dis", "ground-truth"
DEMONSTRATIONS = 5
CONDITION = "closed loop"


class Trackers(Study):
    """Foreseen tracks and success by the tracker that was learned from; ``--tracker`` names the one in the middle."""

    name = "trackers"
    question = "Trackers: what do better tracks bring to foresight and to success?"

    def __init__(self, config: LabConfig):
        super().__init__(config)
        self.trackers = tuple(dict.fromkeys((BASELINE, config.tracking.tracker, TRUTH)))
        self.ours = config.tracking.tracker
        self.demos = min(DEMONSTRATIONS, config.demos)

    def goals(self) -> Sequence[Cell]:
        """Rollouts of every tracker's policies, and scores of their motion models."""
        rollouts = [cell for arm in self.arms() for cells in arm.runs for cell in cells]
        return [*rollouts, *self._scores()]

    def arms(self) -> list[Arm]:
        """One a tracker."""
        listed = []
        for tracker in self.trackers:
            lab, runs = self._lab(tracker), []
            for seed in range(self.config.training_seeds):
                demos = lab.data(Part(recording=lab.demos(), per_task=self.demos))
                runs.append((lab.rollouts(lab.inverse(self._forward(tracker, seed), demos, seed)),))
            listed.append(Arm(method=tracker, condition=CONDITION, runs=tuple(runs)))
        return listed

    def _lab(self, tracker: str) -> Lab:
        tracking = self.config.tracking.model_copy(update={"tracker": tracker})
        return Lab(self.config.model_copy(update={"tracking": tracking}))

    def _forward(self, tracker: str, seed: int) -> Forward:
        lab = self._lab(tracker)
        return lab.forward(lab.data(lab.videos()), seed=seed)

    def _scores(self) -> list[TrackScores]:
        """One a training seed: every tracker's motion model against the simulator's truth."""
        return [
            TrackScores(
                recording=self._lab(TRUTH).held_out(),
                predictors=tuple(Foreseen(name=t, model=self._forward(t, seed)) for t in self.trackers),
                tracking=self._lab(TRUTH).config.tracking,
            )
            for seed in range(self.config.training_seeds)
        ]

    def evidence(self, store: Store) -> Evidence:
        """Errors of foreseen tracks, success, and how much of what is to be had the default tracker gets."""
        scores = mean_over_seeds([store.result(cell.key) for cell in self._scores()])
        outcomes = Outcomes(self.arms(), store, seed=self.config.seed)
        errors = {tracker: interval(scores, tracker, seed=self.config.seed) for tracker in self.trackers}
        rates = {tracker: outcomes.success(tracker, CONDITION) for tracker in self.trackers}
        shown = ", ".join(f"{name} {interval_text(error)} px" for name, error in errors.items())
        succeeded = ", ".join(f"{name} {100 * row['mean']:.0f} %" for name, row in rates.items() if row)
        sentences = [
            f"Error of foreseen tracks on moving points, by the tracker that was learned from: {shown}.",
            f"Success with {self.demos} demonstrations a task: {succeeded}.",
        ]
        for theirs in self.trackers:
            if theirs != self.ours:
                gap = difference(scores, self.ours, theirs, seed=self.config.seed)
                sentences.append(
                    f"{self.ours} against {theirs}: {gap.mean:+.2f} [{gap.low:+.2f}, {gap.high:+.2f}] px, "
                    f"{points_text(outcomes.difference(self.ours, theirs, CONDITION))} points of success."
                )
        figures = {
            "foreseen": {kind: scores[kind] for kind in ("moving", "all")},
            "foreseen_error_px_ci95": {name: [error.low, error.high] for name, error in errors.items()},
            "success": outcomes.figures(self.ours),
            "demonstrations": self.demos,
        }
        text = "Policies share videos, demonstrations, features, models, steps, controller and initial states."
        return Evidence(
            verdict="\n".join(sentences),
            figures=figures,
            sections=[self._foreseen(scores), *outcomes.sections(self.ours, text=text)],
        )

    def _foreseen(self, scores: Mapping[str, Any]) -> Section:
        names = (*self.trackers, "no_motion")
        bars = {name.replace("_", " "): {"error": interval(scores, name, seed=self.config.seed)} for name in names}
        rows = [
            [name.replace("_", " "), *[scores[kind][name][f] for kind in ("moving", "all") for f in _FIGURES]]
            for name in names
        ]
        header = ["learned from", *[f"{kind}: {figure}" for kind in ("moving", "all") for figure in _FIGURES]]
        return Section(
            heading="Foreseen tracks",
            text=f"{len(scores['episodes'])} held-out episodes, {scores['windows']} windows, mean of "
            f"{self.config.training_seeds} training seed(s), against the simulator's truth.",
            pictures=[
                Picture(
                    png=plot_bars(bars, y="error on moving points, px", size_in=(9.0, 3.4)),
                    caption="By the tracker that was learned from; 95 % interval, bootstrap over episodes.",
                )
            ],
            tables=[Table(header=header, rows=rows)],
        )


_FIGURES = ("error_px", "delta_auc")
