import json

import h5py
import numpy as np
import pytest
import torch

from amplify.cli import run
from amplify.data.dataset import Dataset
from amplify.data.importers import hdf5
from amplify.data.importers.hdf5 import images, opened, stored
from amplify.data.track_store import TrackStore
from amplify.errors import DataError
from amplify.tracks.queries import uniform_grid

from .sources import libero_task, numbers, robomimic_file, steps, track_file


def imported(capsys, kind, source, out, *options, code=0):
    assert run(["import", kind, str(source), "--out", str(out), "--workers", "0", "--json", *options]) == code
    captured = capsys.readouterr()
    return json.loads(captured.out.splitlines()[-1]) if code == 0 else captured.err


def test_libero_pairs_an_image_with_the_action_that_followed_it(tmp_path, capsys):
    libero_task(tmp_path / "libero_goal/KITCHEN_SCENE3_turn_on_the_stove_demo.hdf5")
    imported(capsys, "libero", tmp_path, tmp_path / "out")
    found = Dataset.open(tmp_path / "out")
    assert found.spec.cameras == ("agentview", "eye_in_hand")
    assert (found.spec.fps, found.spec.robot_type) == (20, "panda")
    assert found.spec.action_names == ("x", "y", "z", "roll", "pitch", "yaw", "gripper")
    assert found.spec.proprio_names[6:] == ("joint_6", "finger_left", "finger_right")
    assert [(e.length, e.instruction) for e in found.episodes] == [(4, "turn on the stove"), (3, "turn on the stove")]
    assert numbers(found.frames(0, "agentview")) == [0, 1, 2, 3]
    assert numbers(found.frames(0, "eye_in_hand")) == [10, 11, 12, 13]
    assert found.frames(0, "agentview")[0, 1, 1].min() > 200  # upright: the bar is at the top
    np.testing.assert_allclose(found.actions(0)[:, 0], [0.1, 0.2, 0.3, 0.4], rtol=1e-6)
    np.testing.assert_allclose(found.proprio(0)[:, 0], [0, 1, 2, 3])


def test_libero_options(tmp_path, capsys):
    libero_task(tmp_path / "in/open_it_demo.hdf5")
    options = ("--no-aligned", "--cameras", "eye_in_hand", "--proprio", "ee_pos", "--fps", "10", "--size", "24")
    imported(capsys, "libero", tmp_path / "in", tmp_path / "out", *options)
    found = Dataset.open(tmp_path / "out")
    assert (found.spec.cameras, found.spec.fps, found.spec.size("eye_in_hand")) == (("eye_in_hand",), 10, (24, 24))
    assert found.spec.proprio_names == ("ee_x", "ee_y", "ee_z")
    assert found.episodes[0].length == 5
    np.testing.assert_allclose(found.actions(0)[:, 0], np.arange(5) / 10, rtol=1e-6)
    imported(capsys, "libero", tmp_path / "in", tmp_path / "video", "--no-actions", "--limit", "1")
    assert "action" not in (tmp_path / "video/meta/info.json").read_text()
    assert "did you mean 'agentview'" in imported(
        capsys, "libero", tmp_path / "in", tmp_path / "x", "--cameras", "agentveiw", code=2
    )


def test_libero_sentences(tmp_path, capsys):
    said = {
        "problem_info": json.dumps({"language_instruction": '"Open the box"'}),
        "bddl_file_name": "a/b/open_it.bddl",
    }
    libero_task(tmp_path / "in/open_it_demo.hdf5", attributes=said)
    imported(capsys, "libero", tmp_path / "in", tmp_path / "a")
    assert Dataset.open(tmp_path / "a").episodes[0].instruction == "Open the box"
    (tmp_path / "bddl").mkdir()
    (tmp_path / "bddl/open_it.bddl").write_text("(define (problem X)\n (:language  open the\n wooden box)\n)")
    imported(capsys, "libero", tmp_path / "in", tmp_path / "b", "--bddl", str(tmp_path / "bddl"))
    assert Dataset.open(tmp_path / "b").episodes[0].instruction == "open the wooden box"
    (tmp_path / "bddl/open_it.bddl").unlink()
    assert "no sentence" in imported(
        capsys, "libero", tmp_path / "in", tmp_path / "c", "--bddl", str(tmp_path / "bddl"), code=1
    )


