import os

import pytest
import torch

from amplify import cli
from amplify.data.dataset import Dataset
from amplify.data.extract import encode_dataset, track_dataset
from amplify.data.sidecar import episode_path, read_episode, read_text
from amplify.data.track_store import TrackStore
from amplify.errors import DataError
from amplify.tracks.queries import uniform_grid

from .episodes import LENGTHS, VIDEO_SPEC, dataset, write
from .sidecars import FEATURES, GRID, HORIZON, TRACKS, Drift, Grey, Letters, Lost


@pytest.fixture
def found(tmp_path):
    return dataset(tmp_path / "d", VIDEO_SPEC)


def track(found, tracker=None, workers=0):
    return track_dataset(found, tracker or Drift(), grid=GRID, horizon=HORIZON, workers=workers)


def test_tracks_of_every_start_frame_and_camera(found):
    summary = track(found)
    assert summary["sidecar"] == TRACKS
    assert (summary["episodes"], summary["already_done"], summary["set_aside"]) == (4, 0, {})
    assert summary["frames"] == 2 * sum(LENGTHS)
    assert summary["frames_per_second"] == pytest.approx(summary["frames"] / summary["seconds"])
    store = TrackStore(found, TRACKS)
    tracks, points = store.episode(1), store.episode(1).points
    assert points.shape == (LENGTHS[1], 2, HORIZON, GRID**2, 2)
    assert store.header(1).settings == {"step": 0.01, "grid": GRID, "horizon": HORIZON}
    torch.testing.assert_close(points[0, 1, 0], uniform_grid(GRID), atol=1e-3, rtol=0)
    torch.testing.assert_close(points[0, 0, 3, :, 0], uniform_grid(GRID)[:, 0] + 0.03, atol=1e-3, rtol=0)
    down = points[:-1, :, 1, 0, 1] - points[:-1, :, 0, 0, 1]
    torch.testing.assert_close(1e4 * (down[:, 1] - down[:, 0]), torch.full((LENGTHS[1] - 1,), 20.0), atol=5, rtol=0)
    assert tracks.error_px[0, :, 0, 0].tolist() == [0.5, 0.5]  # 0.6 and 0.8, rounded down
    assert tracks.visible[:, 0, 1, 0].tolist() == [True] * (LENGTHS[1] - 1) + [False]
    assert torch.equal(tracks.valid, tracks.visible[..., 0])


def test_uncompressed_tracks_are_the_same_and_are_stored_anew(found):
    track(found)
    small = [episode_path(found.root, TRACKS, number).stat().st_size for number in range(4)]
    tracks = [TrackStore(found, TRACKS).episode(number) for number in range(4)]
    summary = track_dataset(found, Drift(), grid=GRID, horizon=HORIZON, workers=0, compression="none")
    assert summary["already_done"] == 0
    for number in range(4):
        again = TrackStore(found, TRACKS).episode(number)
        assert torch.equal(again.points, tracks[number].points)
        assert torch.equal(again.visible, tracks[number].visible)
        assert torch.equal(again.error_px, tracks[number].error_px)
    assert small != [episode_path(found.root, TRACKS, number).stat().st_size for number in range(4)]


def test_done_episodes_are_not_done_again(found):
    track(found)
    stamps = [os.stat(episode_path(found.root, TRACKS, number)).st_mtime_ns for number in range(4)]
    episode_path(found.root, TRACKS, 2).unlink()
    summary = track(found)
    assert (summary["already_done"], summary["frames"]) == (3, 2 * LENGTHS[2])
    for number in (0, 1, 3):
        assert os.stat(episode_path(found.root, TRACKS, number)).st_mtime_ns == stamps[number]


def test_other_settings_or_damage_are_done_again(found):
    track(found)
    path = episode_path(found.root, TRACKS, 0)
    path.write_bytes(path.read_bytes()[:-10])
    assert track(found)["already_done"] == 3
    assert track(found, Drift(step=0.02))["already_done"] == 0


