import json

import numpy as np
import pytest

from amplify.cli import run
from amplify.data.dataset import Dataset

from .episodes import SPEC, write
from .sources import lerobot_v3_images, lerobot_v21, numbers


def imported(capsys, source, out, *options):
    arguments = ["import", "lerobot", str(source), "--workers", "0", "--json", *options]
    assert run([*arguments, *(["--out", str(out)] if out else [])]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.mark.parametrize("images", [False, True])
@pytest.mark.parametrize("version", ["v2.0", "v2.1"])
def test_the_layout_before_v3(tmp_path, capsys, images, version):
    lerobot_v21(tmp_path / "in", images=images, version=version)
    summary = imported(capsys, tmp_path / "in", tmp_path / "out")
    assert (summary["episodes"], summary["frames"]) == (3, 32)
    found = Dataset.open(tmp_path / "out")
    assert found.spec.cameras == ("top", "wrist_cam")
    assert (found.spec.size("top"), found.spec.size("wrist_cam")) == ((48, 32), (64, 48))
    assert (found.spec.proprio_names, found.spec.action_names) == (("a", "b"), ("dx", "grip"))
    assert (found.spec.fps, found.spec.robot_type) == (10, "so100")
    assert [e.instruction for e in found.episodes] == ["open it", "close it", "open it"]
    for episode in found.episodes:
        expected = list(range(episode.index, episode.index + episode.length))
        assert numbers(found.frames(episode.index, "top")) == expected
        assert numbers(found.frames(episode.index, "wrist_cam")) == expected
        values = episode.index + np.arange(episode.length) / 10
        np.testing.assert_allclose(found.actions(episode.index)[:, 1], values, rtol=1e-6)
        np.testing.assert_allclose(found.proprio(episode.index)[:, 0], values + 1, rtol=1e-6)


def test_v3_is_used_in_place_unless_something_changes(tmp_path, capsys):
    root = write(tmp_path / "in")
    summary = imported(capsys, root, None)
    assert summary["dataset"] == str(root)
    assert "nothing was written" in summary["note"]
    assert run(["import", "lerobot", str(root), "--episodes", "0"]) == 2
    assert "--out is needed" in capsys.readouterr().err
    imported(capsys, root, tmp_path / "copy", "--rewrite")
    found, source = Dataset.open(tmp_path / "copy"), Dataset.open(root)
    assert found.spec == SPEC
    for number in range(4):
        np.testing.assert_array_equal(found.actions(number), source.actions(number))
        assert np.abs(found.frames(number, "wrist").astype(int) - source.frames(number, "wrist")).max() <= 3


def test_a_part_of_it(tmp_path, capsys):
    root = write(tmp_path / "in")
    imported(capsys, root, tmp_path / "a", "--episodes", "1:3,0")
    assert [e.info["source_episode"] for e in Dataset.open(tmp_path / "a").episodes] == [0, 1, 2]
    imported(capsys, root, tmp_path / "b", "--tasks", "close*")
    assert {e.instruction for e in Dataset.open(tmp_path / "b").episodes} == {"close the window"}
    imported(capsys, root, tmp_path / "c", "--cameras", "wrist", "--no-actions", "--size", "16")
    found = Dataset.open(tmp_path / "c")
    assert (found.spec.cameras, found.spec.size("wrist"), found.spec.action_names) == (("wrist",), (16, 16), None)
    assert found.frames(0, "wrist").shape[1:] == (16, 16, 3)
    imported(capsys, root, tmp_path / "d", "--limit", "1")
    assert len(Dataset.open(tmp_path / "d").episodes) == 1


def test_features_can_be_named(tmp_path, capsys):
    root = write(tmp_path / "in")
    imported(capsys, root, tmp_path / "out", "--state", "action", "observation.state", "--action", "observation.state")
    found, source = Dataset.open(tmp_path / "out"), Dataset.open(root)
    assert found.spec.proprio_names == ("dx", "grip", "x", "y", "z")
    np.testing.assert_array_equal(found.proprio(0), np.hstack([source.actions(0), source.proprio(0)]))
    np.testing.assert_array_equal(found.actions(0), source.proprio(0))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--cameras", "writs"], "did you mean 'wrist'"),
        (["--tasks", "open the drawr"], "did you mean 'open the drawer'"),
        (["--action", "actoin"], "did you mean 'action'"),
        (["--episodes", "7"], "no such episodes"),
        (["--episodes", "a"], "no list of episodes"),
        (["--episodes", "0", "--tasks", "close*"], "no usable episode"),
    ],
)
def test_mistakes_get_one_clear_error(tmp_path, capsys, options, said):
    root = write(tmp_path / "in")
    assert run(["import", "lerobot", str(root), "--out", str(tmp_path / "out"), *options]) in (1, 2)
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_v3_with_images_in_its_rows(tmp_path, capsys):
    root = lerobot_v3_images(tmp_path / "in")
    found = Dataset.open(root)
    assert (found.spec.cameras, found.spec.size("top")) == (("top",), (48, 32))
    assert numbers(found.frames(1, "top")) == [1, 2, 3]
    assert numbers(found.frames(0, "top", 2, 2)) == [2, 3]
    assert numbers(np.stack(list(found.stream(0, "top")))) == [0, 1, 2, 3, 4]
    assert len({found.fingerprint(index) for index in range(2)}) == 2
    assert len(Dataset.open(root, columns=False).episodes) == 2
    imported(capsys, root, tmp_path / "out", "--episodes", "1")
    assert numbers(Dataset.open(tmp_path / "out").frames(0, "top")) == [1, 2, 3]


