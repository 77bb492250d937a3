from dataclasses import replace

import h5py
import mujoco
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from amplify.cli import run
from amplify.data.dataset import Dataset
from amplify.data.importers import libero as importer
from amplify.data.importers.engine import run_import
from amplify.errors import DataError, UnknownNameError
from amplify.sim.libero import record_episode, record_stores
from amplify.sim.libero.config import CAMERAS, LiberoConfig
from amplify.sim.libero.hdf5 import axis_angles
from amplify.sim.libero.images import camera_images
from amplify.sim.libero.oracle.solve import Attempt
from amplify.sim.libero.record import record
from amplify.sim.libero.record_again import RenderConfig, render_dataset
from amplify.sim.libero.record_config import RecordConfig
from amplify.sim.libero.record_performance import perform
from amplify.sim.libero.simulation import Simulation
from amplify.sim.libero.tasks import find_task
from amplify.sim.renderer import RenderSettings

pytestmark = pytest.mark.libero

SIMULATOR = LiberoConfig(render=RenderSettings(width_px=64, height_px=64))
TASK = "pick_up_the_alphabet_soup_and_place_it_in_the_basket"
SAID = "pick the alphabet soup and place it in the basket"
STATE = 7


def settings(**changes) -> RecordConfig:
    known = {"suite": "object", "tasks": ("0",), "episodes": 1, "initial_states": (STATE,), "simulator": SIMULATOR}
    return RecordConfig(**{**known, **changes})


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A demonstration of the real oracle in LIBERO's layout."""
    out = tmp_path_factory.mktemp("recorded") / "files"
    summary = record(settings(format="libero-hdf5"), out, workers=0)
    return out, summary


@pytest.fixture(scope="module")
def demo(files):
    with h5py.File(files[0] / "libero_object" / f"{TASK}_demo.hdf5") as file:
        group = file["data/demo_0"]
        arrays = {}
        group.visititems(lambda name, item: arrays.update({name: item[()]}) if hasattr(item, "shape") else None)
        yield arrays, dict(file["data"].attrs), dict(group.attrs)


class ByHeart:
    """An oracle that knows one demonstration by heart and fails where it is told to."""

    def __init__(self, arrays):
        self.arrays = arrays
        self.failing: dict[int, str] = {}
        self.drawn: list[float] = []

    def __call__(self, simulation, generator, config):
        self.drawn.append(generator.random())
        reason = self.failing.get(len(self.drawn) - 1)
        actions = self.arrays["actions"]
        return Attempt(
            actions=actions,
            intended=0.5 * actions,
            states=np.concatenate([self.arrays["states"], self.arrays["states"][-1:]]),
            success=reason is None,
            attempts=1 if reason is None else config.attempts,
            decisions_simulated=len(actions),
            failures=() if reason is None else (reason,) * config.attempts,
        )


@pytest.fixture(scope="module")
def performed(demo, tmp_path_factory):
    """The same demonstration as a dataset, with its summary, and its last decisions."""
    out = tmp_path_factory.mktemp("recorded") / "dataset"
    done = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(record_episode, "solve", ByHeart(demo[0]))
        patched.setattr(record_episode, "perform", lambda *given: done.append(perform(*given)) or done[0])
        summary = record(settings(), out, workers=0)
    last = {name: getattr(done[0], name)[-9:] for name in ("states", "seen", "proprio")}
    last |= {name: getattr(done[0], name)[-9:] for name in ("hand_position", "hand_quaternion")}
    last |= {name: getattr(done[0], name)[-8:] for name in ("actions", "intended")}
    return out, summary, replace(done[0], **last)


@pytest.fixture
def dataset_folder(performed):
    """The dataset and its summary."""
    return performed[:2]


@pytest.fixture
def by_heart(monkeypatch, demo, performed):
    """Puts it in the oracle's place; what is done over again are the last decisions only."""
    oracle = ByHeart(demo[0])
    monkeypatch.setattr(record_episode, "solve", oracle)
    monkeypatch.setattr(record_episode, "perform", lambda *given: performed[2])
    return oracle


