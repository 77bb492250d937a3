import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from amplify.data import files, writer
from amplify.data.dataset import Dataset, DatasetWriter
from amplify.errors import DataError

from .episodes import LENGTHS, SPEC, VIDEO_SPEC, episode, write

KEYS = [f"ep-{number}" for number in range(4)]


def contents(root):
    """Every file below a folder, videos and parquet included, byte by byte."""
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def staged(root):
    made = DatasetWriter(root, SPEC)
    for number in range(4):
        made.write_episode(KEYS[number], episode(number, scene=True))
    return made


def test_the_folder_is_that_of_the_format(tmp_path):
    root = write(tmp_path / "d")
    info = json.loads((root / "meta/info.json").read_text())
    assert info["codebase_version"] == "v3.0"
    assert (info["total_episodes"], info["total_frames"], info["total_tasks"]) == (4, sum(LENGTHS), 2)
    assert info["splits"] == {"train": "0:4"}
    assert info["features"]["action"] == {"dtype": "float32", "shape": [2], "names": ["dx", "grip"]}
    assert info["features"]["observation.images.front"]["shape"] == [32, 48, 3]
    assert not (root / ".staging").exists()
    rows = pq.read_table(root / "data/chunk-000/file-002.parquet")
    assert set(rows.column_names) == {
        *("observation.state", "action", "timestamp", "frame_index", "episode_index", "index", "task_index")
    }
    assert rows["index"].to_pylist() == list(range(15, 20))
    assert rows["timestamp"].to_pylist() == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert str(rows.schema.field("action").type) == "fixed_size_list<element: float>[2]"


def test_tasks_are_indexed_by_their_sentence(tmp_path):
    table = pq.read_table(write(tmp_path / "d") / "meta/tasks.parquet")
    assert json.loads(table.schema.metadata[b"pandas"])["index_columns"] == ["task"]
    assert table.to_pydict() == {"task_index": [0, 1], "task": ["open the drawer", "close the window"]}


def test_statistics_describe_all_rows(tmp_path):
    root = write(tmp_path / "d")
    stats = json.loads((root / "meta/stats.json").read_text())
    actions = np.concatenate([Dataset.open(root).actions(number) for number in range(4)])
    assert set(stats["action"]) == {"min", "max", "mean", "std", "count", "q01", "q10", "q50", "q90", "q99"}
    np.testing.assert_allclose(stats["action"]["mean"], actions.mean(0), rtol=1e-5)
    np.testing.assert_allclose(stats["action"]["std"], actions.std(0), rtol=1e-5)
    np.testing.assert_allclose(stats["action"]["max"], actions.max(0), rtol=1e-5)
    assert stats["action"]["count"] == [sum(LENGTHS)]
    image = stats["observation.images.front"]
    assert np.array(image["mean"]).shape == (3, 1, 1)
    assert 0 < image["min"][0][0][0] < image["mean"][0][0][0] < image["max"][0][0][0] < 1


def test_video_has_no_columns_of_a_robot(tmp_path):
    root = write(tmp_path / "d", VIDEO_SPEC)
    names = pq.read_schema(root / "data/chunk-000/file-000.parquet").names
    assert "action" not in names
    assert "observation.state" not in names
    assert "action" not in (root / "meta/info.json").read_text()


def test_staging_twice_changes_nothing_and_shows_what_is_done(tmp_path):
    made = DatasetWriter(tmp_path / "d", SPEC)
    assert made.staged() == frozenset()
    made.write_episode("ep-0", episode(0))
    before = contents(tmp_path / "d")
    made.write_episode("ep-0", episode(1))
    assert contents(tmp_path / "d") == before
    assert DatasetWriter(tmp_path / "d", SPEC).staged() == {"ep-0"}


def test_what_a_killed_process_left_half_written_is_not_staged(tmp_path):
    made = DatasetWriter(tmp_path / "d", SPEC)
    (made.staging / ".ep-0.123").mkdir()
    (made.staging / ".ep-0.123" / "record.json").write_text("{}")
    (made.staging / "ep-1").mkdir()
    assert made.staged() == frozenset()
    made.write_episode("ep-0", episode(0))
    made.finalize(["ep-0"])
    assert len(Dataset.open(tmp_path / "d").episodes) == 1


