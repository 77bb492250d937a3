"""Few demonstrations: what do action-free videos of the same tasks bring?

Every method gets the same demonstrations, frozen features, action decoder, head and number of steps. AMPLIFY and ATM
also learn motion from action-free videos, for the same processor time. Two controls: AMPLIFY whose motion model saw the
labelled demonstrations only (what the extra video adds), and inverse dynamics that is shown no motion.
"""

from collections.abc import Sequence
from typing import Any

from amplify.experiments.arms import Arm, Outcomes, interval_text, points_text
from amplify.experiments.cells.baselines import TrackGuided
from amplify.experiments.cells.data import Data, Part
from amplify.experiments.cells.models import PolicyModel
from amplify.experiments.engine.cell import Cell
from amplify.experiments.engine.store import Store
from amplify.experiments.engine.study import Evidence, Study
from amplify.experiments.lab import Lab, LabConfig

AMPLIFY, CLONING, ATM = "AMPLIFY", "behaviour cloning", "ATM"
OWN_VIDEO, NO_MOTION = "AMPLIFY, video of the demonstrations only", "inverse dynamics without tokens"
METHODS = (AMPLIFY, CLONING, ATM)
CONTROLS = (OWN_VIDEO, NO_MOTION)
MOST_FOR_CONTROLS = 5
"""Controls are run where the claim is made: with few demonstrations."""


class FewShot(Study):
    """Success with 2, 5 and 10 demonstrations a task."""

    name = "few-shot"
    question = "Few demonstrations: does motion learned from action-free video help?"

    def __init__(self, config: LabConfig):
        super().__init__(config)
        self.lab = Lab(config)
        self.counts = tuple(sorted({min(count, config.demos) for count in (2, 5, 10)}))

    def goals(self) -> Sequence[Cell]:
        """All arms' rollouts."""
        return [cell for arm in self.arms() for cells in arm.runs for cell in cells]

    def arms(self) -> list[Arm]:
        """Every method with every number of demonstrations."""
        seeds = range(self.config.training_seeds)
        return [
            Arm(
                method=method,
                condition=condition(count),
                runs=tuple((self.lab.rollouts(policy(self.lab, method, count, seed)),) for seed in seeds),
            )
            for count in self.counts
            for method in (*METHODS, *(CONTROLS if count <= MOST_FOR_CONTROLS else ()))
        ]

    def evidence(self, store: Store) -> Evidence:
        """Success by number of demonstrations, and AMPLIFY against every other method."""
        outcomes = Outcomes(self.arms(), store, seed=self.config.seed)
        sentences = []
        for count in self.counts:
            row = outcomes.success(AMPLIFY, condition(count))
            assert row is not None
            against = [
                f"{points_text(outcomes.difference(AMPLIFY, theirs, condition(count)))} points against {theirs} "
                f"(× {interval_text(outcomes.ratio(AMPLIFY, theirs, condition(count)))})"
                for theirs in (CLONING, ATM, OWN_VIDEO)
                if outcomes.success(theirs, condition(count))
            ]
            sentences.append(
                f"With {condition(count)} AMPLIFY succeeds in {100 * row['mean']:.0f} % of {row['rollouts']} rollouts: "
                + ", ".join(against)
                + "."
            )
        text = "All methods share demonstrations, features, decoder, head, steps, controller and initial states."
        return Evidence(
            verdict="\n".join(sentences),
            figures=outcomes.figures(AMPLIFY),
            sections=outcomes.sections(AMPLIFY, text=text),
        )


def condition(count: int) -> str:
    """Its name in tables."""
    return f"{count} demonstrations"


def policy(lab: Lab, method: str, count: int, seed: int) -> PolicyModel:
    """A method trained with some demonstrations a task."""
    demos = lab.data(Part(recording=lab.demos(), per_task=count))
    videos = lab.data(lab.videos())
    if method == CLONING:
        return lab.cloning(demos, seed)
    if method == ATM:
        return track_guided(lab, videos, demos, seed)
    forward = lab.forward(demos if method == OWN_VIDEO else videos)
    changes: dict[str, Any] = {"motion": "none"} if method == NO_MOTION else {}
    return lab.inverse(forward, demos, seed, **changes)


def track_guided(lab: Lab, videos: Data, demos: Data, seed: int) -> TrackGuided:
    """ATM: any-point transformer on the videos, its policy on the demonstrations."""
    config = lab.config
    return TrackGuided(
        tracks=lab.any_point(videos),
        data=demos,
        model=config.inverse,
        train=lab.seeded(config.inverse_training.loop, seed),
    )
