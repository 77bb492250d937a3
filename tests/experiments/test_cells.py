from pathlib import Path

import pytest

from amplify.data.dataset import Dataset
from amplify.errors import DataError, UnknownNameError
from amplify.experiments.cells.data import Data, Encoded, Part, Recording, Tracked, Tracking
from amplify.experiments.cells.tracks import mean_over_seeds
from amplify.experiments.engine.cell import closure
from amplify.experiments.engine.store import Store
from amplify.experiments.few_shot import FewShot
from amplify.experiments.lab import OPPOSITES, Lab, lab_config
from amplify.experiments.zero_shot import AMPLIFY, CLONING, ZeroShot
from amplify.sim.metaworld.tasks import INSTRUCTIONS
from amplify.sim.record import RecordConfig
from train import moving


@pytest.fixture
def recording() -> Recording:
    return Recording(name="toy", record=RecordConfig(tasks=("drawer-open",)))


def test_a_part_takes_the_first_episodes_of_each_task(tmp_path: Path, recording: Recording):
    store = Store(tmp_path)
    root = moving.write(recording.dataset(store), actions=True, episodes=4)
    assert len(Dataset.open(root).episodes) == 4
    assert Part(recording=recording).source(store).episodes == (0, 1, 2, 3)
    assert Part(recording=recording, per_task=2).source(store).episodes == (0, 1)
    with pytest.raises(DataError, match="drawer-open"):
        Part(recording=recording, tasks=("drawer-open",)).source(store)


def test_data_need_their_tracks_and_features_once(recording: Recording):
    two = (Part(recording=recording, per_task=1), Part(recording=recording))
    kinds = [type(cell) for cell in Data(parts=two).also_needs]
    assert kinds == [Tracked, Encoded]
    assert [type(cell) for cell in Data(parts=two, tracking=None).also_needs] == [Encoded]
    assert [type(cell) for cell in Data(parts=two, features=False).also_needs] == [Tracked]
    other = Data(parts=two, tracking=Tracking(grid=20)).also_needs[0]
    assert other.key != Data(parts=two).also_needs[0].key


def test_no_action_of_the_target_is_ever_learned_from():
    study = ZeroShot(lab_config("laptop"))
    assert len(study.targets) == 4
    for target in study.targets:
        for method in (AMPLIFY, CLONING):
            for source in ("demos", "play", "both"):
                data = study.model(method, source, target, 0).data
                assert all(part.tasks is not None and target not in part.tasks for part in data.parts)
        assert len(OPPOSITES) * 2 - 1 == len(data.parts[0].tasks or ())


def test_the_wrong_instruction_asks_for_the_opposite():
    study = ZeroShot(lab_config("laptop"))
    wrong = [arm for arm in study.arms() if "wrong" in arm.condition]
    (arm,) = wrong
    told = {pair for cells in arm.runs for cell in cells for pair in cell.rollout.instructions}
    assert ("window-close", INSTRUCTIONS["window-open"]) in told
    assert ("faucet-close", INSTRUCTIONS["faucet-open"]) in told
    states = {
        (cell.rollout.tasks, cell.rollout.seed, cell.rollout.rollouts)
        for a in study.arms()
        for cells in a.runs
        for cell in cells
    }
    assert len(states) == len(study.targets), "all arms must meet the same initial states"


def test_methods_share_states_demonstrations_and_videos():
    study = FewShot(lab_config("laptop"))
    rollouts = [cell.rollout for arm in study.arms() for cells in arm.runs for cell in cells]
    assert len(set(rollouts)) == 1
    for condition in {arm.condition for arm in study.arms()}:
        demos = {cells[0].model.data.parts for arm in study.arms() if arm.condition == condition for cells in arm.runs}
        assert len(demos) == 1
    recordings = [cell for cell in closure(study.goals()) if isinstance(cell, Recording)]
    assert {cell.name: cell.record.actions for cell in recordings} == {"demos": True, "videos": False}
    assert len({cell.record.seed for cell in recordings}) == 2


def test_budgets_are_known_by_name():
    assert Lab(lab_config("smoke", seed=3)).videos().key != Lab(lab_config("smoke", seed=4)).videos().key
    with pytest.raises(UnknownNameError, match="laptop"):
        lab_config("huge")
    with pytest.raises(UnknownNameError, match="ground-truth"):
        lab_config("smoke", tracker="magic")


def test_seeds_are_averaged_by_episode():
    def scores(error: float) -> dict:
        figures = {"count": 4, "error_px": error, "mse": 0.1, "pixel_accuracy": 0.5, "delta_auc": 0.7}
        rows = {"model": figures}
        episode = {"episode": 0, "instruction": "go", "moving": rows, "all": rows}
        return {"moving": rows, "all": rows, "windows": 3, "episodes": [episode]}

    merged = mean_over_seeds([scores(1.0), scores(3.0)])
    assert merged["moving"]["model"]["error_px"] == 2.0
    assert merged["episodes"][0]["all"]["model"] == {
        "count": 4.0, "error_px": 2.0, "mse": 0.1, "pixel_accuracy": 0.5, "delta_auc": 0.7,
    }  # fmt: skip
    assert merged["windows"] == 3
