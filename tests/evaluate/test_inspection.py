import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError
from tests.data.test_dataset import foreign
from tests.evaluate.scenes import LENGTH, Pan, recording, track, write

from amplify.data.dataset import DatasetSpec
from amplify.data.sidecar import episode_path
from amplify.errors import DataError, UsageError
from amplify.evaluate.inspection.config import InspectionConfig
from amplify.evaluate.inspection.inspecting import inspect_dataset

VIDEO = "videos/observation.images.front/chunk-000/file-{:03d}.mp4"


def inspected(root, *, out=None, strict=False, **settings):
    return inspect_dataset(root, InspectionConfig(**{"followed": 0, **settings}), out=out, workers=0, strict=strict)


def found(root, **settings):
    return {one["kind"]: one for one in inspected(root, **settings)["findings"]}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return write(tmp_path_factory.mktemp("sound") / "d", [recording(number) for number in range(6)])


def test_what_is_in_a_sound_dataset(sound):
    said = inspected(sound)
    assert (said["episodes"], said["frames"], said["fps"]) == (6, 6 * LENGTH, 10)
    assert said["hours"] == pytest.approx(6 * LENGTH / 10 / 3600)
    assert said["cameras"] == [{"name": "front", "width": 96, "height": 64}]
    assert said["proprioception_names"] == ["x", "y", "grip"]
    assert said["splits"] == {"train": "0:6"}
    assert said["lengths"]["min"] == said["lengths"]["max"] == LENGTH
    assert {row["instruction"]: row["episodes"] for row in said["tasks"]["commonest"]} == {
        "push the block": 3,
        "lift the cup": 3,
    }
    assert said["disk_bytes"]["total"] == sum(p.stat().st_size for p in sound.rglob("*") if p.is_file())
    assert said["looked_at"] == {
        "checked_episodes": 6,
        "usable_episodes": 6,
        "seen_episodes": 6,
        "followed_episodes": 0,
        "seed": 0,
    }
    assert [one["kind"] for one in said["findings"]] == ["no_tracks"]
    assert said["passed"]
    json.dumps(said)


def test_columns_are_those_of_all_rows(sound):
    said = inspected(sound)
    rows = np.concatenate([recording(number)["proprio"] for number in range(6)])
    for d, row in enumerate(said["proprioception"]):
        assert row["min"] == pytest.approx(rows[:, d].min())
        assert row["max"] == pytest.approx(rows[:, d].max())
        assert row["mean"] == pytest.approx(rows[:, d].mean(), abs=1e-6)
        assert row["std"] == pytest.approx(rows[:, d].std(), abs=1e-6)
    assert [row["discrete_values"] for row in said["proprioception"]] == [None, None, 2]
    assert not any(row["jumping_episodes"] for row in said["proprioception"])


def black(one):
    one["frames"]["front"][5:9] = 0


def white(one):
    one["frames"]["front"][5:9] = 255


def grey(one):
    one["frames"]["front"][5:9] = 128


def frozen(one):
    one["frames"]["front"][4:18] = one["frames"]["front"][4]


def resting(one):
    frozen(one)
    one["frames"]["front"][4:20] = one["frames"]["front"][4]
    one["proprio"][:] = 0


def repeated(one):
    one["frames"]["front"][1::2] = one["frames"]["front"][::2]


def jump(one):
    one["proprio"][12:, 0] += 3


def wrap(one):
    one["proprio"][12:, 0] += 2 * np.pi - 0.04


def wordless(one):
    one["instruction"] = " "


def copied(one):
    one |= recording(1)


@pytest.mark.parametrize(
    ("fault", "kind", "severity"),
    [
        (black, "black_frames", "problem"),
        (white, "overexposed_frames", "problem"),
        (grey, "empty_frames", "problem"),
        (frozen, "frozen_video", "problem"),
        (resting, "resting_video", "note"),
        (repeated, "repeated_frames", "problem"),
        (jump, "jump", "problem"),
        (wrap, "wrapping_angle", "problem"),
        (wordless, "empty_instruction", "problem"),
        (copied, "duplicate_episode", "problem"),
    ],
)
def test_a_fault_is_named_with_its_episode(tmp_path, fault, kind, severity):
    recordings = [recording(number) for number in range(5)]
    fault(recordings[3])
    said = found(write(tmp_path / "d", recordings))
    assert said[kind]["episodes"] == [3]
    assert said[kind]["severity"] == severity
    assert said[kind]["remedy"]
    assert set(said) <= {kind, "no_tracks", "saturated_dimension"}


