import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from pydantic import ValidationError

from amplify.data.dataset import Dataset
from amplify.errors import DataError, UnknownNameError
from amplify.rng import derive
from amplify.sim import record as record_module
from amplify.sim.ground_truth import GroundTruthTracker
from amplify.sim.metaworld.config import MetaWorldConfig
from amplify.sim.metaworld.simulation import Simulation
from amplify.sim.record import PLAY_INSTRUCTION, RecordConfig, record
from amplify.sim.renderer import RenderSettings

SIMULATOR = MetaWorldConfig(render=RenderSettings(width_px=32, height_px=32), max_decisions=40)
# The two tasks that experts finish soonest.
TASKS = ("coffee-button", "handle-press")


def settings(**changes) -> RecordConfig:
    return RecordConfig(**{"tasks": TASKS, "episodes": 2, "simulator": SIMULATOR, **changes})


class Clumsy:
    """An expert that gives up where the initial state tells it to."""

    attempts = 0
    failing: frozenset[int] = frozenset()

    def __init__(self, task):
        self._gives_up = Clumsy.attempts in Clumsy.failing
        self._expert = EXPERT(task)
        Clumsy.attempts += 1

    def act(self, simulation):
        return np.zeros(4, dtype=np.float32) if self._gives_up else self._expert.act(simulation)


EXPERT = record_module.ScriptedExpert


@pytest.fixture
def clumsy(monkeypatch):
    monkeypatch.setattr(record_module, "ScriptedExpert", Clumsy)
    monkeypatch.setattr(Clumsy, "attempts", 0)

    def fail_at(*attempts: int):
        monkeypatch.setattr(Clumsy, "failing", frozenset(attempts))

    return fail_at


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    out = tmp_path_factory.mktemp("recorded") / "dataset"
    return out, record(settings(), out, workers=0)


def test_the_summary_counts(recorded):
    out, summary = recorded
    assert summary["dataset"] == str(out)
    assert (summary["episodes"], summary["failed"], summary["recorded_now"]) == (4, 0, 4)
    assert summary["tasks"] == {task: {"episodes": 2, "failed": 0} for task in TASKS}


def test_the_dataset_holds_video_actions_states_and_notes(recorded):
    dataset = Dataset.open(recorded[0], strict=True)
    assert dataset.spec == settings().dataset_spec
    assert dataset.spec.fps == 27
    assert [e.info["task"] for e in dataset.episodes] == [TASKS[0], TASKS[0], TASKS[1], TASKS[1]]
    assert dataset.episodes[0].instruction == "press the button of the coffee machine"
    for number, episode in enumerate(dataset.episodes):
        task, attempt = episode.info["task"], number % 2
        assert episode.info == {
            "task": task,
            "seed": derive(0, "record", task, attempt),
            "noise": 0.2,
            "attempt": attempt,
        }
        actions, proprio = dataset.actions(episode.index), dataset.proprio(episode.index)
        scene = dataset.scene(episode.index)
        assert actions is not None
        assert proprio is not None
        assert scene is not None
        assert np.abs(actions).max() <= 1
        assert dataset.frames(episode.index, "corner2").shape == (episode.length, 32, 32, 3)
        simulation = Simulation(str(task), SIMULATOR)
        simulation.reset(int(episode.info["seed"]))
        np.testing.assert_allclose(proprio[0], simulation.proprio, atol=1e-6)
        np.testing.assert_allclose(scene.body_position[0].numpy(), simulation.data.xpos, atol=1e-6)
        assert (scene.simulator, scene.scene) == ("metaworld", task)


def test_the_same_command_again_returns_at_once(recorded, monkeypatch):
    out, first = recorded
    monkeypatch.setattr(record_module, "map_jobs", lambda *_, **__: pytest.fail("recorded again"))
    again = record(settings(), out, workers=0)
    assert again["recorded_now"] == 0
    assert {key: again[key] for key in ("episodes", "failed", "tasks")} == {
        key: first[key] for key in ("episodes", "failed", "tasks")
    }


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"noise": 0.1}, {"episodes": 3}, {"tasks": TASKS[:1]}, {"after_success": 2}]
)
def test_other_settings_are_refused_with_a_remedy(recorded, change):
    with pytest.raises(DataError, match="other settings") as caught:
        record(settings(**change), recorded[0], workers=0)
    assert "choose another folder" in str(caught.value)


def test_two_processes_record_what_one_does(recorded, tmp_path):
    record(settings(tasks=TASKS[:1]), tmp_path / "dataset", workers=2)
    one, two = Dataset.open(recorded[0]), Dataset.open(tmp_path / "dataset")
    assert [e.info for e in one.episodes[:2]] == [e.info for e in two.episodes]
    for episode in two.episodes:
        np.testing.assert_array_equal(one.actions(episode.index), two.actions(episode.index))
        scenes = [dataset.scene(episode.index) for dataset in (one, two)]
        np.testing.assert_array_equal(*[scene.body_position.numpy() for scene in scenes if scene is not None])
        # Lossy video: what matters is that it shows the same.
        frames = [dataset.frames(episode.index, "corner2").astype(int) for dataset in (one, two)]
        assert np.abs(frames[0] - frames[1]).mean() < 0.5