def test_the_summary_counts(files):
    out, summary = files
    assert (summary["episodes"], summary["failed"], summary["recorded_now"]) == (1, 0, 1)
    assert summary["tasks"] == {
        TASK: {"episodes": 1, "failed": 0, "simulated_attempts": summary["simulated_attempts"], "unstable": 0}
    }
    assert summary["given_up"] == summary["set_aside"] == {}
    assert [path.name for path in sorted(out.iterdir())] == ["libero_object", "recording.json"]


def test_files_have_the_official_layout(demo):
    arrays, about, of_demo = demo
    t = len(arrays["actions"])
    with_size = {name: (array.shape[1:], array.dtype) for name, array in arrays.items()}
    assert with_size == {
        "actions": ((7,), np.float64),
        "states": ((110,), np.float64),
        "robot_states": ((9,), np.float64),
        "rewards": ((), np.uint8),
        "dones": ((), np.uint8),
        "obs/agentview_rgb": ((64, 64, 3), np.uint8),
        "obs/eye_in_hand_rgb": ((64, 64, 3), np.uint8),
        "obs/joint_states": ((7,), np.float64),
        "obs/gripper_states": ((2,), np.float64),
        "obs/ee_states": ((6,), np.float64),
        "obs/ee_pos": ((3,), np.float64),
        "obs/ee_ori": ((3,), np.float64),
    }
    assert {len(array) for array in arrays.values()} == {t}
    assert arrays["dones"].tolist() == arrays["rewards"].tolist() == [0] * (t - 1) + [1]
    assert about["tag"] == "libero-v1"
    assert about["macros_image_convention"] == "opengl"
    assert about["env_name"] == "Libero_Floor_Manipulation"
    assert about["bddl_file_name"] == f"libero/libero/bddl_files/libero_object/{TASK}.bddl"
    assert (about["num_demos"], about["total"], of_demo["num_samples"]) == (1, t, t)
    assert np.array_equal(of_demo["init_state"], arrays["states"][0])


def test_actions_lead_through_the_states_to_success_and_images_are_what_was_seen(demo):
    arrays, _, of_demo = demo
    simulation = Simulation(find_task("object", 0), SIMULATOR)
    simulation.reset(STATE)
    for number, action in enumerate(arrays["actions"]):
        assert np.array_equal(simulation.state(), arrays["states"][number])
        success = simulation.step(action)
        if number % 40 == 3:
            seen = camera_images(simulation)[:, ::-1]  # files hold images upside down
            assert np.array_equal(seen[0], arrays["obs/agentview_rgb"][number])
            assert np.array_equal(seen[1], arrays["obs/eye_in_hand_rgb"][number])
            felt = np.concatenate([arrays["obs/joint_states"][number], arrays["obs/gripper_states"][number]])
            assert np.array_equal(simulation.proprio, felt.astype(np.float32))
            assert np.allclose(simulation.hand_position, arrays["obs/ee_pos"][number])
    assert success
    model = mujoco.MjModel.from_xml_string(of_demo["model_file"])
    assert (model.nq, model.nv) == (simulation.model.nq, simulation.model.nv)
    assert np.allclose(model.body_pos, simulation.model.body_pos, atol=1e-6)


def test_what_is_written_is_imported_again(files, demo, tmp_path):
    arrays = demo[0]
    found = importer.demonstrations(files[0] / "libero_object" / f"{TASK}_demo.hdf5")
    episode = importer.read_demonstration(found[0])
    assert episode.instruction == SAID
    assert np.array_equal(episode.frames["eye_in_hand"], arrays["obs/eye_in_hand_rgb"][:, ::-1])
    assert np.array_equal(episode.actions, arrays["actions"].astype(np.float32))

    run_import(importer.plan_libero(files[0], importer.LiberoConfig()), tmp_path / "imported", workers=0)
    dataset = Dataset.open(tmp_path / "imported", strict=True)
    assert dataset.spec == settings().dataset_spec
    # An image belongs to the action that followed it; files hold it in the row of the one before.
    assert np.array_equal(dataset.actions(0), arrays["actions"][1:].astype(np.float32))
    shown = dataset.frames(0, "agentview").astype(int)
    assert np.abs(shown - arrays["obs/agentview_rgb"][:-1, ::-1]).mean() < 4


