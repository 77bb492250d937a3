"""Damaged sources of every format: a clear line, that episode skipped, the rest intact, and no crash."""

import json
import random
import resource
import shutil
import struct
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amplify.cli import run
from amplify.data.dataset import Dataset
from amplify.errors import DataError
from amplify.video import count_frames, read_video, write_video
from amplify.video.boxes import check_claims

from .episodes import write
from .sources import lerobot_v3_images, lerobot_v21, libero_task, robomimic_file, steps, track_file, video


def videos(root: Path) -> list[str]:
    for name in ("first", "second", "third"):
        video(root / f"{name}.mp4", 6)
    return ["videos", str(root)]


def libero(root: Path) -> list[str]:
    for name in ("first", "second", "third"):
        libero_task(root / f"{name}_demo.hdf5", lengths=(4,))
    return ["libero", str(root)]


def robomimic(root: Path) -> list[str]:
    for name in ("first", "second", "third"):
        robomimic_file(root / f"{name}.hdf5", lengths=(4,))
    return ["robomimic", str(root)]


def lerobot(root: Path) -> list[str]:
    return ["lerobot", str(lerobot_v21(root, (5, 6, 4)))]


def lerobot_images(root: Path) -> list[str]:
    return ["lerobot", str(lerobot_v21(root, (5, 6, 4), images=True))]


def lerobot_v3(root: Path) -> list[str]:
    return ["lerobot", str(write(root, count=3)), "--rewrite"]


def reference_tracks(root: Path) -> list[str]:
    libero_task(root / "suite/open_it_demo.hdf5", lengths=(5, 5, 5))
    for number in range(3):
        track_file(root / f"tracks/suite/uniform_9_reinit_4/open_it_demo/demo_{number}.hdf5", 5)
    return ["reference-tracks", str(root / "suite"), "--tracks", str(root / "tracks")]


SOURCES = {
    source.__name__: source
    for source in (videos, libero, robomimic, lerobot, lerobot_images, lerobot_v3, reference_tracks)
}
# What one episode alone needs: the damage must not reach the others.
OWN = {
    "videos": "second.mp4",
    "libero": "second_demo.hdf5",
    "robomimic": "second.hdf5",
    "lerobot": "videos/chunk-000/wrist cam/episode_000001.mp4",
    "lerobot_images": "data/chunk-000/episode_000001.parquet",
    "lerobot_v3": "videos/observation.images.front/chunk-000/file-001.mp4",
    "reference_tracks": "tracks/suite/uniform_9_reinit_4/open_it_demo/demo_1.hdf5",
}


def truncated(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(len(content))]


def emptied(content: bytes, chance: random.Random) -> bytes:
    return b""


def flipped(content: bytes, chance: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.randrange(1, 9)):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def zeroed(content: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(content))
    length = min(len(content) - start, 256)
    return content[:start] + bytes(length) + content[start + length :]


def exaggerated(content: bytes, chance: random.Random) -> bytes:
    """A number of four bytes becomes a very large one."""
    at = chance.randrange(max(1, len(content) - 4))
    return (
        content[:at]
        + chance.choice([b"\xff\xff\xff\xff", struct.pack(">I", 10**9), b"\x7f\xff\xff\xff"])
        + content[at + 4 :]
    )


DAMAGES = {damage.__name__: damage for damage in (truncated, emptied, flipped, zeroed, exaggerated)}


