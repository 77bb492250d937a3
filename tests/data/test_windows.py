import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from amplify.data.dataset import Dataset
from amplify.data.extract import track_dataset
from amplify.data.sidecar import episode_path, read_sidecar, write_sidecar
from amplify.data.windows import Source, WindowSet
from amplify.errors import DataError, SidecarError
from amplify.types import Sample

from .episodes import LENGTHS, SPEC, VIDEO_SPEC, episode, write
from .sidecars import FEATURES, GRID, HORIZON, TRACKS, Drift, Grey, extract


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    root = tmp_path_factory.mktemp("windows")
    extract(Dataset.open(write(root / "robot", SPEC)))
    extract(Dataset.open(write(root / "video", VIDEO_SPEC)))
    return root


@pytest.fixture
def copy(ready, tmp_path):
    shutil.copytree(ready, tmp_path / "copy")
    return tmp_path / "copy"


def windows(*sources, actions=True, tracks=TRACKS, features=FEATURES, **options):
    made = [source if isinstance(source, Source) else Source(path=source) for source in sources]
    return WindowSet(made, tracks=tracks, features=features, actions=actions, **{"horizon": HORIZON, **options})


def test_every_frame_starts_a_window(ready):
    found = windows(ready / "robot")
    assert len(found) == sum(LENGTHS)
    expected = [(0, number, start) for number, length in enumerate(LENGTHS) for start in range(length)]
    assert found.index.tolist() == [list(row) for row in expected]
    assert [info.index for _, info in found.episodes] == [0, 1, 2, 3]
    instructions = [found.instructions[n] for n in found.instruction_numbers]
    assert instructions[0] == "open the drawer"
    assert instructions[LENGTHS[0]] == "close the window"


def test_a_batch_holds_what_is_at_its_frames(ready):
    found = windows(ready / "robot", action_horizon=3)
    at = LENGTHS[0] + 2  # episode 1, frame 2
    batch = found.batch(np.array([at, 0]))
    made = episode(1)
    np.testing.assert_array_equal(batch.proprio[0], made.proprio[2])
    np.testing.assert_array_equal(batch.actions.actions[0], made.actions[2:5])
    assert batch.actions.valid.all()
    grey = Dataset.open(ready / "robot").frames(1, "wrist")[2].mean()
    assert batch.features.vision[0, 1, 0, 0].item() == pytest.approx(grey, abs=0.1)
    moved = batch.tracks.points[0, 1, 1, 0, 1] - batch.tracks.points[0, 1, 0, 0, 1]
    assert moved.item() * 1e4 == pytest.approx(made.frames["wrist"][2, 0, 0, 0], abs=4)
    assert batch.features.text[:, 0, 0].tolist() == [16, 15]
    assert batch.tracks.points.shape == (2, 2, HORIZON, GRID**2, 2)
    floats = [batch.tracks.points, batch.tracks.error_px, batch.features.vision, batch.features.text]
    assert {array.dtype for array in [*floats, batch.proprio, batch.actions.actions]} == {torch.float32}


def test_the_end_of_an_episode_is_masked(ready):
    found = windows(ready / "robot", action_horizon=3)
    batch = found.batch(np.array([LENGTHS[0] - 1, LENGTHS[0] - 2]))
    assert batch.tracks.valid[:, 0].tolist() == [[True, False, False, False], [True, True, False, False]]
    assert torch.equal(batch.tracks.valid[:, 0], batch.tracks.valid[:, 1])
    assert torch.equal(batch.tracks.points[0, 0, 0], batch.tracks.points[0, 0, 3])
    assert torch.equal(batch.tracks.points[1, 0, 1], batch.tracks.points[1, 0, 3])
    assert batch.actions.valid.tolist() == [[True, False, False], [True, True, False]]
    assert batch.actions.actions[0, 1:].abs().sum() == 0
    np.testing.assert_array_equal(batch.actions.actions[1, 1], episode(0).actions[-1])


def test_what_is_not_asked_for_is_none(ready):
    batch = windows(ready / "robot", actions=False, tracks=None).batch(np.array([0]))
    assert batch.actions is None
    assert batch.proprio is None
    assert batch.tracks is None
    batch = windows(ready / "robot", features=None).batch(np.array([0]))
    assert batch.features is None
    assert batch.actions is not None


def test_learning_from_video_never_opens_the_rows(copy):
    shutil.rmtree(copy / "robot" / "data")
    batch = windows(copy / "robot", actions=False).batch(np.arange(20))
    whole = windows(copy / "video", actions=False).batch(np.arange(20))
    assert same(batch, whole)
    with pytest.raises(DataError, match="4 of 4 episodes"):
        windows(copy / "robot")