def test_a_dataset_holds_video_clean_actions_and_states(dataset_folder, demo):
    dataset = Dataset.open(dataset_folder[0], strict=True)
    assert dataset.spec == settings().dataset_spec
    assert dataset.spec.proprio_names == importer.PROPRIO_NAMES
    assert dataset.spec.action_names == importer.ACTION_NAMES
    assert (dataset.spec.cameras, dataset.spec.fps) == (("agentview", "eye_in_hand"), 20)
    episode = dataset.episodes[0]
    assert episode.instruction == SAID
    assert episode.info == {
        "suite": "libero_object",
        "task": TASK,
        "initial_state": STATE,
        "episode": 0,
        "seed": 0,
        "attempts": 1,
    }
    assert np.allclose(dataset.actions(0), 0.5 * demo[0]["actions"])
    # Row t is what was seen before action t: one later than in LIBERO's files.
    assert np.allclose(dataset.proprio(0)[1:, :7], demo[0]["obs/joint_states"][:-1], atol=1e-6)
    shown = dataset.frames(0, "eye_in_hand")[1:].astype(int)
    assert np.abs(shown - demo[0]["obs/eye_in_hand_rgb"][:-1, ::-1]).mean() < 4
    scene = dataset.scene(0)
    assert (scene.simulator, scene.scene) == ("libero", f"libero_object/{TASK}")
    assert np.array_equal(scene.simulator_state.numpy()[:, : demo[0]["states"].shape[1]], demo[0]["states"])
    assert set(scene.cameras) == {"agentview", "eye_in_hand"}
    assert torch.equal(scene.cameras["agentview"].position[0], scene.cameras["agentview"].position[-1])
    assert not torch.equal(scene.cameras["eye_in_hand"].position[0], scene.cameras["eye_in_hand"].position[-1])


def test_without_actions_and_scene_there_is_video_alone(by_heart, tmp_path):
    record(settings(actions=False, scene=False), tmp_path / "d", workers=0)
    dataset = Dataset.open(tmp_path / "d", strict=True)
    assert dataset.spec.action_names is dataset.spec.proprio_names is None
    assert dataset.scene(0) is None
    with pytest.raises(DataError, match="has no states"):
        render_dataset(RenderConfig(), tmp_path / "d", tmp_path / "again", workers=0)


def test_a_finished_recording_is_left_alone_and_another_is_refused(dataset_folder):
    out, first = dataset_folder
    again = record(settings(), out, workers=0)
    assert again["recorded_now"] == 0
    assert {**again, "recorded_now": 1, "seconds": 0, "episodes_per_min": 0} == {
        **first,
        "seconds": 0,
        "episodes_per_min": 0,
    }
    with pytest.raises(DataError, match="other settings"):
        record(settings(seed=1), out, workers=0)


