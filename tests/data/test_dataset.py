import json
import pickle
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from amplify.data.dataset import Dataset, DatasetWriter
from amplify.errors import DataError
from amplify.video import read_video, write_video

from .episodes import LENGTHS, SPEC, VIDEO_SPEC, dataset, episode, frames, write

FRONT = "videos/observation.images.front/chunk-000/file-{:03d}.mp4"
ROWS = "data/chunk-000/file-{:03d}.parquet"
EPISODES = "meta/episodes/chunk-000/file-000.parquet"


def test_what_was_written_is_read(tmp_path):
    found = dataset(tmp_path / "d")
    assert found.spec == SPEC
    assert found.problems == ()
    assert [e.index for e in found.episodes] == [0, 1, 2, 3]
    for number, info in enumerate(found.episodes):
        made = episode(number)
        assert (info.length, info.instruction, info.info) == (LENGTHS[number], made.instruction, made.info)
        np.testing.assert_array_equal(found.actions(number), made.actions)
        np.testing.assert_array_equal(found.proprio(number), made.proprio)
        for camera in SPEC.cameras:
            difference = found.frames(number, camera).astype(int) - made.frames[camera]
            assert np.abs(difference).max() <= 3


def test_recordings_are_finer_than_previews(tmp_path):
    noisy = np.random.default_rng(0).integers(60, 200, (6, 32, 48, 1), dtype=np.uint8).repeat(3, axis=-1)
    made = episode(0, VIDEO_SPEC)
    writer = DatasetWriter(tmp_path / "d", VIDEO_SPEC)
    writer.write_episode("noise", type(made)(instruction="", frames={"front": noisy, "wrist": noisy}))
    writer.finalize(["noise"])
    write_video(tmp_path / "preview.mp4", noisy, 10)
    errors = [
        np.abs(read.astype(int) - noisy).mean()
        for read in (Dataset.open(tmp_path / "d").frames(0, "front"), read_video(tmp_path / "preview.mp4"))
    ]
    assert errors[0] < 0.6 * errors[1]


def test_video_only(tmp_path):
    found = dataset(tmp_path / "d", VIDEO_SPEC)
    assert found.spec == VIDEO_SPEC
    assert found.actions(0) is None
    assert found.proprio(0) is None
    assert found.scene(0) is None
    assert len(found.episodes) == 4


def test_clips_carry_the_scene(tmp_path):
    found = Dataset.open(write(tmp_path / "d", count=1, scene=True))
    clip = found.clip(0, "front")
    assert (clip.fps, clip.camera, len(clip.frames)) == (10.0, "front", LENGTHS[0])
    assert clip.scene.simulator == "toy"
    assert clip.scene.cameras["front"].turned
    assert clip.scene.body_position.shape == (LENGTHS[0], 4, 3)
    assert torch.equal(clip.scene.cameras["front"].fovy_deg, torch.full((LENGTHS[0],), 50.0))


def test_odd_frames_come_back_in_their_size(tmp_path):
    spec = VIDEO_SPEC.model_copy(update={"width": 47, "height": 33})
    assert dataset(tmp_path / "d", spec, count=1).frames(0, "wrist").shape == (LENGTHS[0], 33, 47, 3)


def test_a_dataset_travels_to_other_processes(tmp_path):
    found = pickle.loads(pickle.dumps(dataset(tmp_path / "d")))
    assert found.frames(1, "front").shape == (9, 32, 48, 3)


def test_fingerprints_tell_recordings_apart(tmp_path):
    found = dataset(tmp_path / "d")
    prints = {found.fingerprint(number) for number in range(4)}
    assert len(prints) == 4
    write_video(tmp_path / "d" / FRONT.format(1), frames(3, 1, LENGTHS[1], 64, 48), 10)
    assert Dataset.open(tmp_path / "d").fingerprint(1) not in prints


def break_video(root):
    (root / FRONT.format(1)).unlink()


def truncate_video(root):
    path = root / FRONT.format(1)
    path.write_bytes(path.read_bytes()[:-200])


def shorten_video(root):
    write_video(root / FRONT.format(1), frames(1, 0, LENGTHS[1] - 1), 10)


def lengthen_video(root):
    write_video(root / FRONT.format(1), frames(1, 0, LENGTHS[1] + 1), 10)


def poison(name):
    def change(root):
        table = pq.read_table(root / ROWS.format(1))
        values = np.stack(table[name].to_pylist()).astype(np.float32)
        values[3, 0] = np.nan
        column = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])
        pq.write_table(table.set_column(table.column_names.index(name), name, column), root / ROWS.format(1))

    return change


def drop_rows(root):
    pq.write_table(pq.read_table(root / ROWS.format(1))[:-2], root / ROWS.format(1))