def test_rates_of_repeated_frames_are_told(tmp_path):
    recordings = [recording(number) for number in range(4)]
    repeated(recordings[2])
    assert (
        "about 5 pictures a second at 10 frames"
        in found(write(tmp_path / "d", recordings))["repeated_frames"]["message"]
    )


def test_dimensions_that_never_change_or_are_cut_off(tmp_path):
    recordings = [recording(number) for number in range(4)]
    for one in recordings:
        one["actions"] = one["actions"].clip(-0.5, 0.5)
        one["proprio"][:, 1] = 7
    said = found(write(tmp_path / "d", recordings))
    assert "y never changes" in said["constant_dimension"]["message"]
    assert "dx (" in said["saturated_dimension"]["message"]


def test_spellings_and_lean_tasks(tmp_path):
    recordings = [
        recording(0) | {"proprio": recording(n)["proprio"], "frames": recording(n)["frames"]} for n in range(22)
    ]
    recordings[0]["instruction"] = "Push the block."
    said = found(write(tmp_path / "d", recordings), seen=1)
    assert "“push the block” = “Push the block.”" in said["near_duplicate_instruction"]["message"]
    assert said["lean_task"]["severity"] == "note"


def test_broken_episodes_are_set_aside(sound_copy):
    (sound_copy / VIDEO.format(2)).unlink()
    path = sound_copy / VIDEO.format(4)
    path.write_bytes(path.read_bytes()[:-300])
    said = inspected(sound_copy)
    broken = [one for one in said["findings"] if one["kind"] == "broken_episode"]
    assert [one["episodes"] for one in broken] == [[2], [4]]
    assert said["looked_at"]["usable_episodes"] == 4
    assert said["passed"]
    assert not inspected(sound_copy, strict=True)["passed"]


def test_notes_alone_pass_with_strict(sound):
    assert inspected(sound, strict=True)["passed"]


def test_nothing_usable_fails_with_reasons(sound_copy):
    for number in range(6):
        (sound_copy / VIDEO.format(number)).write_bytes(b"nothing")
    said = inspected(sound_copy)
    assert not said["usable"]
    assert not said["passed"]
    assert said["findings"][0]["kind"] == "no_usable_episode"
    assert said["findings"][1]["count"] == 6
    assert said["verdict"].startswith("Unusable")


def test_no_dataset_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no dataset"):
        inspected(tmp_path)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"total_episodes": 9}, "totals_disagree"),
        ({"splits": {"train": "0:5", "test": "5:12"}}, "split_beyond_end"),
        ({"fps": 400}, "implausible_fps"),
    ],
)
def test_tables_that_disagree(sound_copy, changes, kind):
    path = sound_copy / "meta/info.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    assert found(sound_copy)[kind]["severity"] == "problem"


def test_video_of_another_rate(sound_copy):
    path = sound_copy / "meta/info.json"
    info = json.loads(path.read_text())
    info["features"]["observation.images.front"]["info"]["video.fps"] = 30
    path.write_text(json.dumps(info))
    assert "30 frames a second" in found(sound_copy)["fps_disagree"]["message"]


def test_sidecars_are_listed_with_what_is_missing(sound_copy):
    folder = track(sound_copy, Pan())
    episode_path(sound_copy, folder, 3).unlink()
    episode_path(sound_copy, folder, 1).write_bytes(b"broken")
    said = inspected(sound_copy)
    assert said["sidecars"] == [
        {
            "folder": folder,
            "kind": "tracks",
            "producer": "pan",
            "version": "1",
            "episodes": 5,
            "missing": 1,
            "set_aside": 0,
        }
    ]
    kinds = {one["kind"]: one for one in said["findings"]}
    assert kinds["incomplete_sidecar"]["episodes"] == [3]
    assert kinds["unusable_tracks"]["episodes"] == [1]
    assert "amplify track" in kinds["incomplete_sidecar"]["remedy"]


