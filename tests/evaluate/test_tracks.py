import pytest
import torch

from amplify.data.windows import Source, WindowSet
from amplify.evaluate.tracks import evaluate_tracks, tracker_agreement
from amplify.metrics.tracks import no_motion, track_metrics
from train import moving
from train.test_recipes import data, motion


@pytest.fixture
def trained(tmp_path):
    from amplify.forward.dynamics import ForwardDynamics
    from amplify.policy.bundle import load_bundle
    from amplify.tokens.tokenizer import MotionTokenizer
    from amplify.train.recipes import bundle_of

    videos = moving.write(tmp_path / "videos", actions=False)
    bundle = load_bundle(bundle_of(motion(tmp_path, data(videos))))
    return bundle.module("tokenizer", MotionTokenizer), bundle.module("forward", ForwardDynamics), videos


def test_rows_and_references(trained):
    tokenizer, forward, videos = trained
    scores = evaluate_tracks(
        tokenizer, forward, videos, truth=moving.TRACKS, features=moving.FEATURES, text=moving.TEXT
    )
    assert set(scores) == {"moving", "all", "windows"}
    assert set(scores["moving"]) == {"model", "tokenizer", "no_motion", "constant_velocity"}
    windows = WindowSet([Source(path=videos)], tracks=moving.TRACKS, features=None, actions=False, horizon=6)
    assert scores["windows"] == len(windows)
    everything = next(windows.batches(len(windows))).tracks
    expected = track_metrics(no_motion(everything), everything).moving
    assert scores["moving"]["no_motion"]["error_px"] == pytest.approx(expected.error_px)
    # The toy drifts at constant speed, so that only the first frame's windows, which have no past, are missed.
    assert scores["moving"]["constant_velocity"]["error_px"] < 0.2 * scores["moving"]["no_motion"]["error_px"]


def test_a_tracker_agrees_with_itself(trained):
    _, _, videos = trained
    scores = tracker_agreement(videos, tracker=moving.TRACKS, truth=moving.TRACKS, horizon=moving.HORIZON)
    assert scores["moving"]["error_px"] == 0
    assert scores["moving"]["delta_avg"] == 1
    assert torch.tensor(scores["all"]["mse"]) == 0