def test_sources_without_actions_stay_without(tmp_path, capsys):
    lerobot_v21(tmp_path / "in", actions=False)
    imported(capsys, tmp_path / "in", tmp_path / "out")
    assert "action" not in json.loads((tmp_path / "out/meta/info.json").read_text())["features"]


def break_video(root):
    path = root / "videos/chunk-000/wrist cam/episode_000001.mp4"
    path.write_bytes(path.read_bytes()[:-300])


def break_rows(root):
    (root / "data/chunk-000/episode_000001.parquet").write_bytes(b"PAR1")


def double(root):
    path = root / "meta/episodes.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, lines[1]]) + "\n")


def lose_task(root):
    path = root / "meta/episodes.jsonl"
    path.write_text(path.read_text().replace('"close it"', "9"))


def lengthen(root):
    path = root / "meta/episodes.jsonl"
    path.write_text(path.read_text().replace('"length": 7', '"length": 1000000000'))


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (break_video, "truncated video"),
        (break_rows, "damaged file of rows"),
        (double, "several episodes have the number 1"),
        (lose_task, "number 9 is not in"),
        (lengthen, "wrong frame count"),
    ],
)
def test_a_broken_episode_is_named_and_set_aside(tmp_path, capsys, fault, reason):
    fault(lerobot_v21(tmp_path / "in"))
    summary = imported(capsys, tmp_path / "in", tmp_path / "out")
    assert (summary["episodes"], summary["skipped"]) == (2, 1)
    assert reason in summary["set_aside"]["episode 1"]
    assert [e.info["source_episode"] for e in Dataset.open(tmp_path / "out").episodes] == [0, 2]
    assert run(["import", "lerobot", str(tmp_path / "in"), "--out", str(tmp_path / "out2"), "--strict"]) == 1


def test_what_is_no_dataset(tmp_path, capsys):
    assert run(["import", "lerobot", str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    assert "no dataset at" in capsys.readouterr().err
    root = lerobot_v21(tmp_path / "in", version="v1.6")
    assert run(["import", "lerobot", str(root), "--out", str(tmp_path / "out")]) == 1
    assert "v2.0, v2.1, v3.0" in capsys.readouterr().err
