from types import SimpleNamespace

import pytest
import torch

from amplify.errors import DataError
from amplify.evaluate.tokens import round_trip, told_apart
from amplify.evaluate.tracks import score_predictors
from amplify.forward.config import ForwardConfig
from amplify.policy.motion import MotionModel
from amplify.tokens import MotionTokenizer, TokenizerConfig
from train import moving


@pytest.fixture
def videos(tmp_path):
    return moving.write(tmp_path / "videos", actions=False)


def tokenizer(**changes):
    torch.manual_seed(0)
    sizes = {"views": 1, "points": 4, "steps": 5, "width": 16, "heads": 2, "decoder_hidden": 16, "centre_bias": 0.0}
    return MotionTokenizer(TokenizerConfig(**{**sizes, **changes})).eval()


def test_round_trip_is_the_ceiling_of_track_scores(videos):
    model = tokenizer()
    scores = round_trip(model, videos, tracks=moving.TRACKS)
    expected = score_predictors(
        {}, videos, truth=moving.TRACKS, features=moving.FEATURES, text=moving.TEXT, horizon=6, tokenizer=model
    )
    for kind in ("moving", "all"):
        assert scores[kind]["round trip"] == expected[kind]["tokenizer"]
        assert scores[kind]["no_motion"] == expected[kind]["no_motion"]
    assert [e["moving"]["round trip"]["count"] for e in scores["episodes"]] == [
        e["moving"]["tokenizer"]["count"] for e in expected["episodes"]
    ]
    assert 1 <= scores["codebook"]["used"] <= scores["codebook"]["size"] == model.codebook_size


def test_what_the_window_clips_is_counted(videos):
    # The toy moves by 0.05 to 0.08 of the half frame a step: 3.2 px and more.
    narrow = round_trip(tokenizer(window=3), videos, tracks=moving.TRACKS)["clipping"]
    wide = round_trip(tokenizer(window=15), videos, tracks=moving.TRACKS)["clipping"]
    assert narrow["moving_share"] == pytest.approx(1.0)
    assert wide["moving_share"] == 0
    assert narrow["largest_px"] == wide["largest_px"] > 3


class Knowing(MotionModel):
    """Gives a motion the likelihood of its sentence: longer ones are likelier."""

    def __init__(self, model):
        self.tokenizer = model
        self.forward = SimpleNamespace(config=ForwardConfig.tiny())

    def log_likelihood(self, features, window):
        return features.text[:, 0, 0]


def test_told_apart_compares_each_motion_under_two_sentences(videos):
    rivals = {"open": "shut it", "shut it": "open"}
    settings = {"tracks": moving.TRACKS, "features": moving.FEATURES, "text": moving.TEXT}
    found = told_apart(Knowing(tokenizer()), videos, rivals=rivals, **settings)
    # "shut it" is 0.3 longer than "open": its own episodes are right, the others wrong by as much.
    assert [episode["instruction"] for episode in found["episodes"]] == ["open", "shut it", "open"]
    assert [episode["nats"] for episode in found["episodes"]] == pytest.approx([-0.3, 0.3, -0.3], rel=1e-2)
    assert found["windows"] == 3 * moving.LENGTH
    assert found["windows_right"] == pytest.approx(1 / 3)


def test_a_rival_that_the_dataset_lacks_is_named(videos):
    with pytest.raises(DataError, match="no rival of 'open'"):
        told_apart(
            Knowing(tokenizer()),
            videos,
            tracks=moving.TRACKS,
            features=moving.FEATURES,
            text=moving.TEXT,
            rivals={"open": "close", "shut it": "open"},
        )
