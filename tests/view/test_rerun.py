"""Files for the Rerun viewer, read back with Rerun's own reader."""

import io
import json

import numpy as np
import pytest
from tests.data import episodes, sidecars
from tests.serve.test_run import bundle  # noqa: F401  (a fixture)

from amplify.cli import run
from amplify.data.dataset import Dataset, DatasetSpec
from amplify.data.extract import track_dataset

pytestmark = pytest.mark.rerun

SPEC = DatasetSpec(
    fps=10,
    cameras=("front",),
    width=64,
    height=32,
    proprio_names=("x", "y", "z"),
    action_names=("dx", "grip"),
    robot_type="arm",
)


def command(*arguments):
    return run(["export", "rrd", *map(str, arguments), "--workers", "0", "--json"])


def summary(capsys):
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def contents(path):
    """{entity path: {column: one value a row}}, in order of frames; without the layout of the viewer."""
    from rerun.chunk import RrdReader

    reader = RrdReader(path)
    assert [entry.application_id for entry in reader.recordings()] == ["amplify"]
    found = {}
    for chunk in reader.stream().to_chunks():
        if chunk.entity_path == "/__properties":
            continue
        batch = chunk.to_record_batch()
        rows = found.setdefault(chunk.entity_path, [])
        rows += [{name: batch.column(name)[n].as_py() for name in batch.schema.names} for n in range(batch.num_rows)]
    ordered = {path: sorted(rows, key=lambda row: row.get("frame") or 0) for path, rows in found.items()}
    return {path: {name: [row[name] for row in rows] for name in rows[0]} for path, rows in ordered.items()}


@pytest.fixture
def data(tmp_path):
    root = episodes.write(tmp_path / "data", SPEC)
    track_dataset(Dataset.open(root), sidecars.Drift(), grid=sidecars.GRID, horizon=sidecars.HORIZON, workers=0)
    return root


def test_episodes_are_read_back_as_they_were(data, tmp_path, capsys):
    assert command(data, "--out", tmp_path / "out") == 0
    found = summary(capsys)
    assert (found["files"], found["written_now"], found["tracks"]) == (4, 4, sidecars.TRACKS)
    known = episodes.episode(1, SPEC)
    read = contents(tmp_path / "out" / "episode-000001.rrd")
    assert set(read) == {
        "/instruction",
        "/notes",
        "/cameras/front",
        "/cameras/front/tracks",
        *(f"/proprioception/{name}" for name in "xyz"),
        "/actions/dx",
        "/actions/grip",
    }
    assert read["/instruction"]["TextDocument:text"] == [["close the window"]]
    assert "seed: 1" in read["/notes"]["TextDocument:text"][0][0]
    for group, names, values in (
        ("proprioception", SPEC.proprio_names, known.proprio),
        ("actions", SPEC.action_names, known.actions),
    ):
        for number, name in enumerate(names):
            curve = read[f"/{group}/{name}"]
            assert curve["frame"] == list(range(9))
            assert [time.total_seconds() for time in curve["time"]] == pytest.approx([n / 10 for n in range(9)])
            assert [row[0] for row in curve["Scalars:scalars"]] == pytest.approx(values[:, number].tolist(), abs=1e-6)
    pictures = read["/cameras/front"]
    assert pictures["frame"] == list(range(9))
    for blob, frame in zip(pictures["EncodedImage:blob"], known.frames["front"]):
        picture = _decoded(blob[0])
        assert picture.shape == (32, 64, 3)
        assert abs(picture.mean() - frame.mean()) < 3


def _decoded(blob):
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(bytes(blob))))


def test_tracks_start_on_the_grid_and_go_where_the_tracker_says(data, tmp_path):
    assert command(data, "--out", tmp_path / "out", "--episodes", "0") == 0
    tracks = contents(tmp_path / "out" / "episode-000000.rrd")["/cameras/front/tracks"]
    assert tracks["frame"] == list(range(6))
    strips = tracks["LineStrips2D:strips"]
    first = np.array(strips[0])
    assert first.shape == (9, 4, 2)
    # 0.01 of half the width a frame: 0.32 px of 64, from the centres of a 3×3 grid.
    assert np.diff(first[..., 0], axis=1) == pytest.approx(0.32, abs=0.02)
    assert sorted(set(first[:, 0, 0].round(1))) == pytest.approx([64 / 6, 32, 64 * 5 / 6], abs=0.1)
    assert sorted(set(first[:, 0, 1].round(1))) == pytest.approx([32 / 6, 16, 32 * 5 / 6], abs=0.1)
    # Windows are cut at the episode's end; of the last frame nothing is left that moves.
    assert [len(row[0]) if row else 0 for row in strips] == [4, 4, 4, 3, 0, 0]