def test_an_episode_that_fails_is_set_aside(found):
    summary = track(found, Drift(refuse_length=LENGTHS[1]))
    assert summary["set_aside"] == {"episode 1": f"cannot track {LENGTHS[1]} frames"}
    assert summary["episodes"] == 3
    assert track(found)["set_aside"] == {}


def test_problems_of_the_dataset_are_in_the_summary(tmp_path):
    root = write(tmp_path / "d", VIDEO_SPEC)
    (root / "videos/observation.images.front/chunk-000/file-003.mp4").unlink()
    summary = track(Dataset.open(root))
    assert list(summary["set_aside"]) == ["episode 3"]
    assert summary["episodes"] == 3


def test_positions_that_are_no_numbers_are_refused(found):
    with pytest.raises(DataError, match=r"no episode of .* could be used(.|\n)*not finite numbers"):
        track(found, Lost())


def test_a_window_needs_two_frames(found):
    with pytest.raises(DataError, match="two frames"):
        track_dataset(found, Drift(), grid=2, horizon=1)


def test_processes_make_the_same_files(found, tmp_path):
    track(found)
    one = {n: episode_path(found.root, TRACKS, n).read_bytes() for n in range(4)}
    for number in range(4):
        episode_path(found.root, TRACKS, number).unlink()
    assert track(found, workers=2)["frames"] == 2 * sum(LENGTHS)
    assert {n: episode_path(found.root, TRACKS, n).read_bytes() for n in range(4)} == one


def test_features_of_every_frame_and_sentence(found):
    summary = encode_dataset(found, Grey(), Letters(), workers=0)
    assert (summary["sidecar"], summary["text"], summary["instructions"]) == (FEATURES, "text-minilm", 2)
    vision = read_episode(found, FEATURES, 2).tensors["vision"].float()
    assert vision.shape == (LENGTHS[2], 2, 2, 3)
    grey = torch.from_numpy(found.frames(2, "wrist")).float().mean(dim=(1, 2, 3))
    torch.testing.assert_close(vision[:, 1, 0, 0], grey, atol=0.1, rtol=0)
    torch.testing.assert_close(vision[:, 1, 1, 2], 2 * grey, atol=0.2, rtol=0)
    text = read_text(found.root, "text-minilm", ["open the drawer", "close the window"])
    assert text[:, 0].tolist() == [[15, 1], [16, 2]]


def test_features_are_not_computed_again_unless_the_encoder_changed(found):
    encode_dataset(found, Grey(), Letters(), workers=0)
    assert encode_dataset(found, Grey(), Letters(), workers=0)["frames"] == 0
    assert encode_dataset(found, Grey(gain=2), Letters(), workers=0)["frames"] == 2 * sum(LENGTHS)


def test_the_command_tracks_with_flow(tmp_path, capsys):
    root = write(tmp_path / "d", VIDEO_SPEC, count=1)
    assert cli.run(["track", str(root), "--grid", "2", "--horizon", "3", "--workers", "0", "--json"]) == 0
    assert '"sidecar": "tracks-flow-2x2-h3"' in capsys.readouterr().out
    assert TrackStore(Dataset.open(root), "tracks-flow-2x2-h3").episode(0).points.shape[2:] == (3, 4, 2)


def test_the_command_refuses_what_it_does_not_know(tmp_path, capsys):
    root = write(tmp_path / "d", VIDEO_SPEC, count=2)
    assert cli.run(["track", str(root), "--tracker", "flwo"]) == 2
    assert "did you mean 'flow'?" in capsys.readouterr().err
    assert cli.run(["encode", str(root), "--vision", "efficientnet"]) == 2
    assert "efficientnet-lite0" in capsys.readouterr().err
    (root / "videos/observation.images.front/chunk-000/file-001.mp4").write_bytes(b"")
    assert cli.run(["track", str(root), "--grid", "2", "--strict"]) == 1
    assert "file-001.mp4" in capsys.readouterr().err


def test_features_that_half_precision_cannot_hold_are_refused(found):
    with pytest.raises(DataError, match=r"no episode of .* could be used(.|\n)*half precision"):
        encode_dataset(found, Grey(gain=1e4), Letters(), workers=0)