@pytest.mark.parametrize("form", ["uint8", "float", "channels first"])
def test_robomimic(tmp_path, capsys, form):
    robomimic_file(tmp_path / "can.hdf5", images=form)
    imported(capsys, "robomimic", tmp_path / "can.hdf5", tmp_path / "out")
    found = Dataset.open(tmp_path / "out")
    assert (found.spec.cameras, found.spec.fps, found.spec.robot_type) == (("agentview",), 15, "Panda")
    assert found.spec.proprio_names[:4] == (*(f"robot0_eef_pos_{i}" for i in range(3)), "robot0_eef_quat_0")
    assert [(e.length, e.instruction) for e in found.episodes] == [(n, "pick place can") for n in (5, 4, 6)]
    assert numbers(found.frames(2, "agentview")) == list(range(6))
    np.testing.assert_allclose(found.actions(0)[:, 0], np.arange(5) / 10, rtol=1e-6)


def test_robomimic_options(tmp_path, capsys):
    robomimic_file(tmp_path / "can.hdf5")
    options = (
        "--filter",
        "train",
        "--proprio",
        "object",
        "--instruction",
        "fetch the can",
        "--fps",
        "5",
        "--upside-down",
    )
    imported(capsys, "robomimic", tmp_path, tmp_path / "out", *options, "--cameras", "agentview_image", "--size", "8")
    found = Dataset.open(tmp_path / "out")
    assert [e.info["demo"] for e in found.episodes] == ["demo_0", "demo_2"]
    assert len(found.spec.proprio_names) == 14
    assert (found.spec.fps, found.episodes[0].instruction) == (5, "fetch the can")
    assert found.frames(0, "agentview")[0, 6, 1].min() > 150  # turned over: the bar is at the bottom
    imported(capsys, "robomimic", tmp_path / "can.hdf5", tmp_path / "video", "--no-actions", "--limit", "1")
    assert Dataset.open(tmp_path / "video").spec.proprio_names is None
    error = imported(capsys, "robomimic", tmp_path / "can.hdf5", tmp_path / "x", "--filter", "trian", code=2)
    assert "did you mean 'train'" in error


def test_robomimic_sentences_of_the_file(tmp_path, capsys):
    path = robomimic_file(tmp_path / "can.hdf5")
    with h5py.File(path, "a") as file:
        file["data/demo_0"].attrs["ep_meta"] = json.dumps({"lang": "pick the can"})
        file["data/demo_1"].attrs["ep_meta"] = "[" * 5000
    imported(capsys, "robomimic", path, tmp_path / "out")
    said = [e.instruction for e in Dataset.open(tmp_path / "out").episodes]
    assert said == ["pick the can", "pick place can", "pick place can"]


def test_robomimic_files_without_images_say_how_to_render_them(tmp_path, capsys):
    path = robomimic_file(tmp_path / "low_dim.hdf5")
    with h5py.File(path, "a") as file:
        for demo in file["data"].values():
            del demo["obs/agentview_image"]
    error = imported(capsys, "robomimic", path, tmp_path / "out", code=1)
    assert "has no images" in error


def test_reference_tracks_become_a_sidecar(tmp_path, capsys):
    libero_task(tmp_path / "in/libero_goal/open_it_demo.hdf5", lengths=(6, 5, 4, 4))
    for number, length in enumerate((6, 5, 9)):
        track_file(tmp_path / f"pre/libero_goal/uniform_9_reinit_4/open_it_demo/demo_{number}.hdf5", length)
    options = ("--tracks", str(tmp_path / "pre"), "--tracker", "cotracker3")
    summary = imported(capsys, "reference-tracks", tmp_path / "in", tmp_path / "out", *options)
    assert (summary["sidecar"], summary["tracked"], summary["skipped"]) == ("tracks-cotracker3-3x3-h4", 2, 2)
    reasons = summary["set_aside"]
    assert "another length" in reasons["libero_goal/open_it/demo_2"]
    assert "no track files" in reasons["libero_goal/open_it/demo_3"]
    found = Dataset.open(tmp_path / "out")
    tracks = TrackStore(found, summary["sidecar"]).episode(0)
    assert tracks.points.shape == (5, 2, 4, 9, 2)
    torch.testing.assert_close(tracks.points[0, 0, 0], uniform_grid(3), atol=2e-3, rtol=0)
    torch.testing.assert_close(tracks.velocities[0, 0], torch.tensor([2 / 16, 0.0]).expand(3, 9, 2), atol=2e-3, rtol=0)
    assert tracks.velocities[0, 1].abs().max() < 2e-3
    assert [e.length for e in found.episodes] == [5, 4]
    again = imported(capsys, "reference-tracks", tmp_path / "in", tmp_path / "out", *options)
    assert (again["imported_now"], again["tracked"]) == (0, 2)