def test_episodes_that_no_sidecar_could_be_made_of(sound_copy):
    recordings = [recording(number) for number in range(3)]
    recordings[1] = recording(1, length=10)
    root = write(sound_copy.parent / "refused", recordings)
    track(root, Pan(refuse_length=10))
    said = found(root)
    assert said["set_aside"]["episodes"] == [1]
    assert "incomplete_sidecar" not in said


def test_datasets_of_other_writers(tmp_path):
    root, *_ = foreign(tmp_path / "f")
    said = inspected(root)
    assert [one["kind"] for one in said["findings"] if one["kind"] == "broken_episode"] == []
    assert said["episodes"] == said["looked_at"]["seen_episodes"] == 3
    assert said["actions"][0]["name"] == "0"


def test_copies_in_a_shared_video_without_columns(tmp_path):
    root, *_ = foreign(tmp_path / "f", lengths=(4, 5, 4))
    info = json.loads((root / "meta/info.json").read_text())
    del info["features"]["action"], info["features"]["observation.state"]
    (root / "meta/info.json").write_text(json.dumps(info))
    table = pq.read_table(root / "meta/episodes/chunk-000/file-000.parquet")
    rows = table.to_pylist()
    column = "videos/observation.image/from_timestamp"
    moved = [rows[0][column], rows[1][column], rows[0][column]]
    at = table.column_names.index(column)
    pq.write_table(table.set_column(at, column, [moved]), root / "meta/episodes/chunk-000/file-000.parquet")
    assert inspected(root)["duplicates"] == [[0, 2]]


def test_cameras_of_several_sizes_and_video_without_actions(tmp_path):
    spec = DatasetSpec.of_sizes({"front": (96, 64), "wrist": (48, 48)}, fps=10)
    recordings = [recording(n, spec) | {"proprio": None, "actions": None} for n in range(3)]
    root = write(tmp_path / "d", recordings, spec)
    track(root, Pan())
    page = tmp_path / "page.html"
    said = inspected(root, out=page)
    assert [camera["width"] for camera in said["cameras"]] == [96, 48]
    assert set(said["motion"]["by_camera"]) == {"front", "wrist"}
    assert said["proprioception"] == said["actions"] == []
    assert "none: video only" in page.read_text()


def test_what_is_looked_at_is_bounded_and_seeded(sound):
    one = inspected(sound, checked=4, seen=2)
    assert one["looked_at"]["checked_episodes"] == 4
    assert one["looked_at"]["seen_episodes"] == 2
    assert one["video"]["front"]["frames"] == 2 * LENGTH
    assert one["episodes"] == 6
    assert inspected(sound, checked=4, seen=2)["actions"] == one["actions"]
    others = [inspected(sound, checked=4, seen=2, seed=seed)["actions"] for seed in range(1, 4)]
    assert any(other != one["actions"] for other in others)
    assert inspected(sound, checked=0, seen=0)["looked_at"]["seen_episodes"] == 6


@pytest.mark.parametrize("settings", [{"window": 4}, {"window": 1}, {"window_reach_px": 5}, {"seen": -1}])
def test_settings_that_make_no_sense(settings):
    with pytest.raises(ValidationError):
        InspectionConfig(**settings)


def test_tracks_that_are_not_there(sound):
    with pytest.raises(UsageError, match="no tracks of this name"):
        inspected(sound, tracks="tracks-flow-20x20-h16")


def test_the_page_needs_nothing_else_and_shows_the_episodes(sound_copy, tmp_path):
    track(sound_copy, Pan())
    page = tmp_path / "new" / "page.html"
    said = inspected(sound_copy, out=page)
    text = page.read_text()
    assert said["page"] == str(page)
    assert text.count("data:image/jpeg") == 6 + 6
    assert "http" not in text.split("</style>")[1]
    assert "prefers-color-scheme: dark" in text
    for shown in (said["verdict"], "“push the block”", "tracks-pan-5x5-h8", "seed 0", "grip"):
        assert shown in text


@pytest.fixture
def sound_copy(sound, tmp_path):
    import shutil

    return shutil.copytree(sound, tmp_path / "copy")
