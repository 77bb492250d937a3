import json

import h5py
import numpy as np
import pytest
import torch

from amplify.data.importers.hdf5 import array, opened
from amplify.data.importers.libero import cameras, demonstrations, read_demonstration, read_episodes, sentence
from amplify.data.importers.reference_tracks import read_tracks, track_views
from amplify.errors import DataError
from amplify.tracks.queries import column_order, uniform_grid

LENGTHS = {0: 4, 2: 3, 10: 5}


def write_task(path, *, lengths=None, about=None, cut=0):
    """A task's file; the top row of a recorded (upright) image is brighter by 100."""
    rng = np.random.default_rng(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for number, length in (lengths or LENGTHS).items():
            group = file.create_group(f"data/demo_{number}")
            group["actions"] = rng.normal(size=(length, 7))
            for i, view in enumerate(("eye_in_hand", "agentview")):
                upright = np.full((length, 6, 8, 3), 10 * i + number, dtype=np.uint8)
                upright[:, 0] += 100
                group[f"obs/{view}_rgb"] = upright[:, ::-1]
            group["obs/joint_states"] = rng.normal(size=(length - cut, 7))
            group["obs/gripper_states"] = rng.normal(size=(length, 2))
        file["data"].attrs.update(about or {})
    return path


def test_demonstrations_are_read_upright_and_in_order(tmp_path):
    path = write_task(tmp_path / "libero_goal" / "open_the_top_drawer_demo.hdf5")
    found = list(read_episodes(tmp_path))
    assert [(demo.number, demo.length) for demo, _ in found] == list(LENGTHS.items())
    demo, episode = found[1]
    assert cameras(demo) == ("agentview", "eye_in_hand")
    assert (demo.suite, demo.task, demo.key) == ("libero_goal", "open_the_top_drawer", "data/demo_2")
    assert episode.instruction == "open the top drawer"
    assert episode.frames["agentview"][0, 0, 0, 0] == 112
    assert episode.frames["agentview"][0, 1, 0, 0] == 12
    with h5py.File(path) as file:
        group = file["data/demo_2"]
        assert np.array_equal(episode.proprio[:, :7], group["obs/joint_states"][()].astype(np.float32))
        assert np.array_equal(episode.proprio[:, 7:], group["obs/gripper_states"][()].astype(np.float32))
        assert np.array_equal(episode.actions, group["actions"][()].astype(np.float32))
    assert episode.info == {"suite": "libero_goal", "task": "open_the_top_drawer", "demo": 2}
    assert list(read_demonstration(demo, ("eye_in_hand",)).frames) == ["eye_in_hand"]


def test_what_the_file_says_of_itself_counts(tmp_path):
    about = {
        "macros_image_convention": "opencv",
        "problem_info": json.dumps({"language_instruction": '"Open it"'}),
    }
    path = write_task(tmp_path / "x_demo.hdf5", about=about)
    _, episode = next(read_episodes(path))
    assert episode.instruction == "Open it"
    assert episode.frames["agentview"][0, -1, 0, 0] == 110


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("KITCHEN_SCENE3_turn_on_the_stove", "turn on the stove"),
        ("STUDY_SCENE10_pick_up_the_book", "pick up the book"),
        ("put_the_bowl_on_the_plate", "put the bowl on the plate"),
    ],
)
def test_sentences_of_names(task, said):
    assert sentence(task) == said


def test_broken_demonstrations_are_named(tmp_path):
    (tmp_path / "text_demo.hdf5").write_text("no HDF5")
    with pytest.raises(DataError, match="not an HDF5 file"):
        list(read_episodes(tmp_path))
    with h5py.File(tmp_path / "other_demo.hdf5", "w") as file:
        file["data/episode"] = 1
    with pytest.raises(DataError, match="not in LIBERO's layout"):
        demonstrations(tmp_path / "other_demo.hdf5")
    uneven = write_task(tmp_path / "uneven_demo.hdf5", cut=1)
    with pytest.raises(DataError, match="different lengths"):
        list(read_episodes(uneven))
    whole = write_task(tmp_path / "whole_demo.hdf5")
    with pytest.raises(DataError, match=r"lacks .*obs/wrist_rgb"):
        read_demonstration(demonstrations(whole)[0], ("wrist",))
    with pytest.raises(DataError, match="no demonstrations"):
        list(read_episodes(tmp_path / "nothing here"))


