import json

import pytest
import torch

from amplify.data.windows import Source, WindowSet
from amplify.errors import UnknownNameError, UsageError
from amplify.evaluate.tokens import told_apart
from amplify.evaluate.tracks import (
    difference,
    evaluate_tracks,
    interval,
    ratio,
    score_predictors,
    tracker_agreement,
)
from amplify.forward.dynamics import ForwardDynamics
from amplify.metrics.tracks import no_motion, track_metrics
from amplify.policy.motion import MotionModel
from amplify.types import TrackWindow
from train import moving
from train.test_recipes import data, motion


@pytest.fixture
def trained(tmp_path):
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


class Drifts:
    """Predicts the toy's motion, scaled by a factor."""

    def __init__(self, factor):
        self.factor = factor

    def predict(self, features, queries, *, generator=None):
        speed = self.factor * (0.02 + features.vision.mean(dim=(1, 2, 3)) * 255 / 2000)
        right = torch.stack((speed, torch.zeros_like(speed)), dim=-1)[:, None, None, None]
        points = queries[:, :, None] + torch.arange(moving.HORIZON)[:, None, None] * right
        visible = torch.ones(points.shape[:-1], dtype=torch.bool)
        return TrackWindow(points=points, visible=visible, valid=visible[..., 0])


def score(videos, **predictors):
    return score_predictors(
        predictors,
        videos,
        truth=moving.TRACKS,
        features=moving.FEATURES,
        text=moving.TEXT,
        horizon=moving.HORIZON,
    )


@pytest.fixture
def scores(tmp_path):
    return score(moving.write(tmp_path / "videos", actions=False), exact=Drifts(1.0), half=Drifts(0.5))


def test_any_predictors_beside_the_references(scores):
    moving_scores = scores["moving"]
    assert list(moving_scores) == ["exact", "half", "no_motion", "constant_velocity"]
    assert moving_scores["exact"]["error_px"] < 0.05 * moving_scores["no_motion"]["error_px"]
    assert moving_scores["half"]["error_px"] == pytest.approx(0.5 * moving_scores["no_motion"]["error_px"], rel=0.05)
    assert json.loads(json.dumps(scores, allow_nan=False)) == scores


def test_instructions_and_episodes_add_up_to_the_whole(scores):
    assert set(scores["instructions"]) == {"open", "shut it"}
    assert [e["episode"] for e in scores["episodes"]] == [0, 1, 2]
    parts = [*scores["instructions"].values()]
    assert sum(part["windows"] for part in parts) == scores["windows"] == 3 * moving.LENGTH
    for kind in ("moving", "all"):
        whole = scores[kind]["half"]
        for rows in (
            [part[kind]["half"] for part in parts],
            [episode[kind]["half"] for episode in scores["episodes"]],
        ):
            assert sum(row["count"] for row in rows) == whole["count"]
            for figure in ("error_px", "mse", "delta_auc", "pixel_accuracy"):
                assert sum(row["count"] * row[figure] for row in rows) / whole["count"] == pytest.approx(whole[figure])


def test_intervals_over_episodes(scores):
    alone = interval(scores, "no_motion")
    assert alone.mean == pytest.approx(scores["moving"]["no_motion"]["error_px"])
    assert alone.low < alone.mean < alone.high  # brighter videos move faster
    against = ratio(scores, "half", "no_motion")
    assert against.high - against.low < 0.05  # half of it in every episode
    assert against.mean == pytest.approx(0.5, abs=0.03)
    less = difference(scores, "half", "no_motion", figure="mse", kind="all")
    assert less.low <= less.mean <= less.high < 0
    assert difference(scores, "half", "half").high == 0
    with pytest.raises(UnknownNameError, match="predictor"):
        interval(scores, "hafl")


def test_names_of_references_are_taken(tmp_path):
    with pytest.raises(UsageError, match="reference"):
        score(tmp_path, no_motion=Drifts(1.0))


@pytest.mark.parametrize("goal", ["image", "both"])
def test_models_that_are_shown_their_goal(trained, goal):
    tokenizer, known, videos = trained
    torch.manual_seed(0)
    config = known.config.model_copy(update={"goal": goal})
    forward = ForwardDynamics(config, **known.dimensions)
    scores = evaluate_tracks(
        tokenizer, forward, videos, truth=moving.TRACKS, features=moving.FEATURES, text=moving.TEXT
    )
    assert scores["all"]["model"]["error_px"] > 0
    apart = told_apart(
        MotionModel(tokenizer, forward),
        videos,
        tracks=moving.TRACKS,
        features=moving.FEATURES,
        text=moving.TEXT,
        rivals={"open": "shut it", "shut it": "open"},
    )
    # A model that is shown its goal alone hears no difference between two sentences.
    assert all((episode["nats"] == 0) == (goal == "image") for episode in apart["episodes"])