def test_what_a_bundle_foresees(data, bundle, tmp_path, capsys):  # noqa: F811
    arguments = ["--out", tmp_path / "out", "--bundle", bundle, "--foresee-every", "3", "--episodes", "1"]
    assert command(data, *arguments, "--tracks", "none") == 0
    read = contents(tmp_path / "out" / "episode-000001.rrd")
    assert "/cameras/front/tracks" not in read
    assert read["/cameras/front/foreseen"]["frame"] == [0, 3, 6]
    planned = read["/planned_actions/grip"]
    assert planned["frame"] == [0, 3, 6]
    from tests.data.episodes import episode

    from amplify.evaluate.loading import Loader
    from amplify.policy.info import info_of
    from amplify.serve.run import reader_of

    known = episode(1, SPEC)
    reader = reader_of(info_of(Loader().bundle(bundle)), None)
    sent = {"observation/front": known.frames["front"][3], "observation/state": known.proprio[3]}
    plan = Loader().policy(bundle, "amplify").plan(reader.read({**sent, "prompt": known.instruction}))
    assert planned["Scalars:scalars"][1][0] == pytest.approx(float(plan.actions.actions[0, 0, 1]), abs=0.02)


def test_it_goes_on_and_never_mixes_settings(data, tmp_path, capsys):
    assert command(data, "--out", tmp_path / "out", "--episodes", "2") == 0
    capsys.readouterr()
    assert command(data, "--out", tmp_path / "out") == 0
    found = summary(capsys)
    assert (found["files"], found["written_now"]) == (4, 3)
    assert command(data, "--out", tmp_path / "out", "--jpeg-quality", "50") == 2
    assert "other settings" in capsys.readouterr().err
    assert command(data, "--out", tmp_path / "small", "--jpeg-quality", "5", "--episodes", "1") == 0
    sizes = [(tmp_path / name / "episode-000001.rrd").stat().st_size for name in ("out", "small")]
    assert sizes[1] < sizes[0]


def test_broken_episodes_are_set_aside(data, tmp_path, capsys):
    video = data / "videos" / "observation.images.front" / "chunk-000" / "file-002.mp4"
    video.write_bytes(video.read_bytes()[:200])
    assert command(data, "--out", tmp_path / "out") == 0
    found = summary(capsys)
    assert found["files"] == 3
    assert list(found["set_aside"]) == ["2"]
    assert command(data, "--out", tmp_path / "out", "--strict") == 1
    assert "set aside" in capsys.readouterr().err
    assert not list((tmp_path / "out").glob(".*")), "nothing half-written"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--episodes", "7"], 1, "no episodes [7]"),
        (["--tracks", "tracks-flow-3x3-h4"], 2, sidecars.TRACKS),
        (["--jpeg-quality", "0"], 2, "jpeg_quality"),
        (["--foresee-every", "0"], 2, "foresee_every"),
        (["--bundle", "nowhere"], 1, "nowhere"),
    ],
)
def test_bad_usage(data, tmp_path, capsys, arguments, code, message):
    assert command(data, "--out", tmp_path / "out", *arguments) == code
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err


def test_a_bundle_of_other_cameras(tmp_path, bundle, capsys):  # noqa: F811
    root = episodes.write(tmp_path / "other", SPEC.model_copy(update={"cameras": ("wrist",)}))
    assert command(root, "--out", tmp_path / "out", "--bundle", bundle) == 1
    assert "no episode of" in capsys.readouterr().err


def test_of_several_tracks_one_is_to_be_named(data, tmp_path, capsys):
    track_dataset(Dataset.open(data), sidecars.Drift(), grid=sidecars.GRID, horizon=3, workers=0)
    assert command(data, "--out", tmp_path / "out") == 2
    assert "choose one: --tracks" in capsys.readouterr().err
    assert command(data, "--out", tmp_path / "out", "--tracks", sidecars.TRACKS) == 0
