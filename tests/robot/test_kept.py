"""Episodes that were kept without torch become the dataset that a recording would have been."""

import json

import numpy as np
import pytest
from amplify_client.realtime import ArmExpert, EpisodeFolder, KinematicArm, LoopConfig, run_robot

from amplify.cli import run as cli
from amplify.data.dataset import Dataset
from amplify.robot.recorder import Recorder

NAMES = {"action_names": KinematicArm.action_names, "state_names": KinematicArm.state_names, "rate_hz": 50.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two episodes, kept and recorded at the same time."""
    root = tmp_path_factory.mktemp("kept")
    kept = EpisodeFolder(root / "kept", robot_type="toy", **NAMES)
    recorder = Recorder(root / "recorded", robot_type="toy", **NAMES)
    config = LoopConfig(rate_hz=50.0, max_steps=6)
    run_robot(KinematicArm(), ArmExpert(), "reach", config, seeds=[4, 5], observers=[kept, recorder])
    recorder.finish()
    return root


def imported(folder, out, *more):
    return cli(["import", "robot", str(folder), "--out", str(out), "--json", *more])


def test_the_same_dataset_as_a_recording(folder, tmp_path, capsys):
    assert imported(folder / "kept", tmp_path / "data") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["episodes"] == 2
    ours, theirs = Dataset.open(tmp_path / "data", strict=True), Dataset.open(folder / "recorded", strict=True)
    assert ours.spec == theirs.spec
    assert [(e.length, e.instruction, e.info) for e in ours.episodes] == [
        (e.length, e.instruction, e.info) for e in theirs.episodes
    ]
    for index in (0, 1):
        assert np.array_equal(ours.actions(index), theirs.actions(index))
        assert np.array_equal(ours.proprio(index), theirs.proprio(index))
        assert np.array_equal(ours.frames(index, "image"), theirs.frames(index, "image"))


def test_an_interrupted_episode_leaves_no_file(folder, tmp_path):
    kept = EpisodeFolder(tmp_path / "kept", **NAMES)

    class Breaking(KinematicArm):
        def act(self, action):
            raise OSError("no such motor")

    with pytest.raises(OSError, match="no such motor"):
        run_robot(Breaking(), ArmExpert(), "reach", LoopConfig(rate_hz=50.0), observers=[kept])
    assert list((tmp_path / "kept").iterdir()) == []


def test_files_that_cannot_be_used_are_set_aside(folder, tmp_path, capsys):
    kept = tmp_path / "kept"
    kept.mkdir()
    whole = (folder / "kept" / "episode-000004.npz").read_bytes()
    (kept / "episode-000004.npz").write_bytes(whole)
    (kept / "episode-000005.npz").write_bytes(whole[:3000])
    np.savez(kept / "episode-000006.npz", a=np.zeros(3))
    np.savez(kept / "episode-000007.npz", evil=np.array([None]))
    with np.load(kept / "episode-000004.npz") as file:
        short = {**{name: file[name] for name in file.files}, "action": file["action"][:2], "seed": np.array(8)}
    np.savez(kept / "episode-000008.npz", **short)
    assert imported(kept, tmp_path / "data") == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["episodes"] == 1
    (kept / "episode-000003.npz").write_bytes(b"")
    assert imported(kept, tmp_path / "again") == 0, "the first of them is no exception"
    capsys.readouterr()
    assert sorted(found["set_aside"]) == [f"episode-00000{n}.npz" for n in (5, 6, 7, 8)]
    assert "damaged" in found["set_aside"]["episode-000007.npz"]
    assert imported(kept, tmp_path / "strict", "--strict") == 1
    assert "set aside" in capsys.readouterr().err


def test_bad_usage(folder, tmp_path, capsys):
    assert imported(tmp_path, tmp_path / "data") == 1
    assert "no episodes in" in capsys.readouterr().err
    (tmp_path / "episode-000000.npz").write_bytes(b"\x80\x04.")
    assert imported(tmp_path, tmp_path / "data") == 1
    assert imported(folder / "kept", tmp_path / "none", "--keep", "success") == 1
    assert "it ended with: step limit" in capsys.readouterr().err
