import pytest

from amplify.cli import run
from amplify.evaluate.rollout import RolloutConfig
from amplify.experiments.engine.cell import closure
from amplify.experiments.few_shot import FewShot
from amplify.experiments.lab import Lab
from amplify.experiments.libero import LiberoObject, LiberoSmoke
from amplify.experiments.libero_zero_shot import BLIND, CLONING, KITCHEN_BOWLS, LiberoSpatialZeroShot, LiberoZeroShot
from amplify.experiments.simulators import Libero
from amplify.sim.libero.tasks import suite_tasks

libero = pytest.mark.libero


def test_results_of_other_benchmarks_keep_their_names():
    assert RolloutConfig(tasks=("drawer-open",)).fingerprint == "d71a82c44b44"
    assert "initial_states" not in RolloutConfig(tasks=("a",)).model_dump()
    asked = RolloutConfig(tasks=("a",), initial_states=(3, 4), quality="full")
    assert RolloutConfig.model_validate_json(asked.model_dump_json()) == asked
    lab = Lab(FewShot.configured("laptop"))
    assert lab.videos().key == "recording-a4891b98d2d3"


@libero
def test_policies_act_from_states_that_no_recording_has():
    study = LiberoObject(LiberoObject.configured("laptop"))
    recorded = {
        state
        for cell in closure(study.goals())
        if cell.kind == "recording" and cell.name in ("videos", "demos")
        for state in cell.record.initial_states
    }
    assert recorded == set(range(30))
    for arm in study.arms():
        for (rollouts,) in arm.runs:
            assert rollouts.rollout.benchmark == "libero/libero_object"
            assert rollouts.rollout.initial_states == tuple(range(30, 50))
            assert len(rollouts.rollout.tasks) == 10
            assert rollouts.rollout.max_decisions is None


@libero
def test_both_methods_share_demonstrations_decoder_and_steps():
    study = LiberoObject(LiberoObject.configured("laptop"))
    ours, theirs = study.policy("AMPLIFY", 10, 0), study.policy("behaviour cloning", 10, 0)
    assert ours.data.parts == theirs.data.parts
    assert ours.model == theirs.model
    assert ours.train.loop == theirs.train
    assert not any(part.recording.record.actions for part in study.forward().data.parts)


@libero
@pytest.mark.parametrize(("kind", "sources"), [(LiberoZeroShot, 20), (LiberoSpatialZeroShot, 17)])
def test_zero_shot_never_sees_an_action_of_the_targets(kind, sources):
    study = kind(kind.configured("laptop"))
    for arm in study.arms():
        for (rollouts,) in arm.runs:
            assert rollouts.rollout.benchmark == f"libero/{kind.suite}"
            for part in rollouts.model.data.parts:
                assert part.recording.record.suite == "libero_90"
                assert len(part.recording.record.task_names) == sources
    misled = next(arm for arm in study.arms() if arm.method == study.misled).runs[0][0].rollout
    tasks = {task.name: task.instruction for task in suite_tasks(kind.suite)}
    assert sorted(sentence for _, sentence in misled.instructions) == sorted(tasks.values())
    assert all(sentence != tasks[task] for task, sentence in misled.instructions)
    assert study.model(BLIND, 0).model.motion == "none"
    assert study.model(CLONING, 0).kind == "cloning"
    suites = {part.recording.record.suite: part.recording.record.actions for part in study.videos().parts}
    assert suites == {kind.suite: False, "libero_90": True}


@libero
def test_actions_of_bowls_come_from_kitchens():
    names = [suite_tasks("libero_90")[number].name for number in KITCHEN_BOWLS]
    assert all(name.startswith("KITCHEN") and "bowl" in name for name in names)


@libero
def test_budgets_grow_and_numbers_replace_theirs():
    smoke, laptop, long = (LiberoObject.configured(budget) for budget in ("smoke", "laptop", "long"))
    assert smoke.videos < laptop.videos < long.videos
    assert len(smoke.tasks) == 2
    changed = LiberoObject.configured("laptop", videos=7, demos=4, rollouts=5, training_seeds=2, tracker="flow")
    study = LiberoObject(changed)
    assert study.counts == (4,)
    assert len(study.arms()[0].runs) == 2
    assert study.arms()[0].runs[0][0].rollout.initial_states == tuple(range(30, 35))
    assert changed.tracking.tracker == "flow"
    assert len(LiberoSmoke.configured("laptop").tasks) == 2
    assert LiberoSmoke.configured("laptop").inverse_training.loop.steps < laptop.inverse_training.loop.steps
    assert LiberoObject(long).counts == (5, 10, 20)


@libero
def test_every_purpose_has_its_own_states():
    simulator = Libero()
    made = {
        name: simulator.recording(name, tasks=("0",), episodes=1, seed=0).initial_states
        for name in ("videos", "demos", "held-out", "something else")
    }
    assert made["videos"] == tuple(range(20))
    assert made["demos"] == tuple(range(20, 30))
    assert made["held-out"] == tuple(range(30, 35))
    assert made["something else"] == tuple(range(30))


def test_numbers_below_one_are_refused(tmp_path, capsys):
    assert run(["experiment", "few-shot", "--demos", "0", "--out", str(tmp_path)]) == 2
    assert "--demos" in capsys.readouterr().err
