import math
from dataclasses import replace

import pytest
import torch

from amplify.errors import UsageError
from amplify.policy.motion import MotionModel
from amplify.protocols import TrackPredictor
from amplify.tracks.queries import uniform_grid
from amplify.types import Features, MotionTokens

QUERIES = uniform_grid(2)[None, None]


@pytest.fixture
def features():
    generator = torch.Generator().manual_seed(1)
    return Features(vision=torch.randn(3, 1, 4, 6, generator=generator), text=torch.randn(3, 1, 5, generator=generator))


@pytest.fixture
def make(models):
    """Codes that say very different things, so that futures differ."""
    with torch.no_grad():
        models["tokenizer"].decoder.classifier.weight.mul_(30)
        models["forward"].eval().classifier.weight.mul_(3)
    return lambda **settings: MotionModel(models["tokenizer"], models["forward"], **settings)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_one_future_is_the_one_to_expect_decoded(make, models, features):
    model = make()
    assert isinstance(model, TrackPredictor)
    window = model.predict(features, QUERIES)
    assert window.points.shape == (3, 1, 16, 4, 2)
    assert window.visible.all()
    assert window.valid.all()
    expected = models["tokenizer"].decode_codes(models["forward"].foresee(features), QUERIES)
    assert torch.equal(window.points, expected.points)
    assert torch.equal(model.predict(features, QUERIES, generator=seeded()).points, expected.points)


def test_many_futures_give_their_mean(make, models, features):
    model = make(futures=5, temperature=0.8)
    window = model.predict(features, QUERIES.expand(3, 1, 4, 2), generator=seeded(2))
    tokens, _ = model.sample(features, 5, seeded(2))
    each = [
        models["tokenizer"].decode(MotionTokens(indices=tokens.indices[:, i]), QUERIES, mode="expectation").points
        for i in range(5)
    ]
    assert torch.allclose(window.points, torch.stack(each).mean(dim=0), atol=1e-6)
    assert torch.stack(each).std(dim=0).max() > 1e-3
    assert torch.equal(window.points[..., 0, :, :], QUERIES.expand(3, 1, 4, 2))


def test_without_a_generator_the_mean_is_the_same_every_time(make, features):
    model = make(futures=3)
    first = model.predict(features, QUERIES).points
    torch.manual_seed(5)
    assert torch.equal(model.predict(features, QUERIES).points, first)
    assert not torch.equal(model.predict(features, QUERIES, generator=seeded(9)).points, first)


def test_samples_and_their_log_likelihood(make, models, features):
    tokens, log_likelihood = make().sample(features, 4, seeded(), 2.0, 7)
    assert tokens.indices.shape == (3, 4, 15)
    for i in range(4):
        one = models["forward"].log_likelihood(features, MotionTokens(indices=tokens.indices[:, i]))
        assert torch.allclose(log_likelihood[:, i], one, atol=1e-4)
    assert (log_likelihood < 0).all()


def test_samples_depend_on_seed_temperature_and_top_k(make, models, features):
    def draw(**settings):
        return make().sample(features, 4, seeded(settings.pop("seed", 0)), **settings)[0].indices

    greedy = models["forward"].generate(features).indices[:, None].expand(3, 4, 15)
    assert torch.equal(draw(), draw())
    assert not torch.equal(draw(), draw(seed=1))
    assert not torch.equal(draw(), greedy)
    assert torch.equal(draw(temperature=1e-5), greedy)
    assert torch.equal(draw(top_k=1), greedy)
    assert torch.equal(make(temperature=1e-5).sample(features, 4, seeded())[0].indices, greedy)


def test_the_future_to_expect_comes_first_when_asked(make, models, features):
    expected = models["forward"].plan(features).indices
    tokens, log_likelihood = make().sample(features, 3, seeded(), expected_first=True)
    assert torch.equal(tokens.indices[:, 0], expected)
    plain, _ = make().sample(features, 2, seeded())
    assert torch.equal(tokens.indices[:, 1:], plain.indices)
    assert log_likelihood.shape == (3, 3)
    alone, _ = make().sample(features, 1, seeded(), expected_first=True)
    assert torch.equal(alone.indices[:, 0], expected)


def test_a_given_motion_is_scored_by_its_tokens(make, models, features):
    model, tokenizer = make(), models["tokenizer"]
    windows = model.predict(features, QUERIES)
    scores = model.log_likelihood(features, windows)
    assert scores.shape == (3,)
    assert (scores < 0).all()
    torch.testing.assert_close(scores, models["forward"].log_likelihood(features, tokenizer.encode(windows)))
    other = replace(windows, points=windows.points + torch.linspace(0, 0.6, 16)[:, None, None])
    assert not torch.allclose(model.log_likelihood(features, other), scores)


def test_futures_read_the_conditioning_once(make, models, features, monkeypatch):
    read, condition = [], models["forward"].condition
    monkeypatch.setattr(models["forward"], "condition", lambda f: (read.append(len(f.vision)), condition(f))[1])
    make(futures=4).predict(features, QUERIES)
    make().sample(features, 4, seeded())
    assert read == [3, 3]


def test_decoding_has_an_effect(make, features):
    ways = [make(decoding=mode).predict(features, QUERIES).points for mode in ("argmax", "expectation")]
    assert not torch.allclose(*ways)
    assert make().decoding == "expectation-on-moving"
    assert make(futures=2).decoding == "expectation"


@pytest.mark.parametrize("wrong", [{"futures": 0}, {"temperature": 0.0}, {"temperature": math.nan}])
def test_nonsense_is_refused(make, wrong):
    with pytest.raises(UsageError):
        make(**wrong)


def test_no_future_cannot_be_sampled(make, features):
    with pytest.raises(UsageError, match="futures"):
        make().sample(features, 0, seeded())
    with pytest.raises(UsageError, match="temperature"):
        make().sample(features, 1, seeded(), -1.0)