def test_tracks_of_several_methods_must_be_chosen(tmp_path, capsys):
    libero_task(tmp_path / "in/libero_goal/open_it_demo.hdf5", lengths=(6,))
    for method in ("uniform_9_reinit_4", "other"):
        track_file(tmp_path / f"pre/libero_goal/{method}/open_it_demo/demo_0.hdf5", 6)
    options = ("--tracks", str(tmp_path / "pre"))
    assert "--method" in imported(capsys, "reference-tracks", tmp_path / "in", tmp_path / "x", *options, code=1)
    imported(capsys, "reference-tracks", tmp_path / "in", tmp_path / "out", *options, "--method", "other")


def external(path, other):
    with h5py.File(other, "w") as file:
        file["pictures"] = steps(5, 16, 16)
    with h5py.File(path, "a") as file:
        del file["data/demo_1/obs/agentview_rgb"]
        file["data/demo_1/obs/agentview_rgb"] = h5py.ExternalLink(str(other), "/pictures")


def virtual(path, other):
    external(path, other)
    layout = h5py.VirtualLayout(shape=(4, 16, 16, 3), dtype=np.uint8)
    layout[:] = h5py.VirtualSource(str(other), "pictures", shape=(5, 16, 16, 3))[:4]
    with h5py.File(path, "a") as file:
        del file["data/demo_1/obs/agentview_rgb"]
        file["data/demo_1/obs"].create_virtual_dataset("agentview_rgb", layout)


def absurd(path, other):
    with h5py.File(path, "a") as file:
        del file["data/demo_1/obs/agentview_rgb"]
        file["data/demo_1/obs"].create_dataset("agentview_rgb", (10**9, 16, 16, 3), np.uint8, chunks=(1, 16, 16, 3))


def nan(path, other):
    with h5py.File(path, "a") as file:
        file["data/demo_1/actions"][2, 3] = np.nan


def uneven(path, other):
    with h5py.File(path, "a") as file:
        del file["data/demo_1/obs/joint_states"]
        file["data/demo_1/obs/joint_states"] = np.zeros((3, 7))


def words(path, other):
    with h5py.File(path, "a") as file:
        del file["data/demo_1/obs/joint_states"]
        file["data/demo_1/obs/joint_states"] = np.array([b"a", b"b", b"c", b"d"])


def no_images(path, other):
    with h5py.File(path, "a") as file:
        del file["data/demo_1/obs/agentview_rgb"]
        file["data/demo_1/obs/agentview_rgb"] = np.zeros((4, 7))


def nothing_there(path, other):
    with h5py.File(path, "a") as file:
        del file["data/demo_1"]
        file["data/demo_1"] = h5py.SoftLink("/nowhere")


def no_actions(path, other):
    with h5py.File(path, "a") as file:
        del file["data/demo_1/actions"]


def one_number(path, other):
    no_actions(path, other)
    with h5py.File(path, "a") as file:
        file["data/demo_1/actions"] = 1.0


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (one_number, "no table of numbers"),
        (nothing_there, "lacks /data/demo_1/actions"),
        (no_actions, "lacks /data/demo_1/actions"),
        (external, "another file"),
        (virtual, "another file"),
        (absurd, "claims more"),
        (nan, "not finite"),
        (uneven, "different lengths"),
        (words, "no table of numbers"),
        (no_images, "holds no images"),
    ],
)
def test_a_broken_demonstration_is_named_and_set_aside(tmp_path, capsys, fault, reason):
    path = libero_task(tmp_path / "in/open_it_demo.hdf5")
    fault(path, tmp_path / "other.hdf5")
    summary = imported(capsys, "libero", tmp_path / "in", tmp_path / "out")
    assert (summary["episodes"], summary["skipped"]) == (1, 1)
    assert reason in summary["set_aside"]["in/open_it/demo_1"]
    assert "1 of 2" in imported(capsys, "libero", tmp_path / "in", tmp_path / "out2", "--strict", code=1)


