"""Zero target actions: can tasks be done of which only videos were seen, never an action?

Every target task is left out of the actions in turn. Inverse dynamics learns from what is left (demonstrations of the
other tasks, play in their scenes, or both); the target's motion comes from forward dynamics, which saw its videos.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from amplify.evaluate.report import Section, Video
from amplify.experiments.arms import Arm, Outcomes, points_text
from amplify.experiments.cells.data import Part
from amplify.experiments.cells.models import PolicyModel
from amplify.experiments.cells.rollouts import Rollouts
from amplify.experiments.engine.cell import Cell
from amplify.experiments.engine.store import Store
from amplify.experiments.engine.study import Evidence, Study
from amplify.experiments.lab import OPPOSITES, Lab, LabConfig
from amplify.sim.metaworld.tasks import INSTRUCTIONS

AMPLIFY, CLONING = "AMPLIFY", "behaviour cloning"
RIGHT, WRONG = "right instruction", "wrong instruction"
SOURCES = {"demos": "actions of other tasks", "play": "play", "both": "other tasks and play"}
TUNED_ON = ("window-close", "drawer-close")
REPORTED_ON = ("door-close", "faucet-close")
"""The recipe was chosen on the first two targets; the others were not looked at before."""

_OTHER_WAY = OPPOSITES | {there: here for here, there in OPPOSITES.items()}


class ZeroShot(Study):
    """Success on tasks whose actions were never seen."""

    name = "zero-shot"
    question = "Tasks of which only videos were seen: does AMPLIFY do them without one action of theirs?"

    def __init__(self, config: LabConfig):
        super().__init__(config)
        self.lab = Lab(config)
        self.targets = tuple(task for task in (*TUNED_ON, *REPORTED_ON) if task in config.tasks)

    def goals(self) -> Sequence[Cell]:
        """All arms' rollouts."""
        return [cell for arm in self.arms() for cells in arm.runs for cell in cells]

    def arms(self) -> list[Arm]:
        """AMPLIFY and behaviour cloning, by source of actions, with the right and the wrong instruction."""
        main = "both"
        listed = [self._arm(AMPLIFY, main, RIGHT), self._arm(CLONING, main, RIGHT), self._arm(AMPLIFY, main, WRONG)]
        listed += [self._arm(AMPLIFY, source, RIGHT) for source in ("demos", "play")]
        return [*listed, self._arm(CLONING, "demos", RIGHT)]

    def _arm(self, method: str, source: str, told: str) -> Arm:
        # The claim rests on one arm; the others need no more than to be told apart from it.
        seeds = min(2, self.config.training_seeds) if (method, source) == (AMPLIFY, "both") else 1
        runs = [
            tuple(self._rollouts(method, source, told, target, seed) for target in self.targets)
            for seed in range(seeds)
        ]
        condition = SOURCES[source] + ("" if told == RIGHT else f", {WRONG}")
        return Arm(method=method, condition=condition, runs=tuple(runs))

    def _rollouts(self, method: str, source: str, told: str, target: str, seed: int) -> Rollouts:
        wrong = ((target, INSTRUCTIONS[_OTHER_WAY[target]]),)
        films = 1 if (method, source, told, seed) == (AMPLIFY, "both", RIGHT, 0) else 0
        return self.lab.rollouts(
            self.model(method, source, target, seed),
            tasks=(target,),
            rollouts=2 * self.config.rollouts,
            instructions=wrong if told == WRONG else (),
            films=films,
        )

    def model(self, method: str, source: str, target: str, seed: int) -> PolicyModel:
        """A policy that has seen neither an action of the target nor play recorded for it.

        Its opposite has the same furniture, and both the opposite's demonstrations and play are among the others.
        """
        lab, others = self.lab, tuple(task for task in self.config.tasks if task != target)
        demos, play = (
            Part(recording=lab.demos(), tasks=others),
            Part(recording=lab.play(self.config.tasks), tasks=others),
        )
        data = lab.data(*{"demos": (demos,), "play": (play,), "both": (demos, play)}[source])
        training = self.config.zero_shot_training
        # One camera leaves a motion's depth in doubt: a squared error answers with the mean of what it may be, which is
        # too small a motion; an absolute one with the likelier.
        if method == CLONING:
            return lab.cloning(data, seed, training=training, head="l1")
        # Without the image inverse dynamics cannot take a scene that it knows for the task that it knows there.
        forward = lab.forward(lab.data(lab.videos()))
        return lab.inverse(forward, data, seed, training=training, image_dropout=1.0, head="l1")

    def _films(self, store: Store) -> Section:
        """The first rollout of each target by the first training seed of the main arm."""
        cells = [self._rollouts(AMPLIFY, "both", RIGHT, target, 0) for target in self.targets]
        paths = [path for cell in cells for path in sorted((store.folder(cell.key) / "films").glob("*.mp4"))]
        return Section(
            heading="Rollouts",
            text="One initial state of each target; lines show the motion that AMPLIFY foresees at that moment.",
            videos=[Video(path=path, caption=path.stem) for path in paths],
        )

    def _by_target(self, row: Mapping[str, Any]) -> list[str]:
        """Success on each target, with a note on those that the recipe was tuned on."""
        return [
            f"{target} {100 * row['tasks'][target]['mean']:.0f} %" + (" (tuned on)" if target in TUNED_ON else "")
            for target in self.targets
        ]

    def evidence(self, store: Store) -> Evidence:
        """Success by source and target, right against wrong instruction."""
        outcomes = Outcomes(self.arms(), store, seed=self.config.seed)
        both, wrong = SOURCES["both"], f"{SOURCES['both']}, {WRONG}"
        ours, theirs = outcomes.success(AMPLIFY, both), outcomes.success(CLONING, both)
        misled = outcomes.success(AMPLIFY, wrong)
        assert ours is not None
        assert theirs is not None
        assert misled is not None
        gap = outcomes.difference(AMPLIFY, CLONING, both)
        verdict = (
            f"Without one action of the target task, AMPLIFY succeeds in {100 * ours['mean']:.0f} % of "
            f"{ours['rollouts']} rollouts over {len(self.targets)} targets; behaviour cloning with the same actions "
            f"and the instruction in {100 * theirs['mean']:.0f} % ({points_text(gap)} points). "
            f"Told to do the opposite, AMPLIFY does the target in {100 * misled['mean']:.0f} %. "
            f"By target: {', '.join(self._by_target(ours))}."
        )
        figures = outcomes.figures(AMPLIFY) | {"tuned_on": list(TUNED_ON), "reported_on": list(REPORTED_ON)}
        return Evidence(verdict=verdict, figures=figures, sections=[*outcomes.sections(AMPLIFY), self._films(store)])
