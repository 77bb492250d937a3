import json
import os
import subprocess
import sys
import time
from pathlib import Path

import fsspec
import numpy as np
import pytest
import torch

from amplify import cli
from amplify.data.dataset import Dataset, DatasetWriter
from amplify.data.extract import track_dataset
from amplify.data.remote import elsewhere, located, mirror_of, present, swept
from amplify.data.sidecar import episode_path, read_text
from amplify.data.track_store import TrackStore
from amplify.data.windows import Source, WindowSet
from amplify.errors import DataError, MissingDependencyError, UsageError

from .episodes import LENGTHS, SPEC, dataset, episode, write
from .sidecars import FEATURES, GRID, HORIZON, TRACKS, Drift, extract

URL = Path("memory://bucket/d")  # as the command line makes it: one slash


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("AMPLIFY_CACHE", str(tmp_path / "cache"))
    files = fsspec.filesystem("memory")
    files.store.clear()
    files.pseudo_dirs[:] = [""]
    return tmp_path / "cache"


def forget(cache, monkeypatch, name="elsewhere"):
    """Another machine: an empty cache."""
    monkeypatch.setenv("AMPLIFY_CACHE", str(cache.parent / name))


def remote_names():
    return sorted(name for name in fsspec.filesystem("memory").store if name.startswith("/bucket"))


def test_local_paths_stay_what_they_are(tmp_path):
    assert located(tmp_path) == tmp_path
    assert located(Path("runs/d")) == Path("runs/d")
    assert mirror_of(tmp_path) is None
    assert present(tmp_path / "nothing") == tmp_path / "nothing"


@pytest.mark.parametrize("text", ["s3://b/x", "s3:/b/x", "s3://b/x/"])
def test_a_url_has_one_mirror_however_it_is_written(text, cache):
    assert located(Path(text)) == cache / "mirrors" / "s3%3A%2F%2Fb%2Fx"
    assert located(located(Path(text))) == located(Path(text))


def test_record_track_encode_and_train_as_on_a_disk(tmp_path, cache, monkeypatch):
    here = extract(dataset(tmp_path / "d", SPEC))
    extract(Dataset.open(write(URL)))
    assert any(name.endswith("meta/info.json") for name in remote_names())
    assert not any(".staging" in name or ".tmp" in name for name in remote_names())
    forget(cache, monkeypatch)
    there = Dataset.open(URL)
    video = there._places[0].videos["front"][0]
    assert elsewhere(video)
    options = {"tracks": TRACKS, "features": FEATURES, "actions": True, "horizon": HORIZON}
    ours = WindowSet([Source(path=here.root)], **options).batch(np.arange(sum(LENGTHS)))
    theirs = WindowSet([Source(path=URL)], **options).batch(np.arange(sum(LENGTHS)))
    assert torch.equal(ours.tracks.points, theirs.tracks.points)
    assert torch.equal(ours.features.vision, theirs.features.vision)
    assert torch.equal(ours.features.text, theirs.features.text)
    assert torch.equal(ours.actions.actions, theirs.actions.actions)
    assert elsewhere(video)  # tracks and features do without it
    assert np.array_equal(there.frames(0, "front"), here.frames(0, "front"))
    assert not elsewhere(video)
    assert torch.equal(
        read_text(URL, "text-minilm", ["open the drawer"]), read_text(here.root, "text-minilm", ["open the drawer"])
    )


def test_done_work_is_not_done_again_elsewhere(cache, monkeypatch):
    extract(Dataset.open(write(URL)))
    before = dict.fromkeys(remote_names())
    forget(cache, monkeypatch)
    summary = track_dataset(Dataset.open(URL), Drift(), grid=GRID, horizon=HORIZON, workers=0)
    assert summary["already_done"] == 4
    assert dict.fromkeys(remote_names()) == before


def test_a_recording_goes_on_elsewhere(cache, monkeypatch):
    writer = DatasetWriter(URL, SPEC)
    writer.write_episode("ep-0", episode(0))
    forget(cache, monkeypatch)
    again = DatasetWriter(URL, SPEC)
    assert again.staged() == {"ep-0"}
    again.write_episode("ep-1", episode(1))
    again.finalize(["ep-0", "ep-1"])
    found = Dataset.open(URL)
    assert [e.length for e in found.episodes] == list(LENGTHS[:2])
    assert found.frames(0, "wrist").shape[0] == LENGTHS[0]


def test_an_upload_that_stops_in_the_middle_is_never_a_whole_episode(cache, monkeypatch):
    files = fsspec.filesystem("memory")
    writer = DatasetWriter(URL, SPEC)
    writer.write_episode("ep-0", episode(0))
    real, sends = type(files).put_file, []

    def put(self, source, target, **options):
        sends.append(target)
        if len(sends) == 3:
            raise ConnectionError("cable cut")
        return real(self, source, target, **options)

    monkeypatch.setattr(type(files), "put_file", put)
    with pytest.raises(DataError, match=r"cannot write memory://bucket/d(.|\n)*cable cut(.|\n)*again"):
        writer.write_episode("ep-1", episode(1))
    monkeypatch.setattr(type(files), "put_file", real)
    forget(cache, monkeypatch)
    again = DatasetWriter(URL, SPEC)
    assert again.staged() == {"ep-0"}
    again.write_episode("ep-1", episode(1))
    again.finalize(["ep-0", "ep-1"])
    assert len(Dataset.open(URL).episodes) == 2