@pytest.mark.parametrize("number", [0, 2])
def test_a_demonstration_that_is_not_there_costs_robomimic_no_other(tmp_path, capsys, number):
    path = robomimic_file(tmp_path / "in/can.hdf5")
    with h5py.File(path, "a") as file:
        del file[f"data/demo_{number}"]
        file[f"data/demo_{number}"] = h5py.SoftLink("/nowhere")
    summary = imported(capsys, "robomimic", path, tmp_path / "out")
    assert (summary["episodes"], summary["skipped"]) == (2, 1)
    assert summary["set_aside"] == {f"in/can/demo_{number}": "it is no group of arrays"}


def test_a_first_demonstration_without_images_costs_no_other(tmp_path, capsys):
    path = libero_task(tmp_path / "in/open_it_demo.hdf5")
    with h5py.File(path, "a") as file:
        del file["data/demo_0/obs"]
    summary = imported(capsys, "libero", path, tmp_path / "out")
    assert (summary["episodes"], summary["skipped"]) == (1, 1)
    assert Dataset.open(tmp_path / "out").spec.cameras == ("agentview", "eye_in_hand")
    path = robomimic_file(tmp_path / "in/can.hdf5")
    with h5py.File(path, "a") as file:
        del file["data/demo_0/obs/agentview_image"]
    summary = imported(capsys, "robomimic", path, tmp_path / "out2")
    assert list(summary["set_aside"]) == ["in/can/demo_0"]


def test_images_of_many_forms_are_read(tmp_path):
    pictures = steps(3, 16, 16)
    forms = {
        "grey": pictures[..., 0],
        "one": pictures[..., :1],
        "four": np.concatenate([pictures, pictures[..., :1]], axis=-1),
        "real": pictures.astype(np.float64),
        "unit": pictures.astype(np.float32) / 255,
        "first": np.moveaxis(pictures, -1, 1),
    }
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        for name, array in forms.items():
            file[name] = array
        file["nan"] = np.full((2, 4, 4, 3), np.nan)
        file["wide"] = np.zeros((2, 8, 8, 7), np.uint8)
    for name in forms:
        read = np.stack(list(images(tmp_path / "a.hdf5", name, 0, 3)))
        np.testing.assert_array_equal(read, pictures)
    for name in ("nan", "wide", "nothing"):
        with pytest.raises(DataError):
            list(images(tmp_path / "a.hdf5", name, 0, 2))


def test_compressed_arrays_may_be_much_larger_than_their_bytes(tmp_path):
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file.create_dataset(
            "zeros", data=np.zeros((200, 128, 128, 3), np.uint8), compression="gzip", chunks=(50, 128, 128, 3)
        )
    with opened(tmp_path / "a.hdf5") as file:
        assert stored(file, "zeros", tmp_path / "a.hdf5").shape[0] == 200


@pytest.mark.parametrize(
    ("script", "reason"),
    [("while True: pass", "does not end"), ("import os; os.kill(os.getpid(), 11)", "ends the process")],
)
def test_files_on_which_the_library_hangs_or_crashes_are_set_aside(tmp_path, capsys, monkeypatch, script, reason):
    libero_task(tmp_path / "in/a_demo.hdf5", lengths=(3,))
    libero_task(tmp_path / "in/b_demo.hdf5", lengths=(3,))
    monkeypatch.setattr(hdf5, "PROBE_S", 8)
    monkeypatch.setattr(hdf5, "_PROBE", f"import sys\nif 'b_demo' in sys.argv[1]:\n    {script}")
    summary = imported(capsys, "libero", tmp_path / "in", tmp_path / "out")
    assert summary["episodes"] == 1
    assert reason in summary["set_aside"][str(tmp_path / "in/b_demo.hdf5")]
