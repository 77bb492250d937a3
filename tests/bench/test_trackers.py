import json

import numpy as np
import pytest
import torch

from amplify.bench import judged_videos
from amplify.bench.judged_videos import Annotated, judged_sources
from amplify.bench.trackers import TrackerBench, bench_trackers
from amplify.cli import run
from amplify.errors import DataError
from amplify.tracks import TRACKERS
from amplify.types import Clip
from data.episodes import VIDEO_SPEC, write
from tracks.learned.standins import options
from tracks.scenes import moving_sprite

VELOCITY = (2.0, 1.0)


def annotate(path, frames=7):
    """Two points on a sprite and one on the background that the sprite's corner never reaches."""
    clip = moving_sprite(VELOCITY, start=(20.0, 20.0), frames=frames, seed=3)
    first = torch.tensor([[36.0, 36.0], [44.0, 40.0], [110.0, 110.0]])
    moves = torch.tensor([[1.0], [1.0], [0.0]]) * torch.tensor(VELOCITY)
    at_px = first[:, None] + moves[:, None] * torch.arange(frames)[:, None]
    occluded = np.zeros((3, frames), dtype=bool)
    occluded[2, 3] = True
    np.savez(path, video=clip.frames, points=((at_px + 0.5) / 128).numpy(), occluded=occluded)
    return clip


@pytest.fixture
def annotated(tmp_path):
    folder = tmp_path / "annotated"
    folder.mkdir()
    for name in ("a", "b"):
        annotate(folder / f"{name}.npz")
    return folder


def bench(capsys, *arguments) -> dict:
    assert run(["bench", "trackers", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1], parse_constant=pytest.fail)


def test_annotated_points_become_windows(annotated):
    video = Annotated(annotated / "a.npz").read(grid=1, horizon=4, stride=3)
    assert video.truth.points.shape == (7, 1, 4, 9, 2)  # three points from each of the frames 0, 3 and 6
    moved_px = (video.truth.points[3, 0, :, 3] - video.queries[3]) * 64
    torch.testing.assert_close(moved_px, torch.tensor(VELOCITY) * torch.arange(4)[:, None])
    asked = video.truth.visible[:, 0, 0]
    assert asked.nonzero().tolist() == [[0, 0], [0, 1], [0, 2], [3, 3], [3, 4], [6, 6], [6, 7], [6, 8]]
    assert not video.truth.visible[0, 0, 3, 2], "occluded in frame 3"
    assert not video.truth.visible[6, 0, 1:].any(), "past the end"


def test_trackers_are_judged_and_compared(annotated, capsys, tmp_path):
    out = tmp_path / "page"
    summary = bench(
        capsys, annotated, "--trackers", "dis", "lucas-kanade", "--horizon", "4", "--stride", "3", "--out", out
    )
    assert (summary["videos"], summary["start_frames"]) == (2, 14)
    rows = summary["trackers"]
    assert rows["lucas-kanade"]["tracks"]["moving"]["error_px"] < 0.5
    assert rows["lucas-kanade"]["tracks"]["moving"]["delta_avg"] > 0.95
    assert rows["no motion"]["tracks"]["moving"]["error_px"] == pytest.approx(2 * np.hypot(*VELOCITY))
    assert rows["dis"]["cost_of_dis"] == 1
    assert rows["dis"]["delta_avg_above_dis"]["moving"] == [0, 0, 0]
    low, high = rows["dis"]["ci95"]["all"]["delta_avg"]
    assert low <= rows["dis"]["tracks"]["all"]["delta_avg"] <= high
    page = (out / "trackers.html").read_text()
    assert "lucas-kanade" in page
    assert page.count("data:image/png") == 3
    assert json.loads((out / "trackers.json").read_text())["trackers"].keys() == rows.keys()


def test_noise_and_pixels_of_another_frame_change_the_figures(annotated, capsys):
    quick = [annotated, "--trackers", "lucas-kanade", "--horizon", "4", "--stride", "3"]
    clean, noisy, same, large = (
        bench(capsys, *quick, *more)["trackers"]["lucas-kanade"]["tracks"]["moving"]
        for more in ([], ["--noise", "20"], ["--noise", "20"], ["--size-px", "256"])
    )
    assert noisy["error_px"] > clean["error_px"]
    assert noisy == same
    assert large["error_px"] == pytest.approx(2 * clean["error_px"])


def test_learned_trackers_take_their_files_by_name(annotated, capsys):
    chosen = options("cotracker3")
    files = ["--weights", "cotracker3", chosen["weights"], "--code", "cotracker3", chosen["code"], "--batch", "3"]
    summary = bench(capsys, annotated, "--trackers", "cotracker3", "--episodes", "1", "--horizon", "3", *files)
    row = summary["trackers"]["cotracker3"]
    assert row["tracks"]["moving"]["error_px"] < 0.5
    assert row["settings"]["weights_sha256"]
    assert row["cost_of_dis"] is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--trackers", "flo"], "did you mean 'flow'"),
        (["--trackers", "dis", "--batch", "2"], "--batch"),
        (["--trackers", "dis", "--weights", "cotracker3", "x.pt"], "cotracker3"),
        (["--trackers", "dis", "--grid", "0"], "grid"),
        (["--trackers", "dis", "--noise", "-1"], "noise"),
    ],
)
def test_mistakes_are_bad_usage(annotated, arguments, said, capsys):
    assert run(["bench", "trackers", str(annotated), *arguments]) == 2
    assert said in capsys.readouterr().err


def test_a_broken_video_is_set_aside_and_counted(annotated, capsys):
    (annotated / "c.npz").write_bytes(b"PK\x03\x04 nothing")
    np.savez(
        annotated / "d.npz",
        video=np.zeros((3, 8, 8, 3), np.uint8),
        points=np.zeros((2, 4, 2)),
        occluded=np.zeros((2, 4)),
    )
    np.savez(annotated / "e.npz", video=np.array([object()]), points=np.zeros(1), occluded=np.zeros(1))
    quick = [annotated, "--trackers", "dis", "--horizon", "2"]
    summary = bench(capsys, *quick)
    assert summary["videos"] == 2
    assert len(summary["set_aside"]) == 3
    assert run(["bench", "trackers", *map(str, quick), "--strict"]) == 1
    assert "d.npz" in capsys.readouterr().err


def test_absurd_claims_are_not_read(annotated, monkeypatch):
    monkeypatch.setattr(judged_videos, "LARGEST_BYTES", 1000)
    with pytest.raises(DataError, match="claims"):
        Annotated(annotated / "a.npz").read(grid=1, horizon=2, stride=1)


def test_nothing_to_judge_by_is_an_error(tmp_path):
    dataset = write(tmp_path / "dataset", VIDEO_SPEC, 1)
    with pytest.raises(DataError, match="no video could be used"):
        bench_trackers([dataset], {"dis": TRACKERS["dis"]()}, TrackerBench(grid=2))
    sources, problems = judged_sources([dataset], cameras=["wrist"], episodes=None)
    assert [source.name.rpartition(" ")[2] for source in sources] == ["wrist"]
    assert problems == {}


def test_a_tracker_never_sees_the_truth(annotated):
    class Nosy:
        name, version, settings = "nosy", "1", {}

        def track(self, clip: Clip, queries, *, horizon):
            assert clip.scene is None
            return TRACKERS["dis"]().track(clip, queries, horizon=horizon)

    assert bench_trackers([annotated], {"nosy": Nosy()}, TrackerBench(horizon=2))["videos"] == 2
