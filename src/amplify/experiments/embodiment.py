"""Another body: do action-free videos of a body that is not the robot's help the robot?

The robot has a few demonstrations. The other body is a floating hand in the same scenes, the arm hidden: another look
and another shape. Motion models learn from the demonstrations' own videos alone, from those and the hand's, or from as
many action-free videos of the robot (what the hand's videos would be worth if they were the robot's).
"""

from collections.abc import Sequence

from amplify.evaluate.report import Section
from amplify.experiments.arms import Arm, Outcomes, interval_text, points_text
from amplify.experiments.bodies import bodies
from amplify.experiments.cells.data import Part, Recording
from amplify.experiments.engine.cell import Cell
from amplify.experiments.engine.store import Store
from amplify.experiments.engine.study import Evidence, Study
from amplify.experiments.few_shot import condition
from amplify.experiments.lab import Lab, LabConfig
from amplify.sim.metaworld.config import MetaWorldConfig

ROBOT, OTHER, MORE_ROBOT, CLONING = (
    "robot videos only",
    "with the other body's videos",
    "robot videos in their place",
    "behaviour cloning",
)


class Embodiment(Study):
    """Success with and without videos of a floating hand."""

    name = "embodiment"
    question = "Another body: do action-free videos of a floating hand help the robot?"

    def __init__(self, config: LabConfig):
        super().__init__(config)
        self.lab = Lab(config)
        self.counts = tuple(sorted({min(count, config.demos) for count in (2, 5)}))

    def goals(self) -> Sequence[Cell]:
        """All arms' rollouts."""
        return [cell for arm in self.arms() for cells in arm.runs for cell in cells]

    def hand(self) -> Recording:
        """Action-free videos of the floating hand."""
        simulator = MetaWorldConfig(body="hand")
        return self.lab.recording(
            "other-body", tasks=self.config.tasks, episodes=self.config.videos, simulator=simulator
        )

    def arms(self) -> list[Arm]:
        """With and without the other body's videos, with few demonstrations of the robot."""
        lab = self.lab
        listed = []
        for count in self.counts:
            own = Part(recording=lab.demos(), per_task=count)
            demos = lab.data(own)
            videos = {
                ROBOT: lab.data(own),
                OTHER: lab.data(own, self.hand()),
                MORE_ROBOT: lab.data(lab.videos()),
            }
            for method in (ROBOT, OTHER, MORE_ROBOT, CLONING):
                runs = []
                for seed in range(self.config.training_seeds):
                    model = (
                        lab.cloning(demos, seed)
                        if method == CLONING
                        else lab.inverse(lab.forward(videos[method]), demos, seed)
                    )
                    runs.append((lab.rollouts(model),))
                listed.append(Arm(method=method, condition=condition(count), runs=tuple(runs)))
        return listed

    def evidence(self, store: Store) -> Evidence:
        """Success of every arm, and what the other body's videos bring."""
        outcomes = Outcomes(self.arms(), store, seed=self.config.seed)
        sentences = []
        for count in self.counts:
            here = condition(count)
            rows = {method: outcomes.success(method, here) for method in (ROBOT, OTHER, MORE_ROBOT)}
            gap, ratio = outcomes.difference(OTHER, ROBOT, here), outcomes.ratio(OTHER, ROBOT, here)
            rates = ", ".join(f"{method} {100 * row['mean']:.0f} %" for method, row in rows.items() if row)
            sentences.append(
                f"With {here} of the robot: {rates}. The other body's videos bring {points_text(gap)} points "
                f"(× {interval_text(ratio)})."
            )
        return Evidence(
            verdict="\n".join(sentences),
            figures=outcomes.figures(OTHER),
            sections=[self._bodies(store), *outcomes.sections(OTHER)],
        )

    def _bodies(self, store: Store) -> Section:
        return Section(
            heading="The two bodies",
            text="The middle frames of recorded videos: the robot above, the other body below.",
            pictures=[bodies(self.lab.demos().dataset(store), self.hand().dataset(store))],
        )
