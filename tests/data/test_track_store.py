import pickle

import numpy as np
import pytest
import torch

from amplify.coords import EVALUATION_SIZE_PX, displacements_to_pixels
from amplify.data.dataset import Dataset
from amplify.data.sidecar import Header, episode_path, read_episode
from amplify.data.sidecar_files import FeatureStore
from amplify.data.track_codec import ERROR_LEVELS_PX, compressed, decompressed, pack, unpack
from amplify.data.track_store import TrackStore, write_tracks
from amplify.errors import SidecarError
from amplify.tokens.weights import agreement
from amplify.tracks.queries import uniform_grid
from amplify.types import TrackWindow

from .episodes import LENGTHS, VIDEO_SPEC, dataset
from .sidecars import FEATURES, GRID, TRACKS, Drift, extract


def windows(count=6, views=2, horizon=16, grid=5, *, placed=False, errors=True, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (count, views, horizon, grid**2)
    steps = torch.randn(*shape, 2, generator=generator) * 0.05
    steps[:, :, :, 1::3] = 0
    if not placed:
        steps[:, :, 0] = 0
    error_px = torch.rand(shape, generator=generator).cumsum(2) * 0.4 if errors else None
    return TrackWindow(
        points=uniform_grid(grid) + steps.cumsum(2),
        visible=torch.rand(shape, generator=generator) > 0.3,
        valid=torch.ones(shape[:3], dtype=torch.bool),
        error_px=error_px,
    )


def again(made, grid=5, compression="zstd"):
    layout, rows = pack(made, grid=grid, compression=compression)
    if compression == "zstd":
        rows = decompressed(layout, [compressed(layout, row) for row in rows], source="here")
    return layout, unpack(layout, rows)


@pytest.mark.parametrize("compression", ["zstd", "none"])
@pytest.mark.parametrize("placed", [False, True])
@pytest.mark.parametrize("errors", [False, True])
@pytest.mark.parametrize(("views", "horizon", "grid"), [(1, 2, 1), (2, 16, 5), (3, 7, 4)])
def test_what_is_kept_of_a_window(compression, placed, errors, views, horizon, grid):
    made = windows(views=views, horizon=horizon, grid=grid, placed=placed, errors=errors)
    layout, (points, visible, error_px) = again(made, grid, compression)
    assert layout.placed == placed
    off_px = displacements_to_pixels(points - made.points, EVALUATION_SIZE_PX)
    assert off_px.abs().max() <= 1 / 128 + 1e-5
    assert torch.equal(visible, made.visible)
    if not errors:
        assert error_px is None
        return
    assert set(error_px.unique().tolist()) <= set(ERROR_LEVELS_PX)
    for level in ERROR_LEVELS_PX[1:]:
        assert torch.equal(error_px < level, made.error_px < level)


def test_weights_by_the_trackers_error_are_exact_at_the_levels():
    made = windows()
    _, (points, visible, error_px) = again(made)
    kept = TrackWindow(points=points, visible=visible, valid=made.valid, error_px=error_px)
    for level in ERROR_LEVELS_PX[1:]:
        assert torch.equal(agreement(kept, level, 0.3), agreement(made, level, 0.3))
        assert 0.3 in agreement(made, level, 0.3)


def test_a_point_at_rest_stays_exactly_where_it_is():
    _, (points, _, _) = again(windows())
    assert torch.equal(points[:, :, :, 1], uniform_grid(5)[1].expand_as(points[:, :, :, 1]))


def test_points_far_outside_are_held_four_frames_away():
    made = windows(grid=1, horizon=3, errors=False)
    made.points[:, :, 2] += 40
    _, (points, _, _) = again(made, 1)
    assert points[:, :, 2].min() == pytest.approx(8, abs=0.01)


def test_a_window_of_the_papers_size_is_at_most_27_kb():
    layout, rows = pack(windows(count=1, views=1, grid=20), grid=20, compression="none")
    assert layout.window_bytes == rows.shape[1] == 26_400


@pytest.fixture
def found(tmp_path):
    return extract(dataset(tmp_path / "d", VIDEO_SPEC))


def test_any_windows_in_any_order(found):
    store = TrackStore(found, TRACKS)
    episodes = {n: Drift().track(found.clip(n, "wrist"), uniform_grid(GRID), horizon=4) for n in range(4)}
    numbers, starts = np.array([3, 0, 3, 1, 2]), np.array([6, 2, 0, 8, 4])
    batch = store.read(numbers, starts)
    for row, (number, start) in enumerate(zip(numbers, starts)):
        truth = episodes[number]
        torch.testing.assert_close(batch.points[row, 1], truth.points[start, 0], atol=2e-4, rtol=0)
        assert torch.equal(batch.visible[row, 1], truth.visible[start, 0])
        assert torch.equal(batch.valid[row, 1], truth.valid[start, 0])


def test_episodes_stored_in_several_ways_mix(found):
    store = TrackStore(found, TRACKS)
    before = store.read(np.array([0, 1, 2, 1]), np.array([1, 2, 3, 0]))
    write_tracks(
        episode_path(found.root, TRACKS, 1), store.header(1), TrackStore(found, TRACKS).episode(1), compression="none"
    )
    after = store.read(np.array([0, 1, 2, 1]), np.array([1, 2, 3, 0]))
    assert torch.equal(before.points, after.points)
    assert torch.equal(before.visible, after.visible)
    assert torch.equal(before.error_px, after.error_px)


def test_a_file_that_is_replaced_is_checked_again(found):
    store = TrackStore(found, TRACKS)
    store.read(np.array([0]), np.array([0]))
    store.files.close()
    header = store.header(0).model_copy(update={"version": "2"})
    write_tracks(episode_path(found.root, TRACKS, 0), header, TrackStore(found, TRACKS).episode(0))
    with pytest.raises(SidecarError, match="made in two ways"):
        store.read(np.array([0]), np.array([0]))


def test_few_files_stay_open_whatever_is_read(found):
    store = TrackStore(found, TRACKS)
    store.files.open_files = 2
    everything = np.repeat(np.arange(4), LENGTHS), np.concatenate([np.arange(n) for n in LENGTHS])
    shuffled = np.random.default_rng(0).permutation(sum(LENGTHS))
    batch = store.read(everything[0][shuffled], everything[1][shuffled])
    assert len(store.files._open) == 2
    whole = torch.cat([TrackStore(found, TRACKS).episode(number).points for number in range(4)])
    assert torch.equal(batch.points, whole[torch.from_numpy(shuffled)])
    store.files.close()
    assert not store.files._open


def test_a_store_goes_to_other_processes(found):
    store = TrackStore(found, TRACKS)
    batch = store.read(np.array([1]), np.array([3]))
    again = pickle.loads(pickle.dumps(store)).read(np.array([1]), np.array([3]))
    assert torch.equal(batch.points, again.points)


def test_offsets_that_lie_are_refused(found):
    path = episode_path(found.root, TRACKS, 0)
    ends = read_episode(found, TRACKS, 0).tensors["ends"].numpy().tobytes()
    content = path.read_bytes()
    lie = np.array([1 << 40] * LENGTHS[0], np.int64).tobytes()
    path.write_bytes(content.replace(ends, lie))
    with pytest.raises(SidecarError, match=r"damaged sidecar(.|\n)*window 1(.|\n)*amplify track"):
        TrackStore(found, TRACKS).read(np.array([0]), np.array([1]))


def test_a_damaged_window_is_named(found):
    path = episode_path(found.root, TRACKS, 0)
    content = bytearray(path.read_bytes())
    content[-200:] = bytes(200)
    path.write_bytes(content)
    with pytest.raises(SidecarError, match=r"damaged window of tracks in tracks-drift"):
        TrackStore(found, TRACKS).episode(0)


def test_missing_and_unknown_episodes(found):
    episode_path(found.root, TRACKS, 2).unlink()
    with pytest.raises(SidecarError, match=r"no 'tracks-drift-3x3-h4' for episode 2"):
        TrackStore(found, TRACKS).read(np.array([2]), np.array([0]))


def test_features_of_any_frames(found):
    store = FeatureStore(found, FEATURES)
    vision = store.read(np.array([2, 0]), np.array([1, 5]))
    for row, (number, frame) in enumerate([(2, 1), (0, 5)]):
        stored = read_episode(found, FEATURES, number).tensors["vision"][frame].float()
        assert torch.equal(vision[row], stored)
    assert store.shapes(0) == {"features": tuple(vision.shape[1:])}


def test_headers_of_earlier_schemas_keep_their_number():
    header = {"kind": "tracks", "producer": "flow", "version": "1", "settings": {}, "length": 1, "origin": ""}
    assert Header(**header).schema_version == 2
    assert Header(**header, schema_version=1).schema_version == 1
    assert Header(**(header | {"kind": "features"})).schema_version == 1


def test_reading_does_not_depend_on_the_dataset_object(found):
    again = TrackStore(Dataset.open(found.root, columns=False), TRACKS)
    assert torch.equal(again.episode(3).points, TrackStore(found, TRACKS).episode(3).points)


def test_decompressed_windows_are_kept_as_long_as_there_is_room(found, monkeypatch):
    decoded = []

    def counted(layout, frames, **given):
        decoded.append(len(frames))
        return decompressed(layout, frames, **given)

    monkeypatch.setattr("amplify.data.track_store.decompressed", counted)
    size = TrackStore(found, TRACKS).header(0).layout.window_bytes
    episodes, starts = np.array([0, 0, 0, 1, 0]), np.array([0, 1, 2, 0, 1])
    plain = TrackStore(found, TRACKS, kept_bytes=0)
    expected = plain.read(episodes, starts)
    plain.read(episodes, starts)
    assert decoded == [4, 4], "each window once a batch, and nothing is kept without room"
    assert not plain._kept
    decoded.clear()
    store = TrackStore(found, TRACKS, kept_bytes=3 * size)
    for _ in range(2):
        for wanted in (np.arange(5), np.array([4, 2]), np.array([3])):
            window = store.read(episodes[wanted], starts[wanted])
            assert torch.equal(window.points, expected.points[torch.from_numpy(wanted)])
            assert torch.equal(window.visible, expected.visible[torch.from_numpy(wanted)])
            assert len(store._kept) * size == store._used <= 3 * size
    assert decoded == [4, 1, 1], "three of four stay, and the first one goes first"