def write_tracks(path, side=3, frames=5, horizon=4, size=(16, 8), vis_frames=None):
    """Every point at its place of the grid, moving a pixel to the right a frame in view a; NaN at (2, 1, 4) there."""
    width, height = size
    x = (np.arange(side) + 0.5) * width / side - 0.5
    y = (np.arange(side) + 0.5) * height / side - 0.5
    grid = np.array([(x[i], y[j]) for i in range(side) for j in range(side)])
    still = np.broadcast_to(grid, (frames, horizon, side * side, 2)).astype(np.float32)
    moving = still + np.arange(horizon, dtype=np.float32)[None, :, None, None] * [1, 0]
    moving[2, 1, 4] = np.nan
    with h5py.File(path, "w") as file:
        for view, points in (("a", moving), ("b", still)):
            file[f"root/{view}/tracks"] = points.astype(np.float32)
            file[f"root/{view}/vis"] = np.ones((vis_frames or frames, horizon, side * side), dtype=np.float32)
    return path


def test_tracks_become_windows_in_our_coordinates_and_order(tmp_path):
    stored = read_tracks(write_tracks(tmp_path / "demo_0.hdf5"))
    assert track_views(tmp_path / "demo_0.hdf5") == ("a", "b")
    windows = stored.windows((16, 8))
    assert windows.points.shape == (5, 2, 4, 9, 2)
    torch.testing.assert_close(windows.points[0, 1, 0], uniform_grid(3))
    torch.testing.assert_close(windows.velocities[0, 0], torch.tensor([2 / 16, 0.0]).expand(3, 9, 2))
    assert windows.valid[:, 0].tolist() == [[True] * min(4, 5 - t) + [False] * max(0, t - 1) for t in range(5)]
    assert not windows.visible[~windows.valid].any()


def test_a_lost_point_stays_where_it_was_and_is_not_visible(tmp_path):
    windows = read_tracks(write_tracks(tmp_path / "demo_0.hdf5"), ("a",)).windows((16, 8))
    lost = int((column_order(3) == 4).nonzero())
    assert windows.points.isfinite().all()
    assert windows.visible[2, 0, :, lost].tolist() == [True, False, True, False]
    torch.testing.assert_close(windows.points[2, 0, 1, lost], windows.points[2, 0, 0, lost])


def test_broken_tracks_are_named(tmp_path):
    with pytest.raises(DataError, match="do not fit together"):
        read_tracks(write_tracks(tmp_path / "uneven.hdf5", vis_frames=4))
    with pytest.raises(DataError, match=r"lacks /root/c/tracks"):
        read_tracks(write_tracks(tmp_path / "views.hdf5"), ("c",))
    with h5py.File(tmp_path / "empty.hdf5", "w"):
        pass
    with pytest.raises(DataError, match="holds no tracks"):
        read_tracks(tmp_path / "empty.hdf5")


def test_column_order_is_its_own_inverse():
    order = column_order(4)
    assert torch.equal(order[order], torch.arange(16))
    assert order[1] == 4


def test_a_damaged_array_is_named(tmp_path):
    path = tmp_path / "whole_demo.hdf5"
    with h5py.File(path, "w") as file:
        noise = np.random.default_rng(0).integers(0, 256, size=4096, dtype=np.uint8)
        file.create_dataset("noise", data=noise, compression="gzip")
        chunk = file["noise"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset : chunk.byte_offset + 64] = bytes(64)
    path.write_bytes(content)
    with opened(path) as file, pytest.raises(DataError, match=r"/noise cannot be read(.|\n)*copy it again"):
        array(file, "noise", path)