def test_failed_episodes_are_left_out_counted_and_not_made_again(by_heart, monkeypatch, tmp_path):
    by_heart.failing |= {0: "unstable physics", 2: "no grasp"}
    config = settings(episodes=2, patience=2)
    write = record_stores.LeRobotStore.write

    def killed(store, key, recorded):
        if key.endswith("3"):
            raise KeyboardInterrupt
        write(store, key, recorded)

    monkeypatch.setattr(record_stores.LeRobotStore, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        record(config, tmp_path / "d", workers=0)
    monkeypatch.setattr(record_stores.LeRobotStore, "write", write)
    summary = record(config, tmp_path / "d", workers=0)
    # The last one was made twice, the same way.
    assert len(by_heart.drawn) == 5
    assert by_heart.drawn[3] == by_heart.drawn[4]
    assert len(set(by_heart.drawn)) == 4
    assert summary["recorded_now"] == 1
    assert summary["tasks"][TASK] == {"episodes": 2, "failed": 2, "simulated_attempts": 12, "unstable": 5}
    assert [episode.info["episode"] for episode in Dataset.open(tmp_path / "d").episodes] == [1, 3]


def test_a_task_that_fails_again_and_again_is_given_up_and_reported(by_heart, tmp_path):
    by_heart.failing |= {1: "no grasp", 2: "unstable physics"}
    config = settings(episodes=3, patience=2)
    summary = record(config, tmp_path / "d", workers=0)
    assert summary["given_up"] == {TASK: "unstable physics"}
    assert summary["tasks"][TASK] == {"episodes": 1, "failed": 2, "simulated_attempts": 11, "unstable": 5}
    assert len(Dataset.open(tmp_path / "d").episodes) == 1


def test_too_few_are_an_error_where_there_is_none_or_strictly(by_heart, tmp_path):
    by_heart.failing |= dict.fromkeys(range(2), "no grasp")
    with pytest.raises(DataError, match="too few successful episodes") as error:
        record(settings(patience=2), tmp_path / "d", workers=0)
    assert "no grasp" in str(error.value.got)
    by_heart.failing |= dict.fromkeys(range(3, 5), "no grasp")
    with pytest.raises(DataError, match="too few successful episodes"):
        record(settings(patience=2, episodes=2, seed=1), tmp_path / "e", workers=0, strict=True)


def test_recorded_states_are_shown_to_other_cameras(dataset_folder, tmp_path):
    source = dataset_folder[0]
    render_dataset(RenderConfig(render=SIMULATOR.render), source, tmp_path / "same", workers=0)
    one, other = Dataset.open(source), Dataset.open(tmp_path / "same")
    assert np.array_equal(one.frames(0, "eye_in_hand"), other.frames(0, "eye_in_hand"))
    assert np.array_equal(one.actions(0), other.actions(0))
    assert torch.equal(one.scene(0).body_position, other.scene(0).body_position)

    config = RenderConfig(cameras=(CAMERAS["frontview"],), render=RenderSettings(width_px=48, height_px=32), depth=True)
    summary = render_dataset(config, source, tmp_path / "front", workers=0)
    assert (summary["rendered_now"], summary["depth_now"]) == (1, 1)
    front = Dataset.open(tmp_path / "front", strict=True)
    frames = front.frames(0, "frontview")
    assert frames.shape[1:] == (32, 48, 3)
    assert frames.std() > 10
    assert set(front.scene(0).cameras) == {"frontview"}
    depth = load_file(tmp_path / "front/sidecars/depth/episode-000000.safetensors")["frontview"]
    assert (depth.shape, depth.dtype) == (frames.shape[:3], np.uint16)
    # The floor is nearer in the lower rows.
    assert 300 < depth[0, -1].mean() < depth[0, 16].mean() < 5000
    rerun = render_dataset(config, source, tmp_path / "front", workers=0)
    assert (rerun["rendered_now"], rerun["depth_now"]) == (0, 0)


def test_the_command_names_what_is_wrong(tmp_path, capsys):
    for arguments, complaint in {
        ("--tasks", "11"): "unknown task number",
        ("--tasks", "pick_up_the_alphabet_soup"): "did you mean",
        ("--initial-states", "9,50"): "--initial-states",
        ("--initial-states", "a-b"): "--initial-states",
        ("--body", "sawyer"): "--body",
        ("--render-quality", "best"): "--render-quality",
        ("--camera", "topview"): "unknown camera",
        ("--format", "csv"): "--format",
        ("--episodes", "0"): "--episodes",
    }.items():
        command = ["record", "libero/libero_object", "--out", str(tmp_path / "d"), "--workers", "0"]
        assert run([*command, *arguments]) == 2
        assert complaint in capsys.readouterr().err
    with_files = ["record", "libero/libero_object", "--format", "libero-hdf5"]
    assert run([*with_files, "--out", str(tmp_path / "d"), "--no-actions"]) == 2
    assert "--format" in capsys.readouterr().err
    assert run([*with_files, "--out", "s3://bucket/d"]) == 1
    assert "a folder of this machine" in capsys.readouterr().err
    assert run(["record", "libero/libero_objects", "--out", str(tmp_path / "d")]) == 2
    assert "did you mean" in capsys.readouterr().err


def test_tasks_are_named_by_number_or_name():
    assert settings(tasks=("0", TASK)).task_names == (TASK,)
    assert len(settings(tasks=None).task_names) == 10
    with pytest.raises(UnknownNameError):
        settings(suite="libero_everything")


def test_an_axis_times_its_angle():
    half = np.sin(np.pi / 4)
    quaternions = np.array([[0.0, 0.0, half, half], [0.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0]])
    assert np.allclose(axis_angles(quaternions), [[0, 0, np.pi / 2], [0, 0, 0], [np.pi, 0, 0]])
