import torch

from amplify.bench.settings import BenchSettings
from amplify.bench.tracking import bench_track, moving_square, track_each_start
from amplify.tracks.dense import FlowConfig
from amplify.tracks.flow import FlowTracker
from amplify.tracks.queries import uniform_grid


def test_tracking_each_window_alone_gives_the_same_tracks():
    clip, queries = moving_square(7, seed=0), uniform_grid(4)
    config = FlowConfig(channel="grey", hold_resting=False)
    chained = FlowTracker(config).track(clip, queries, horizon=4)
    alone = track_each_start(clip, queries, horizon=4, config=config)
    torch.testing.assert_close(alone, chained.points[:, 0], rtol=0, atol=1e-6)
    assert (chained.points[0, 0, -1] - queries).norm(dim=-1).max() > 0.05


def test_track_reports_speed():
    report = bench_track(BenchSettings(rounds=1, against="reference-style"), frames=6, grid=3, horizon=4)
    assert report["track_flow"]["ratio"] > 0
    assert report["windows_per_s"]["track_flow_resting"] > 0