def test_failed_attempts_are_counted_replaced_and_left_out(tmp_path, clumsy):
    clumsy(0)
    summary = record(settings(tasks=TASKS[:1]), tmp_path / "dataset", workers=0)
    assert summary["tasks"] == {TASKS[0]: {"episodes": 2, "failed": 1}}
    assert [e.info["attempt"] for e in Dataset.open(tmp_path / "dataset").episodes] == [1, 2]
    assert record(settings(tasks=TASKS[:1]), tmp_path / "dataset", workers=0)["failed"] == 1


def test_a_task_that_fails_too_often_is_short_or_with_strict_an_error(tmp_path, clumsy):
    config = settings(tasks=TASKS[:1])
    clumsy(0, 1, 2, 3, 4)
    with pytest.raises(DataError, match="coffee-button: 1 of 2"):
        record(config, tmp_path / "strict", workers=0, strict=True)
    Clumsy.attempts = 0
    summary = record(config, tmp_path / "lenient", workers=0)
    assert summary["tasks"] == {TASKS[0]: {"episodes": 1, "failed": 5}}
    assert Clumsy.attempts == 6


def test_without_any_success_there_is_no_dataset(tmp_path, clumsy):
    clumsy(*range(100))
    with pytest.raises(DataError, match="too few successful") as caught:
        record(settings(tasks=TASKS[:1], episodes=1), tmp_path / "dataset", workers=0)
    assert "--noise" in str(caught.value)


def test_an_interrupted_recording_goes_on_where_it_stopped(recorded, tmp_path, monkeypatch):
    made = []
    whole = record_module.record_attempt

    def interrupted(attempt):
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append(attempt.key)
        return whole(attempt)

    monkeypatch.setattr(record_module, "record_attempt", interrupted)
    with pytest.raises(KeyboardInterrupt):
        record(settings(), tmp_path / "dataset", workers=0)
    monkeypatch.setattr(record_module, "record_attempt", whole)
    with pytest.raises(DataError, match="other settings"):
        record(settings(seed=3), tmp_path / "dataset", workers=0)
    summary = record(settings(), tmp_path / "dataset", workers=0)
    assert (summary["episodes"], summary["recorded_now"]) == (4, 1)
    one, two = Dataset.open(recorded[0]), Dataset.open(tmp_path / "dataset")
    assert [e.info for e in one.episodes] == [e.info for e in two.episodes]


def test_a_video_only_dataset_has_no_trace_of_actions_or_proprioception(tmp_path):
    out = tmp_path / "videos"
    record(settings(tasks=TASKS[:1], episodes=1, actions=False, scene=False), out, workers=0)
    dataset = Dataset.open(out, strict=True)
    assert (dataset.spec.action_names, dataset.spec.proprio_names) == (None, None)
    assert dataset.actions(0) is None
    assert dataset.proprio(0) is None
    assert dataset.scene(0) is None
    columns = [name for path in out.rglob("*.parquet") for name in pq.read_schema(path).names]
    assert not [name for name in columns if "action" in name or "state" in name]
    assert '"action"' not in (out / "meta" / "info.json").read_text()


def test_another_body_is_another_video_of_the_same_episodes(recorded, tmp_path):
    simulator = SIMULATOR.model_copy(update={"body": "hand"})
    record(settings(tasks=TASKS[:1], simulator=simulator), tmp_path / "dataset", workers=0)
    robot, other = Dataset.open(recorded[0]), Dataset.open(tmp_path / "dataset")
    assert (robot.spec.robot_type, other.spec.robot_type) == ("sawyer", "hand")
    assert [e.info for e in robot.episodes[:2]] == [e.info for e in other.episodes]
    for episode in other.episodes:
        np.testing.assert_array_equal(robot.actions(episode.index), other.actions(episode.index))
        np.testing.assert_array_equal(robot.proprio(episode.index), other.proprio(episode.index))
        frames = [dataset.frames(episode.index, "corner2").astype(int) for dataset in (robot, other)]
        assert (np.abs(frames[0] - frames[1]).max(axis=-1) > 16).mean() > 0.1
        scene = other.scene(episode.index)
        assert scene is not None
        assert scene.scene == f"{TASKS[0]}@hand"
        clip = other.clip(episode.index, "corner2")
        window = GroundTruthTracker().track(clip, torch.tensor([[0.0, 0.0]]), horizon=2)
        assert window.visible[:, :, 0].all()


def test_play_has_full_length_no_goal_and_other_seeds(tmp_path):
    out = tmp_path / "play"
    summary = record(settings(tasks=TASKS[:1], play=True), out, workers=0)
    dataset = Dataset.open(out)
    assert summary["failed"] == 0
    for episode in dataset.episodes:
        assert episode.instruction == PLAY_INSTRUCTION
        assert episode.length == SIMULATOR.max_decisions
        assert episode.info["seed"] == derive(0, "play", TASKS[0], int(episode.info["attempt"]))


def test_task_names_are_checked_and_normalised():
    assert settings(tasks=("drawer-open-v3", "19", "drawer-open")).tasks == ("drawer-open", "faucet-close")
    with pytest.raises(UnknownNameError, match="did you mean"):
        settings(tasks=("draw-open",))
    with pytest.raises(ValidationError, match="at least one task"):
        settings(tasks=())