def same(a: Sample, b: Sample) -> bool:
    return torch.equal(a.tracks.points, b.tracks.points) and torch.equal(a.features.vision, b.features.vision)


def test_batches_cover_all_in_order(ready):
    found = windows(ready / "robot")
    batches = list(found.batches(10))
    assert [len(batch.proprio) for batch in batches] == [10, 10, 7]
    whole = found.batch(np.arange(len(found)))
    assert torch.equal(torch.cat([batch.tracks.points for batch in batches]), whole.tracks.points)


def test_nothing_is_kept_of_a_window(ready):
    """What a set holds grows with episodes and sentences, not with windows."""
    found = windows(ready / "robot", goal=True)
    found.batch(np.arange(len(found)))
    held = [value for value in vars(found).values() if isinstance(value, np.ndarray | torch.Tensor)]
    assert held
    assert max(map(len, held)) == len(LENGTHS)
    with pytest.raises(IndexError, match="0 … 26"):
        found.batch(np.array([len(found)]))


def test_several_sources(ready):
    found = windows(ready / "robot", Source(path=ready / "video", episodes=(2, 0)), actions=False)
    assert len(found) == sum(LENGTHS) + LENGTHS[2] + LENGTHS[0]
    assert found.index[-1].tolist() == [1, 0, LENGTHS[0] - 1]
    assert found.index[sum(LENGTHS)].tolist() == [1, 2, 0]


def test_sources_that_do_not_fit(ready, tmp_path):
    with pytest.raises(DataError, match="action-free video"):
        windows(ready / "robot", ready / "video")
    narrow = SPEC.model_copy(update={"cameras": ("front",)})
    extract(Dataset.open(write(tmp_path / "narrow", narrow)))
    with pytest.raises(DataError, match=r"do not fit together: (.|\n)*narrow"):
        windows(ready / "robot", tmp_path / "narrow")
    blind = SPEC.model_copy(update={"proprio_names": None})
    extract(Dataset.open(write(tmp_path / "blind", blind)))
    assert windows(tmp_path / "blind").batch(np.array([0])).proprio is None
    with pytest.raises(DataError, match=r"proprioception of (.|\n)*blind"):
        windows(ready / "robot", tmp_path / "blind")


@pytest.mark.parametrize(
    ("what", "changes"),
    [
        ("actions", {"action_names": ("dx", "torque")}),
        ("proprioception", {"proprio_names": ("x", "y", "angle")}),
        ("cameras", {"cameras": ("wrist", "front")}),
    ],
)
def test_actions_of_another_robot_are_refused_by_name(ready, tmp_path, what, changes):
    """The count of numbers is the same, so that nothing but their names could tell."""
    extract(Dataset.open(write(tmp_path / "other", SPEC.model_copy(update=changes))))
    names = ", ".join(next(iter(changes.values())))
    with pytest.raises(DataError, match=rf"{what} of (.|\n)*got: *{names}(.|\n)*one inverse model for each"):
        windows(ready / "robot", tmp_path / "other")
    assert len(windows(ready / "robot", tmp_path / "other", actions=False)) == 2 * sum(LENGTHS)


def test_the_goal_is_the_last_frame(ready):
    found = windows(ready / "robot", goal=True)
    batch = found.batch(np.array([LENGTHS[0] + 2, 0]))  # episodes 1 and 0
    last = windows(ready / "robot").batch(np.array([LENGTHS[0] + LENGTHS[1] - 1, LENGTHS[0] - 1]))
    assert torch.equal(batch.features.goal, last.features.vision)
    assert windows(ready / "robot").batch(np.array([0])).features.goal is None


@pytest.mark.parametrize("memory", [1.0, 1e-5, 0.0])
def test_pictures_in_place_of_features(ready, memory, caplog):
    found = windows(ready / "robot", features=None, images=memory, goal=True)
    chosen = np.array([LENGTHS[0] + 2, 0, LENGTHS[0] + 2])
    batch = found.batch(chosen)
    assert batch.features is None
    pictures = batch.pictures
    dataset = Dataset.open(ready / "robot")
    for view, camera in enumerate(dataset.spec.cameras):
        one, two = dataset.frames(1, camera), dataset.frames(0, camera)
        np.testing.assert_array_equal(pictures.images[:2, view], np.stack([one[2], two[0]]))
        np.testing.assert_array_equal(pictures.goal[:2, view], np.stack([one[-1], two[-1]]))
    assert torch.equal(pictures.text, windows(ready / "robot").batch(chosen).features.text)
    assert ("does not fit into memory" in caplog.text) == (memory < 1)