def test_the_order_of_keys_is_that_of_episodes_and_others_are_dropped(tmp_path):
    staged(tmp_path / "d").finalize(["ep-3", "ep-1"])
    found = Dataset.open(tmp_path / "d")
    assert [e.info["seed"] for e in found.episodes] == [3, 1]
    assert [e.length for e in found.episodes] == [LENGTHS[3], LENGTHS[1]]
    np.testing.assert_array_equal(found.actions(0), episode(3).actions)


class Killed(BaseException):
    """Stands for a signal: nothing catches it."""


@pytest.mark.parametrize("moment", [0, 1, 3, 7, 11, 15, 19, 23])
def test_finalize_killed_at_any_file_and_run_again_is_as_if_never_killed(tmp_path, monkeypatch, moment):
    staged(tmp_path / "calm").finalize(KEYS)
    made = staged(tmp_path / "killed")
    replace, calls = files.os.replace, []

    def dying(source, target):
        calls.append(target)
        if len(calls) > moment:
            raise Killed
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "replace", dying)
        try:
            made.finalize(KEYS)
        except Killed:
            with pytest.raises(DataError, match="interrupted recording again"):
                Dataset.open(tmp_path / "killed")
    again = DatasetWriter(tmp_path / "killed", SPEC)
    assert again.staged() == set(KEYS)
    again.finalize(KEYS)
    calm, killed = contents(tmp_path / "calm"), contents(tmp_path / "killed")
    skip = ".safetensors"  # scene states of the two recordings are random
    assert calm.keys() == killed.keys()
    assert all(calm[name] == killed[name] for name in calm if not name.endswith(skip))


def test_finalize_killed_while_it_removes_the_staging_folder(tmp_path, monkeypatch):
    made = staged(tmp_path / "d")

    def dying(path, **options):
        if path == made.staging:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(writer.shutil, "rmtree", dying)
        with pytest.raises(Killed):
            made.finalize(KEYS)
    assert len(Dataset.open(tmp_path / "d").episodes) == 4
    again = DatasetWriter(tmp_path / "d", SPEC)
    again.finalize(KEYS)
    assert not again.staging.exists()


def test_a_complete_dataset_takes_no_more(tmp_path):
    write(tmp_path / "d")
    again = DatasetWriter(tmp_path / "d", SPEC)
    assert again.staged() == set(KEYS)
    again.write_episode("ep-0", episode(0))
    again.finalize(KEYS)
    with pytest.raises(DataError, match="complete"):
        again.write_episode("ep-9", episode(0))
    with pytest.raises(DataError, match="complete"):
        again.finalize(KEYS[:2])


def test_other_settings_and_other_folders_are_refused(tmp_path):
    other = SPEC.model_copy(update={"fps": 20})
    DatasetWriter(tmp_path / "staged", SPEC)
    write(tmp_path / "done", count=1)
    for name in ("staged", "done"):
        with pytest.raises(DataError, match="other settings"):
            DatasetWriter(tmp_path / name, other)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("irreplaceable")
    with pytest.raises(DataError, match="not an empty folder"):
        DatasetWriter(tmp_path / "home", SPEC)


def test_unfit_episodes_are_refused(tmp_path):
    made = DatasetWriter(tmp_path / "d", SPEC)
    good = episode(0)
    values = {name: getattr(good, name) for name in ("instruction", "frames", "proprio", "actions")}
    nan = good.actions.copy()
    nan[2, 1] = np.nan
    for change, message in (
        ({"frames": {"front": good.frames["front"]}}, "other cameras"),
        ({"frames": {name: video[:, :16] for name, video in good.frames.items()}}, "wrong shape"),
        ({"actions": None}, "disagree"),
        ({"actions": good.actions[:, :1]}, "wrong shape of actions"),
        ({"proprio": good.proprio[:, :2]}, "wrong shape of proprioception"),
        ({"actions": nan}, "not finite"),
    ):
        with pytest.raises(DataError, match=message):
            made.write_episode("ep-0", type(good)(**{**values, **change}))
    with pytest.raises(DataError, match="file name"):
        made.write_episode("../ep", good)
    with pytest.raises(DataError, match="not staged: ep-0"):
        made.finalize(["ep-0"])
    assert [p.name for p in made.staging.iterdir()] == ["spec.json"]