def drop_file_of_rows(root):
    (root / ROWS.format(1)).unlink()


def garble_rows(root):
    (root / ROWS.format(1)).write_bytes(b"PAR1 not really")


def drop_actions(root):
    table = pq.read_table(root / ROWS.format(1))
    pq.write_table(table.drop_columns(["action"]), root / ROWS.format(1))


def drop_camera(root):
    table = pq.read_table(root / EPISODES)
    for name in ("chunk_index", "file_index", "from_timestamp"):
        key = f"videos/observation.images.wrist/{name}"
        values = table[key].to_pylist()
        values[1] = None
        table = table.set_column(table.column_names.index(key), key, pa.array(values))
    pq.write_table(table, root / EPISODES)


FAULTS = [
    (break_video, r"no such video.*file-001\.mp4"),
    (truncate_video, r"truncated video.*file-001\.mp4"),
    (shorten_video, "camera front: wrong frame count.*got: *8; allowed: *9"),
    (lengthen_video, "camera front: wrong frame count.*got: *10; allowed: *9"),
    (poison("action"), "'action' has values that are not finite"),
    (poison("observation.state"), "'observation.state' has values that are not finite"),
    (drop_rows, "wrong number of rows.*got: *7; allowed: *9"),
    (drop_file_of_rows, r"no such file of rows.*file-001\.parquet"),
    (garble_rows, r"damaged file of rows.*file-001\.parquet"),
    (drop_actions, "lacks columns.*action"),
    (drop_camera, "no video of camera wrist in this episode"),
]


@pytest.mark.parametrize(("fault", "reason"), FAULTS)
def test_a_broken_episode_is_named_and_set_aside(tmp_path, fault, reason):
    root = write(tmp_path / "d")
    fault(root)
    found = Dataset.open(root)
    assert [e.index for e in found.episodes] == [0, 2, 3]
    (problem,) = found.problems
    assert problem.episode_index == 1
    assert re.search(reason, problem.reason), problem.reason
    assert found.frames(2, "wrist").shape[0] == LENGTHS[2]
    with pytest.raises(DataError, match="no usable episode 1"):
        found.frames(1, "front")
    with pytest.raises(DataError, match="1 of 4 episodes"):
        Dataset.open(root, strict=True)


def test_video_learning_does_not_look_at_rows(tmp_path):
    root = write(tmp_path / "d")
    for number in range(4):
        (root / ROWS.format(number)).unlink()
    assert len(Dataset.open(root, columns=False).episodes) == 4
    with pytest.raises(DataError, match="4 of 4 episodes"):
        Dataset.open(root)


def test_a_video_that_breaks_on_decoding_is_named(tmp_path):
    root = write(tmp_path / "d")
    path = root / FRONT.format(0)
    content = bytearray(path.read_bytes())
    content[-600:] = bytes(600)
    path.write_bytes(content)
    found = Dataset.open(root)
    with pytest.raises(DataError, match=r"file-000\.mp4"):
        found.frames(0, "front")


def test_what_is_no_dataset_is_refused_with_a_remedy(tmp_path):
    with pytest.raises(DataError, match=r"no dataset at .*\n.*amplify record"):
        Dataset.open(tmp_path)
    root = write(tmp_path / "d")
    info = json.loads((root / "meta/info.json").read_text())
    for change, message in (
        ({"codebase_version": "v2.1"}, "another format version.*\n.*v2.1"),
        ({"features": {"state": {"dtype": "float32", "shape": [3]}}}, "no images in the dataset"),
        ({"features": {"image": {"dtype": "image", "shape": [3, 8, 8]}}}, "4 of 4 episodes.*\n.*lacks columns.*image"),
    ):
        (root / "meta/info.json").write_text(json.dumps(info | change))
        with pytest.raises(DataError, match=message):
            Dataset.open(root)
    (root / "meta/info.json").write_text("{")
    with pytest.raises(DataError, match="damaged file"):
        Dataset.open(root)
    (root / "meta/info.json").write_text(json.dumps(info))
    (root / EPISODES).write_text("nonsense")
    with pytest.raises(DataError, match="damaged file"):
        Dataset.open(root)
    (root / EPISODES).unlink()
    with pytest.raises(DataError, match="no table of episodes"):
        Dataset.open(root)


def test_unknown_camera(tmp_path):
    with pytest.raises(DataError, match="no camera 'frnot'"):
        dataset(tmp_path / "d", count=1).frames(0, "frnot")


