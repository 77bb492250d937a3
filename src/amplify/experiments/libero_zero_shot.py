"""Zero target actions in LIBERO: actions come from other scenes of LIBERO-90, of the targets only videos are seen.

Inverse dynamics learns from demonstrations of pick-and-place tasks in living rooms (for LIBERO-Object) or kitchens (for
LIBERO-Spatial); forward dynamics also saw videos of the targets, on another floor or table, from another distance and
with other things around. So inverse dynamics is shown no image, motion also as nearer and farther cameras would see it,
and tokens in which the hand's camera counts as much as the scene's. Three controls: behaviour cloning of the same
demonstrations (which hears the targets' sentences for the first time), AMPLIFY that is told to do the next task's, and
inverse dynamics that is shown no motion.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from amplify.experiments.arms import Arm, Outcomes, points_text
from amplify.experiments.cells.data import Data, Recording
from amplify.experiments.cells.models import PolicyModel
from amplify.experiments.engine.cell import Cell
from amplify.experiments.engine.store import Store
from amplify.experiments.engine.study import Evidence, Study
from amplify.experiments.lab import Lab, LabConfig
from amplify.experiments.libero import libero_config, recorded, recorded_section
from amplify.experiments.simulators import Libero
from amplify.sim.libero.tasks import find_task, suite_tasks

AMPLIFY, CLONING = "AMPLIFY", "behaviour cloning"
MISLED, BLIND = "AMPLIFY, told to fetch another thing", "inverse dynamics without tokens"
CONDITION = "no action of the targets"
SOURCE_SUITE = "libero_90"
LIVING_ROOMS = (*range(46, 63), 69, 71, 72)
"""Numbers of LIBERO-90's tasks in its first four living rooms, and of three more that put something beside or on a
plate: things are taken from above and put into a basket or a tray, or down."""

KITCHEN_BOWLS = (2, 9, 10, *range(12, 18), 24, 25, 29, 30, 31, 36, 37, 43)
"""Numbers of LIBERO-90's kitchen tasks in which one bowl is put somewhere, and nothing else is done."""

MOTION_ALONE: Mapping[str, Any] = {"image_dropout": 1.0, "posture": "read", "proprio_noise": 0.1}
"""Inverse dynamics that cannot take an unknown scene for a known one, by its image or by where the arm is, and that
reads what the hand's camera sees together with how the hand is turned."""


class LiberoZeroShot(Study):
    """Success in LIBERO-Object without one action of its tasks."""

    name = "libero-zero-shot"
    tracker = "ground-truth"
    question = "LIBERO-Object from videos alone: does AMPLIFY do it with actions of other scenes?"
    suite = "libero_object"
    sources = LIVING_ROOMS
    misled = MISLED

    def __init__(self, config: LabConfig):
        super().__init__(config)
        self.lab = Lab(config)
        numbers = self.sources[:1] if config.budget == "smoke" else self.sources
        sources = tuple(suite_tasks(SOURCE_SUITE)[number].name for number in numbers)
        # What is learned from need not be apart from where policies act: that is in another suite.
        simulator = Libero(suite=SOURCE_SUITE, states=(("demos", 0, 49),))
        self.source_lab = Lab(config.model_copy(update={"simulator": simulator, "tasks": sources}))

    @classmethod
    def configured(cls, budget: str, **changes: Any) -> LabConfig:
        """LIBERO's budgets, with tokens in which both cameras count alike.

        The scene's camera stands elsewhere in the targets, while the hand's moves with the robot as ever: what it sees
        must not be left out of the tokens.
        """
        config = libero_config(budget, **{"tracker": cls.tracker, "suite": cls.suite, **changes})
        return config.model_copy(update={"tokenizer": config.tokenizer.model_copy(update={"view_weights": ()})})

    def goals(self) -> Sequence[Cell]:
        """All arms' rollouts."""
        return [cell for arm in self.arms() for cells in arm.runs for cell in cells]

    def arms(self) -> list[Arm]:
        """AMPLIFY and its controls."""
        return [self._arm(method) for method in (AMPLIFY, CLONING, self.misled, BLIND)]

    def _arm(self, method: str) -> Arm:
        # The claim rests on two arms; the others need no more than to be told apart from the first.
        seeds = range(self.config.training_seeds if method in (AMPLIFY, CLONING) else 1)
        misled = tuple((task, self._another(task)) for task in self.config.tasks) if method == self.misled else ()
        runs = tuple((self.lab.rollouts(self.model(method, seed), instructions=misled),) for seed in seeds)
        return Arm(method=method, condition=CONDITION, runs=runs)

    def _another(self, task: str) -> str:
        """The sentence of the suite's next task; what it asks for is often in the same scene."""
        tasks = suite_tasks(self.suite)
        return tasks[(find_task(self.suite, task).index + 1) % len(tasks)].instruction

    def demos(self) -> Recording:
        """Demonstrations of the source tasks."""
        return self.source_lab.demos()

    def videos(self) -> Data:
        """What motion is learned from: the targets' videos and the demonstrations' own."""
        return self.lab.data(self.lab.videos(), self.demos())

    def model(self, method: str, seed: int) -> PolicyModel:
        """A policy that has seen no action of the targets."""
        demos, training = self.lab.data(self.demos()), self.config.zero_shot_training
        # A squared error answers a doubt with the mean of what may be meant, an absolute one with the likelier.
        if method == CLONING:
            return self.lab.cloning(demos, seed, training=training, head="l1")
        changes: Mapping[str, Any] = {"motion": "none"} if method == BLIND else MOTION_ALONE
        return self.lab.inverse(self.lab.forward(self.videos()), demos, seed, training=training, head="l1", **changes)

    def evidence(self, store: Store) -> Evidence:
        """Success of AMPLIFY and of its controls."""
        outcomes = Outcomes(self.arms(), store, seed=self.config.seed)
        rates = {method: outcomes.success(method, CONDITION) for method in outcomes.methods}
        shown = ", ".join(f"{method} {100 * row['mean']:.0f} %" for method, row in rates.items() if row)
        ours = rates[AMPLIFY]
        assert ours is not None
        gaps = "; ".join(
            f"{points_text(outcomes.difference(AMPLIFY, theirs, CONDITION))} points against {theirs}"
            for theirs in outcomes.methods
            if theirs != AMPLIFY
        )
        verdict = (
            f"Without one action of the {len(self.config.tasks)} target tasks ({ours['rollouts']} rollouts), success "
            f"is: {shown}. AMPLIFY: {gaps}."
        )
        text = (
            f"Actions: {self.config.demos} demonstrations of each of {len(self.source_lab.config.tasks)} tasks of "
            f"LIBERO-90. Videos: {self.config.videos} of each target."
        )
        recordings = (self.lab.videos(), self.demos())
        return Evidence(
            verdict=verdict,
            figures={**outcomes.figures(AMPLIFY), "recordings": recorded(store, recordings)},
            sections=[*outcomes.sections(AMPLIFY, text=text), recorded_section(store, recordings)],
        )


class LiberoSpatialZeroShot(LiberoZeroShot):
    """The same recipe where nothing of it was chosen: bowls that words tell apart, with actions of kitchens."""

    name = "libero-spatial-zero-shot"
    question = "LIBERO-Spatial from videos alone: does AMPLIFY do it with actions of other scenes?"
    suite = "libero_spatial"
    sources = KITCHEN_BOWLS
    misled = "AMPLIFY, told of another place"
