"""Closed-loop success of a trained policy, as a cell."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, ClassVar, Literal

from pydantic import SerializeAsAny

from amplify.evaluate.rollout import PolicySpec, RolloutConfig, RolloutResult, evaluate_policies
from amplify.experiments.cells.models import PolicyModel
from amplify.experiments.engine.cell import Cell
from amplify.experiments.engine.store import Store


class Rollouts(Cell):
    """A policy acting from the initial states of some tasks.

    Args:
        model: The policy.
        rollout: Where; policies that are to be compared must have equal settings here.
    """

    kind: Literal["rollouts"] = "rollouts"
    divides: ClassVar[bool] = True
    model: SerializeAsAny[PolicyModel]
    rollout: RolloutConfig

    def run(self, store: Store) -> Mapping[str, Any]:
        """Acts, and returns every rollout's outcome."""
        spec = PolicySpec(label=self.model.policy, bundle=self.model.bundle(store), kind=self.model.policy)
        folder = store.folder(self.key)
        films = folder / "films" if self.rollout.films else None
        results = evaluate_policies([spec], self.rollout, films=films, finished=folder / "finished")
        return {"episodes": [asdict(result) for result in results]}

    def outcomes(self, store: Store, *, label: str, variant: int) -> list[RolloutResult]:
        """Every rollout's outcome, under an arm's name and a training seed's number."""
        rows = store.result(self.key)["episodes"]
        return [RolloutResult(**{**row, "label": label, "variant": variant}) for row in rows]