def foreign(root, fps=30, lengths=(7, 4, 6)):
    """As other writers of the format do it: all episodes in one file each of rows and video, timestamps summed."""
    key, total = "observation.image", sum(lengths)
    pictures = np.concatenate([frames(number, 0, length) for number, length in enumerate(lengths)])
    write_video(root / f"videos/{key}/chunk-000/file-000.mp4", pictures, fps, gop=12)
    rng = np.random.default_rng(0)
    state, action = rng.normal(size=(total, 2)).astype(np.float32), rng.normal(size=(total, 2)).astype(np.float32)
    of_episode = np.repeat(np.arange(len(lengths)), lengths)
    lists = {name: pa.array(list(array), pa.list_(pa.float32())) for name, array in (("s", state), ("a", action))}
    columns = {"observation.state": lists["s"], "action": lists["a"], "episode_index": pa.array(of_episode)}
    (root / "data/chunk-000").mkdir(parents=True)
    pq.write_table(pa.table(columns), root / "data/chunk-000/file-000.parquet", row_group_size=lengths[0])
    starts = np.cumsum(lengths) - lengths
    seconds = [float(np.float32(sum([np.float32(1 / fps)] * int(start), np.float32(0)))) for start in starts]
    rows = {
        "episode_index": list(range(len(lengths))),
        "tasks": [["push the T"]] * len(lengths),
        "length": list(lengths),
        "data/chunk_index": [0] * len(lengths),
        "data/file_index": [0] * len(lengths),
        f"videos/{key}/chunk_index": [0] * len(lengths),
        f"videos/{key}/file_index": [0] * len(lengths),
        f"videos/{key}/from_timestamp": seconds,
        "stats/action/min": [[0.0, 0.0]] * len(lengths),
    }
    (root / "meta/episodes/chunk-000").mkdir(parents=True)
    pq.write_table(pa.table(rows), root / EPISODES)
    info = {
        "codebase_version": "v3.0",
        "fps": fps,
        "robot_type": None,
        "features": {
            key: {"dtype": "video", "shape": [32, 48, 3], "names": ["height", "width", "channel"]},
            "observation.state": {"dtype": "float32", "shape": [2], "names": {"motors": ["a", "b"]}},
            "action": {"dtype": "float32", "shape": [2], "names": None},
        },
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
    }
    (root / "meta/info.json").write_text(json.dumps(info))
    return root, pictures, state, action


def test_datasets_of_other_writers(tmp_path):
    root, _, state, action = foreign(tmp_path / "f")
    found = Dataset.open(root)
    assert found.spec.cameras == ("observation.image",)
    assert found.spec.proprio_names == ("a", "b")
    assert found.spec.action_names == ("0", "1")
    assert [e.length for e in found.episodes] == [7, 4, 6]
    assert found.episodes[0].instruction == "push the T"
    whole = read_video(root / "videos/observation.image/chunk-000/file-000.mp4")
    for number, (start, end) in enumerate(((0, 7), (7, 11), (11, 17))):
        np.testing.assert_array_equal(found.frames(number, "observation.image"), whole[start:end])
        np.testing.assert_array_equal(found.proprio(number), state[start:end])
        np.testing.assert_array_equal(found.actions(number), action[start:end])


def test_a_short_shared_video_costs_only_the_episodes_at_its_end(tmp_path):
    root, pictures, _, _ = foreign(tmp_path / "f")
    write_video(root / "videos/observation.image/chunk-000/file-000.mp4", pictures[:-1], 30)
    found = Dataset.open(root)
    assert [e.index for e in found.episodes] == [0, 1]
    assert [p.episode_index for p in found.problems] == [2]


def test_a_part_of_a_video(tmp_path):
    found = dataset(tmp_path)
    whole = found.frames(1, "wrist")
    np.testing.assert_array_equal(found.frames(1, "wrist", 3, 2), whole[3:5])
    np.testing.assert_array_equal(found.frames(1, "wrist", 4), whole[4:])
    assert found.frame_size("wrist") == whole.shape[1:3]


def test_all_columns_at_once_are_those_of_each_episode(tmp_path):
    for root in (foreign(tmp_path / "f")[0], write(tmp_path / "d", SPEC), write(tmp_path / "v", VIDEO_SPEC)):
        found = Dataset.open(root)
        seen = list(found.columns())
        assert sorted(index for index, _, _ in seen) == [episode.index for episode in found.episodes]
        for index, proprio, actions in seen:
            for ours, theirs in ((proprio, found.proprio(index)), (actions, found.actions(index))):
                assert (ours is None) == (theirs is None)
                assert ours is None or np.array_equal(ours, theirs)


def test_a_part_of_the_episodes_is_opened(tmp_path):
    root = write(tmp_path / "d")
    break_video(root)
    assert [e.index for e in Dataset.open(root, only={0, 1, 3}).episodes] == [0, 3]
    with pytest.raises(DataError):
        Dataset.open(root, only={1})
    none = Dataset.open(root, only={1}, allow_empty=True)
    assert none.episodes == ()
    assert [problem.episode_index for problem in none.problems] == [1]