def test_a_finished_dataset_appears_last(cache, monkeypatch):
    files = fsspec.filesystem("memory")
    writer = DatasetWriter(URL, SPEC)
    writer.write_episode("ep-0", episode(0))
    real, sends = type(files).put_file, []

    def put(self, source, target, **options):
        sends.append(target.rsplit("/d/", 1)[1])
        return real(self, source, target, **options)

    monkeypatch.setattr(type(files), "put_file", put)
    writer.finalize(["ep-0"])
    assert sends[-1] == "meta/info.json"


def test_a_file_that_arrives_short_is_refused(cache, monkeypatch):
    write(URL)
    forget(cache, monkeypatch)
    found = Dataset.open(URL)
    files = fsspec.filesystem("memory")

    def get(self, source, target, **_):
        Path(target).write_bytes(files.cat_file(source)[:100])

    monkeypatch.setattr(type(files), "get_file", get)
    with pytest.raises(DataError, match="incomplete copy of memory://bucket/d/videos"):
        found.frames(0, "front")
    assert not list(found.root.rglob("*.mp4"))


def test_what_changed_there_is_fetched_again(cache, monkeypatch):
    extract(Dataset.open(write(URL)))
    stale = cache.parent / "elsewhere"
    forget(cache, monkeypatch)
    assert TrackStore(Dataset.open(URL), TRACKS).header(0).settings["step"] == 0.01
    monkeypatch.setenv("AMPLIFY_CACHE", str(cache))
    track_dataset(Dataset.open(URL), Drift(step=0.02125), grid=GRID, horizon=HORIZON, workers=0)
    monkeypatch.setenv("AMPLIFY_CACHE", str(stale))
    assert TrackStore(Dataset.open(URL), TRACKS).header(0).settings["step"] == 0.02125


def test_the_cache_is_bounded(cache, monkeypatch):
    extract(Dataset.open(write(URL)))
    forget(cache, monkeypatch)
    found = Dataset.open(URL)
    for number in range(4):
        found.frames(number, "front")
    videos = [found._places[number].videos["front"][0] for number in range(4)]
    for path in found.root.rglob("*.*"):
        os.utime(path, (1 + videos.index(path) if path in videos else 0, time.time()))
    held = sum(path.stat().st_size for path in videos)
    monkeypatch.setenv("AMPLIFY_CACHE_GB", str(0.6 * held / 1e9))
    swept()
    left = [not elsewhere(found._places[number].videos["front"][0]) for number in range(4)]
    assert left[3]
    assert not left[0]
    assert len(found.frames(0, "front")) == LENGTHS[0]
    monkeypatch.setenv("AMPLIFY_CACHE_GB", "much")
    with pytest.raises(UsageError, match="AMPLIFY_CACHE_GB"):
        swept()


def test_missing_packages_and_unknown_systems(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(MissingDependencyError, match="pip install s3fs"):
        Dataset.open(Path("s3://bucket/d"))
    with pytest.raises(UsageError, match="no file system for nowhere://"):
        Dataset.open(Path("nowhere://bucket/d"))
    with pytest.raises(DataError, match="no dataset at"):
        Dataset.open(Path("memory://bucket/nothing"))
    with pytest.raises(UsageError, match="too long"):
        Dataset.open(Path("memory://bucket/" + "d" * 300))


def test_processes_that_share_only_the_url(tmp_path, monkeypatch):
    """A second process with a cache of its own, as on another machine of a cluster."""
    write(tmp_path / "far" / "d")
    url = f"file://{tmp_path}/far/d"
    env = {**os.environ, "AMPLIFY_CACHE": str(tmp_path / "other"), "OMP_NUM_THREADS": "1"}
    arguments = ["track", url, "--tracker", "flow", "--grid", "2", "--horizon", "3", "--workers", "2", "--json"]
    done = subprocess.run([sys.executable, "-m", "amplify", *arguments], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["episodes"] == 4
    far = Dataset.open(tmp_path / "far" / "d")
    there = TrackStore(far, "tracks-flow-2x2-h3")
    assert not list((tmp_path / "far").rglob("*.part"))
    here = TrackStore(Dataset.open(Path(url)), "tracks-flow-2x2-h3")
    for number in range(4):
        assert torch.equal(here.episode(number).points, there.episode(number).points)
    assert episode_path(far.root, "tracks-flow-2x2-h3", 0).is_file()


def test_the_command_line_takes_urls(capsys):
    write(URL)
    assert cli.run(["track", "memory://bucket/d", "--grid", "2", "--horizon", "3", "--workers", "0", "--json"]) == 0
    assert "tracks-flow-2x2-h3" in capsys.readouterr().out
    assert any("tracks-flow-2x2-h3/episode-000003" in name for name in remote_names())
