"""Eyes and words: what augmentation and fine-tuning of the image encoder bring, and whether other words are understood.

Forward dynamics sees through frozen features, through a frozen encoder with augmented images, or through an encoder
that learns with it; inverse dynamics sees with the same eyes, frozen, and learns from 5 demonstrations a task. Each
policy is told the task in its own sentence, in paraphrases that nobody trained on, and by the sentence of another task,
from the same initial states. Motion models train for a share of the lab's steps (`ablation_share`), as in the ablation.
"""

from collections.abc import Sequence
from typing import Any

from amplify.evaluate.wording import OWN, PARAPHRASES, WRONG, wordings
from amplify.experiments.ablation import DEMOS
from amplify.experiments.arms import Arm, Outcomes, points_text
from amplify.experiments.cells.data import Part
from amplify.experiments.cells.models import Model, PolicyModel, SeeingForward, SeeingInverse
from amplify.experiments.cells.rollouts import Rollouts
from amplify.experiments.engine.cell import Cell
from amplify.experiments.engine.store import Store
from amplify.experiments.engine.study import Evidence, Study
from amplify.experiments.lab import Lab, LabConfig
from amplify.sim.metaworld.tasks import INSTRUCTIONS
from amplify.train.sight import Sight

FROZEN = "frozen features"
SIGHTS: dict[str, Sight] = {
    FROZEN: Sight(),
    "augmented images": Sight(colour=0.2, shift=0.03),
    "fine-tuned": Sight(fine_tune=0.1),
    "fine-tuned on augmented images": Sight(fine_tune=0.1, colour=0.2, shift=0.03),
}
"""Name → how forward dynamics sees in training."""

CONDITIONS = {OWN: "own sentence", PARAPHRASES: "unseen wordings", WRONG: "another task's sentence"}


class Encoders(Study):
    """Success by how the images are seen and how the task is told."""

    name = "encoders"
    tracker = "ground-truth"
    question = "Encoders: do fine-tuned eyes and augmented images help, and are other words understood?"

    def __init__(self, config: LabConfig):
        super().__init__(config)
        # Fine-tuned eyes encode the whole recording anew, so it holds no more than what is learned from.
        few = config.model_copy(update={"demos": min(DEMOS, config.demos)})
        self.lab = Lab(few).shortened(config.ablation_share)

    def goals(self) -> Sequence[Cell]:
        """All arms' rollouts, frozen features first."""
        return [cell for arm in self.arms() for cells in arm.runs for cell in cells]

    def arms(self) -> list[Arm]:
        """Every sight with every wording."""
        return [
            Arm(
                method=name,
                condition=CONDITIONS[told],
                runs=tuple((self._rollouts(name, told, seed),) for seed in range(self.config.ablation_seeds)),
            )
            for name in SIGHTS
            for told in CONDITIONS
        ]

    def _rollouts(self, name: str, told: str, seed: int) -> Rollouts:
        cell = self.lab.rollouts(self.policy(name, seed))
        known = [INSTRUCTIONS[task] for task in cell.rollout.tasks]
        return cell.model_copy(update={"rollout": wordings(cell.rollout, known)[told]})

    def policy(self, name: str, seed: int) -> PolicyModel:
        """Inverse dynamics below forward dynamics that sees in one of the ways."""
        lab, sight = self.lab, SIGHTS[name]
        demos = lab.data(Part(recording=lab.demos(), per_task=DEMOS))
        forward = lab.forward(lab.data(lab.videos()))
        if not sight.cached:
            forward = SeeingForward(**_settings(forward), sight=sight)
        inverse = lab.inverse(forward, demos, seed)
        return SeeingInverse(**_settings(inverse)) if sight.fine_tune else inverse

    def evidence(self, store: Store) -> Evidence:
        """Success by sight and wording."""
        outcomes = Outcomes(self.arms(), store, seed=self.config.seed)
        rates = {}
        for condition in CONDITIONS.values():
            row = outcomes.success(FROZEN, condition)
            assert row is not None
            rates[condition] = f"{100 * row['mean']:.0f} %"
        own = CONDITIONS[OWN]
        gaps = [f"{name} {points_text(outcomes.difference(name, FROZEN, own))}" for name in SIGHTS if name != FROZEN]
        verdict = (
            f"With frozen features, success is {rates[own]} told in the task's own sentence, "
            f"{rates[CONDITIONS[PARAPHRASES]]} in wordings that nobody trained on, and {rates[CONDITIONS[WRONG]]} told "
            f"by another task's sentence. Against frozen features, in points: {'; '.join(gaps)}."
        )
        return Evidence(verdict=verdict, figures=outcomes.figures(FROZEN), sections=outcomes.sections(FROZEN))


def _settings(model: Model) -> dict[str, Any]:
    return {name: getattr(model, name) for name in type(model).model_fields if name != "kind"}
