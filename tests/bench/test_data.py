import json

import numpy as np
import pytest

from amplify import cli
from amplify.bench.many_windows import HORIZON, many_episodes, one_episode, random_batches
from amplify.data.windows import Source, WindowSet


def test_a_set_of_many_links_is_a_set_like_any_other(tmp_path):
    tracks = one_episode(tmp_path / "one", frames=18, seed=0, compression="zstd")
    root = many_episodes(tmp_path / "one", tmp_path / "many", tracks, count=5)
    options = {"tracks": tracks, "features": None, "actions": False, "horizon": HORIZON}
    one, many = (WindowSet([Source(path=path)], **options) for path in (tmp_path / "one", root))
    assert (len(one), len(many)) == (18, 90)
    batch = one.batch(np.arange(18)).tracks
    again = many.batch(np.arange(72, 90)).tracks
    assert batch.points.equal(again.points)
    assert batch.valid.equal(again.valid)


def test_batches_are_random_and_reproducible():
    first, second = random_batches(1000, size=64, count=2, seed=3), random_batches(1000, size=64, count=2, seed=3)
    assert all(np.array_equal(a, b) for a, b in zip(first, second))
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[0], random_batches(1000, size=64, count=1, seed=4)[0])


def test_the_command(tmp_path, capsys):
    options = ["--windows", "36", "180", "--episode-frames", "18", "--clips", "1", "--frames", "16", "--workers", "1"]
    assert cli.run(["bench", "data", *options, "--out", str(tmp_path / "figures.json"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert json.loads((tmp_path / "figures.json").read_text()) == report
    assert [row["windows"] for row in report["memory"]["sets"]] == [36, 180]
    assert 0 < report["reading"]["zstd"]["bytes_a_window"] < report["reading"]["none"]["bytes_a_window"] <= 27_000
    assert set(report["stages"]) == {"import", "track", "encode"}
    assert report["stages"]["track"]["speedup"] == {"1": 1.0}
    estimate = report["per_1000_hours"]
    assert estimate["label"].startswith("estimate")
    hours = estimate["cpu_hours"]
    assert hours["all"] == pytest.approx(hours["import"] + hours["track"] + hours["encode"])
    rate = report["stages"]["encode"]["frames_per_s"]["1"]
    assert hours["encode"] == pytest.approx(1000 * estimate["fps"] / rate)
    assert estimate["disk_gb"]["track"] == pytest.approx(estimate["frames"] * report["bytes_a_frame"]["track"] / 1e9)


def test_nothing_to_measure(capsys):
    assert cli.run(["bench", "data", "--windows", "0"]) == 2
    assert "nothing to measure" in capsys.readouterr().err