@pytest.fixture(autouse=True)
def little_memory():
    """More than 3 GB over what this process has now ends a test."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + (3 << 30), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    root = tmp_path_factory.mktemp("pristine")
    return {name: (root / name, source(root / name)) for name, source in SOURCES.items()}


def attempt(source: Path, arguments: list[str], damaged: Path, out: Path, capsys) -> tuple[int, dict, str]:
    """Exit code, summary and messages of importing a source that was copied to ``damaged``."""
    moved = [text.replace(str(source), str(damaged)) for text in arguments]
    shutil.rmtree(out, ignore_errors=True)
    code = run(["import", *moved, "--out", str(out), "--workers", "0", "--json"])
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    summary = json.loads(captured.out.splitlines()[-1]) if code == 0 else {}
    return code, summary, captured.err


def check(pristine, name, damage, seed, tmp_path, capsys):
    source, arguments = pristine[name]
    damaged = tmp_path / "damaged"
    shutil.rmtree(damaged, ignore_errors=True)
    shutil.copytree(source, damaged)
    path = damaged / OWN[name]
    path.write_bytes(DAMAGES[damage](path.read_bytes(), random.Random(f"{name} {damage} {seed}")))
    code, summary, said = attempt(source, arguments, damaged, tmp_path / "out", capsys)
    assert code == 0, said
    # Damage to pixels or numbers alone may go unseen; what is seen costs one episode.
    assert (summary["episodes"], summary["skipped"]) in [(2, 1), (3, 0)]
    assert all(reason for reason in summary["set_aside"].values())
    found = Dataset.open(tmp_path / "out")
    assert not found.problems
    for episode in found.episodes:
        assert len(found.frames(episode.index, found.spec.cameras[0])) == episode.length
    return summary["skipped"]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", SOURCES)
def test_a_damaged_file_costs_its_episode_only(pristine, name, damage, tmp_path, capsys):
    skipped = check(pristine, name, damage, 0, tmp_path, capsys)
    if damage in ("truncated", "emptied"):
        assert skipped == 1


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("damage", ["truncated", "flipped", "zeroed", "exaggerated"])
@pytest.mark.parametrize("name", SOURCES)
def test_many_damages(pristine, name, damage, tmp_path, capsys):
    for seed in range(1, 20):
        check(pristine, name, damage, seed, tmp_path, capsys)


SHARED = [
    ("lerobot", "meta/info.json"),
    ("lerobot", "meta/episodes.jsonl"),
    ("lerobot", "meta/tasks.jsonl"),
    ("lerobot_v3", "meta/info.json"),
    ("lerobot_v3", "meta/episodes/chunk-000/file-000.parquet"),
    ("lerobot_v3", "meta/amplify/episodes.jsonl"),
    ("lerobot_v3", "data/chunk-000/file-001.parquet"),
]


def check_shared(pristine, name, file, damage, seed, tmp_path, capsys):
    source, arguments = pristine[name]
    damaged = tmp_path / "damaged"
    shutil.rmtree(damaged, ignore_errors=True)
    shutil.copytree(source, damaged)
    path = damaged / file
    path.write_bytes(DAMAGES[damage](path.read_bytes(), random.Random(f"{file} {damage} {seed}")))
    code, _, said = attempt(source, arguments, damaged, tmp_path / "out", capsys)
    assert code in (0, 1, 2)
    assert code == 0 or said.count("error:") == 1


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(("name", "file"), SHARED)
def test_a_damaged_file_of_all_episodes_is_one_clear_error_at_worst(pristine, name, file, damage, tmp_path, capsys):
    check_shared(pristine, name, file, damage, 0, tmp_path, capsys)


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("damage", ["truncated", "flipped", "zeroed", "exaggerated"])
@pytest.mark.parametrize(("name", "file"), SHARED)
def test_many_damages_to_files_of_all_episodes(pristine, name, file, damage, tmp_path, capsys):
    for seed in range(1, 20):
        check_shared(pristine, name, file, damage, seed, tmp_path, capsys)


def scalars():
    return st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.floats() | st.text(max_size=8)


JSON = st.recursive(
    scalars(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)


@settings(max_examples=60)
@given(
    key=st.sampled_from(["fps", "features", "data_path", "video_path", "codebase_version", "robot_type"]), value=JSON
)
def test_any_value_in_info_is_refused_or_read(tmp_path_factory, key, value):
    root = tmp_path_factory.mktemp("any") / "d"
    lerobot_v3_images(root)
    info = json.loads((root / "meta/info.json").read_text())
    (root / "meta/info.json").write_text(json.dumps({**info, key: value}))
    try:
        found = Dataset.open(root)
        found.frames(found.episodes[0].index, found.spec.cameras[0])
    except DataError as error:
        assert len(str(error)) < 5000  # noqa: PT017  either is right
    shutil.rmtree(root)


PATHS = [
    "../{chunk_index}/{file_index}.mp4",
    "/etc/passwd",
    "{video_key.__class__}",
    "{chunk_index:09999999999d}",
    "{x}",
    "a\0b",
]


@pytest.mark.parametrize("template", PATHS)
@pytest.mark.parametrize("key", ["video_path", "data_path"])
def test_paths_that_leave_the_folder_or_are_none(tmp_path, key, template):
    root = write(tmp_path / "d")
    info = json.loads((root / "meta/info.json").read_text())
    (root / "meta/info.json").write_text(json.dumps({**info, key: template}))
    with pytest.raises(DataError, match=r"leaves the folder|unknown parts|cannot be read|cannot be followed"):
        Dataset.open(root)


def test_links_and_keys_that_leave_the_folder(tmp_path):
    root = write(tmp_path / "d")
    path = root / "videos/observation.images.front/chunk-000/file-001.mp4"
    path.rename(tmp_path / "elsewhere.mp4")
    path.symlink_to(tmp_path / "elsewhere.mp4")
    found = Dataset.open(root)
    assert "leaves the folder" in found.problems[0].reason
    info = json.loads((root / "meta/info.json").read_text())
    info["features"]["../../up"] = info["features"].pop("observation.images.front")
    (root / "meta/info.json").write_text(json.dumps(info))
    with pytest.raises(DataError, match="no video of camera"):
        Dataset.open(root)


def test_links_of_a_hub_cache_are_followed(tmp_path):
    snapshot, blobs = tmp_path / "datasets--x/snapshots/abc", tmp_path / "datasets--x/blobs"
    write(snapshot, count=1)
    blobs.mkdir()
    for number, path in enumerate([p for p in snapshot.rglob("*") if p.is_file()]):
        path.rename(blobs / str(number))
        path.symlink_to(blobs / str(number))
    assert not Dataset.open(snapshot).problems


def test_numbers_that_occur_twice_and_absurd_lengths(tmp_path):
    root = write(tmp_path / "d")
    path = root / "meta/episodes/chunk-000/file-000.parquet"
    table = pq.read_table(path)
    numbers = table.set_column(0, "episode_index", pa.array([0, 1, 1, 3]))
    pq.write_table(numbers, path)
    found = Dataset.open(root)
    assert [e.index for e in found.episodes] == [0, 3]
    assert "2 episodes have the number 1" in found.problems[0].reason
    at = table.column_names.index("length")
    pq.write_table(table.set_column(at, "length", pa.array([10**9, 0, 5, 7])), path)
    assert [e.index for e in Dataset.open(root).episodes] == [2, 3]


def test_a_file_of_rows_that_claims_a_billion(tmp_path):
    root = write(tmp_path / "d")
    path = root / "data/chunk-000/file-001.parquet"
    rows = pa.table({"episode_index": pa.array(np.full(60_000_000, 1, np.int8))})
    pq.write_table(rows, path)
    found = Dataset.open(root)
    assert "absurd file of rows" in found.problems[0].reason


def test_time_stamps_that_run_backwards(tmp_path):
    root = write(tmp_path / "d")
    path = root / "data/chunk-000/file-001.parquet"
    table = pq.read_table(path)
    at = table.column_names.index("timestamp")
    pq.write_table(table.set_column(at, "timestamp", table["timestamp"].take(list(range(8, -1, -1)))), path)
    assert "run backwards" in Dataset.open(root).problems[0].reason


def claim(path: Path, table: bytes, offset: int, value: int) -> None:
    content = bytearray(path.read_bytes())
    at = content.index(table) + 4 + offset
    content[at : at + 4] = struct.pack(">I", value)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("table", "offset", "value"), [(b"stsz", 8, 10**9), (b"stts", 8, 10**9), (b"stsz", 4, 1 << 30)], ids=str
)
def test_mp4s_that_claim_more_samples_than_bytes(tmp_path, table, offset, value):
    path = video(tmp_path / "a.mp4")
    check_claims(path)
    claim(path, table, offset, value)
    if table == b"stsz" and offset == 8:
        claim(path, table, 4, 1)  # all of one byte, so that no table of sizes is needed
    for read in (count_frames, read_video):
        with pytest.raises(DataError, match="claims more than it can hold"):
            read(path)


def test_frames_beyond_any_size(tmp_path):
    path = video(tmp_path / "a.mp4")
    content = bytearray(path.read_bytes())
    at = content.index(b"avc1") + 4 + 24
    content[at : at + 4] = struct.pack(">HH", 65535, 65535)
    path.write_bytes(content)
    try:
        assert read_video(path).shape[1:] == (32, 48, 3)  # the stream itself knows better
    except DataError as error:
        assert "a.mp4" in str(error)  # noqa: PT017  either is right


@pytest.mark.parametrize(
    "content", ["#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{other}\n", "ffconcat version 1.0\nfile {other}\n"]
)
def test_lists_of_other_files_are_no_videos(tmp_path, content):
    other = video(tmp_path / "other.mp4")
    (tmp_path / "a.mp4").write_text(content.format(other=other))
    with pytest.raises(DataError, match="a list that names other files"):
        read_video(tmp_path / "a.mp4")


def test_a_frame_that_stands_for_hours(tmp_path, capsys):
    from .sources import timed_video

    timed_video(tmp_path / "in/a.mkv", [0, 0.1, 7200.0])
    timed_video(tmp_path / "in/b.mkv", [0, 0.1, 0.2])
    assert (
        run(["import", "videos", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--workers", "0", "--json"]) == 0
    )
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert "absurd time stamps" in summary["set_aside"]["a"]


def test_strict_ends_with_an_error_and_goes_on_when_mended(tmp_path, capsys):
    videos(tmp_path / "in")
    whole = (tmp_path / "in/second.mp4").read_bytes()
    (tmp_path / "in/second.mp4").write_bytes(whole[:-500])
    arguments = ["import", "videos", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--workers", "0", "--json"]
    assert run([*arguments, "--strict"]) == 1
    assert "1 of 3" in capsys.readouterr().err
    assert not (tmp_path / "out/meta").exists()
    (tmp_path / "in/second.mp4").write_bytes(whole)
    assert run([*arguments, "--strict"]) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (summary["episodes"], summary["imported_now"]) == (3, 1)


def test_hdf5_that_links_to_itself(tmp_path, capsys):
    path = libero_task(tmp_path / "in/a_demo.hdf5", lengths=(3, 3))
    with h5py.File(path, "a") as file:
        del file["data/demo_1"]
        file["data/demo_1"] = h5py.SoftLink("/data/demo_1")
    libero_task(tmp_path / "in/b_demo.hdf5", lengths=(3,))
    assert (
        run(["import", "libero", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--workers", "0", "--json"]) == 0
    )
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["skipped"] >= 1


def test_frames_that_change_their_size(tmp_path):
    """Two streams of different sizes, one after the other in one file."""
    for name, width in (("a", 48), ("b", 64)):
        write_video(tmp_path / f"{name}.mp4", steps(3, width, 32), 10)
    import av

    with av.open(str(tmp_path / "c.h264"), "w", format="h264") as out:
        stream = None
        for name in ("a", "b"):
            with av.open(str(tmp_path / f"{name}.mp4")) as source:
                video_stream = source.streams.video[0]
                stream = stream or out.add_stream_from_template(video_stream)
                parser = av.BitStreamFilterContext("h264_mp4toannexb", video_stream)
                for packet in source.demux(video_stream):
                    for ready in parser.filter(packet):
                        ready.stream = stream
                        out.mux(ready)
    with pytest.raises(DataError):
        read_video(tmp_path / "c.h264")