def test_pictures_as_an_encoder_sees_them(ready):
    found = windows(ready / "robot", features=None, images=1.0, goal=True)
    scale = torch.nn.Parameter(torch.ones(()))
    seen = found.seen_by(lambda images: scale * Grey().encode(images))
    chosen = np.array([3, 8])
    batch, stored = seen.batch(chosen), windows(ready / "robot", goal=True).batch(chosen)
    torch.testing.assert_close(batch.features.vision, stored.features.vision, atol=0.1, rtol=0)
    torch.testing.assert_close(batch.features.goal, stored.features.goal, atol=0.1, rtol=0)
    assert batch.pictures is None
    assert not batch.features.vision.requires_grad
    scale.data.fill_(2)
    assert torch.equal(seen.batch(chosen).features.vision, 2 * batch.features.vision)
    assert found.batch(chosen).features is None


def test_images_of_several_sizes_cannot_be_learned_from(ready, tmp_path):
    extract(Dataset.open(write(tmp_path / "small", VIDEO_SPEC.model_copy(update={"width": 32}))))
    with pytest.raises(DataError, match="several sizes"):
        windows(ready / "video", tmp_path / "small", features=None, images=1.0, actions=False)


def test_another_horizon_than_the_sidecars(ready):
    with pytest.raises(SidecarError, match=r"another horizon(.|\n)*got: *4(.|\n)*--horizon 8"):
        windows(ready / "robot", horizon=8)


def test_missing_sidecars_name_the_command(copy):
    with pytest.raises(SidecarError, match=r"--tracker flow --grid 10 --horizon 4"):
        windows(copy / "robot", tracks="tracks-flow-10x10-h4")
    episode_path(copy / "robot", TRACKS, 1).unlink()
    with pytest.raises(SidecarError, match=r"for episode 1"):
        windows(copy / "robot")


def test_tracks_made_in_two_ways_do_not_mix(copy):
    stale = Dataset.open(copy / "robot")
    episode_path(copy / "robot", TRACKS, 2).rename(copy / "kept")
    track_dataset(stale, Drift(step=0.05), grid=GRID, horizon=HORIZON, workers=0)
    (copy / "kept").rename(episode_path(copy / "robot", TRACKS, 2))
    with pytest.raises(SidecarError, match="made in two ways"):
        windows(copy / "robot")


def test_broken_episodes_are_left_out_with_a_warning(copy, caplog):
    (copy / "robot" / "videos/observation.images.front/chunk-000/file-001.mp4").unlink()
    assert [info.index for _, info in windows(copy / "robot").episodes] == [0, 2, 3]
    assert "episode 1 set aside" in caplog.text
    with pytest.raises(DataError, match="no usable episode"):
        windows(Source(path=copy / "robot", episodes=(1,)))
    with pytest.raises(DataError, match=r"no such episode(.|\n)*got: *7"):
        windows(Source(path=copy / "robot", episodes=(0, 7)))


def test_episodes_that_could_not_be_tracked_are_left_out(copy):
    found = Dataset.open(copy / "video")
    tracker = Drift(step=0.02, refuse_length=LENGTHS[3])
    track_dataset(found, tracker, grid=GRID, horizon=HORIZON, workers=0)
    assert [info.index for _, info in windows(copy / "video", actions=False).episodes] == [0, 1, 2]


def test_nan_actions_matter_only_to_those_who_read_actions(copy):
    path = copy / "robot" / "data/chunk-000/file-000.parquet"
    table = pq.read_table(path)
    column = table["action"].combine_chunks()
    values = column.flatten().to_numpy().copy()
    values[0] = np.nan
    poisoned = type(column).from_arrays(values, 2)
    pq.write_table(table.set_column(table.column_names.index("action"), "action", poisoned), path)
    assert len(windows(copy / "robot")) == sum(LENGTHS[1:])
    assert len(windows(copy / "robot", actions=False)) == sum(LENGTHS)


def test_embeddings_made_in_two_ways_do_not_mix(copy):
    """The second dataset says what the first does not, so that each is asked for a sentence."""
    tasks = copy / "video"
    sentences = {e.instruction for e in Dataset.open(tasks).episodes}
    path = copy / "video" / "sidecars" / "text-minilm" / "instructions.safetensors"
    sidecar = read_sidecar(path, remedy="")
    header = sidecar.header.model_copy(update={"settings": {"max_tokens": 8}})
    write_sidecar(path, header, {name: tensor.clone() for name, tensor in sidecar.tensors.items()})
    only = [Source(path=copy / "robot", episodes=(0,)), Source(path=copy / "video")]
    said = Dataset.open(copy / "robot").episodes[0].instruction
    assert sentences - {said}
    with pytest.raises(SidecarError, match=r"text-minilm was made in two ways(.|\n)*max_tokens"):
        windows(*only, actions=False)
