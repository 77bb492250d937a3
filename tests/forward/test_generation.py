import pytest
import torch
from tests.forward.test_dynamics import make_batch, make_model

from amplify.errors import UsageError
from amplify.forward import generation
from amplify.types import MotionTokens


@pytest.fixture
def model():
    """Scores far enough apart that rounding decides nothing."""
    model = make_model(level_scores=False).eval()
    with torch.no_grad():
        model.classifier.weight.mul_(30)
        model.token_positions.mul_(5)
    return model


def tokens_of(indices) -> MotionTokens:
    return MotionTokens(indices=indices)


def drafts(right):
    """Guesses that are right everywhere, nowhere, from some place on, up to it, and here and there."""
    wrong = (right + 1) % 1920
    place = torch.arange(right.shape[1])
    return {
        "right": right,
        "wrong": wrong,
        "late": torch.where(place >= 6, right, wrong),
        "early": torch.where(place < 6, right, wrong),
        "every other": torch.where(place % 2 == 0, right, wrong),
        "none": torch.full_like(right, -1),
        "some rows": torch.where(torch.arange(len(right))[:, None] == 1, -1, right),
    }


@pytest.mark.parametrize("kind", ["right", "wrong", "late", "early", "every other", "none", "some rows"])
def test_a_draft_changes_the_passes_and_nothing_else(model, kind):
    features, _ = make_batch()
    plain = model.generation(features)
    assert plain.passes == 15
    assert plain.accepted.tolist() == [0] * 4
    for given in (features, model.start(features)):
        found = model.generation(given, draft=tokens_of(drafts(plain.tokens.indices)[kind]))
        assert torch.equal(found.tokens.indices, plain.tokens.indices)
        torch.testing.assert_close(found.log_likelihood, plain.log_likelihood, rtol=0, atol=1e-3)
        assert found.passes <= 15
        expected = {"right": [15] * 4, "early": [6] * 4, "every other": [1] * 4, "some rows": [15, 0, 15, 15]}
        assert found.accepted.tolist() == expected.get(kind, [0] * 4)
        if kind == "right":
            assert found.passes == 1
        if kind == "early":
            assert found.passes <= 9  # seven tokens from the first pass, at least one from each other


def test_the_greedy_string_is_that_of_full_passes(model):
    features, _ = make_batch()
    found = model.generation(features)
    scores = model.logits(features, found.tokens)
    top = scores.topk(2, dim=-1).values
    assert (top[..., 0] - top[..., 1]).min() > 1e-4
    assert torch.equal(scores.argmax(dim=-1), found.tokens.indices)
    torch.testing.assert_close(found.log_likelihood, model.log_likelihood(features, found.tokens), rtol=0, atol=1e-3)


def test_the_model_mends_a_draft_by_what_it_expects_itself(model, monkeypatch):
    """Where tokens depend on their place alone, one look at the string gives all of them."""
    with torch.no_grad():
        model.code.weight.zero_()
    features, _ = make_batch(batch=1)
    right = model.generate(features).indices
    monkeypatch.setattr(generation, "AHEAD", 15)
    assert model.generation(features, draft=tokens_of(drafts(right)["wrong"])).passes == 2
    monkeypatch.setattr(generation, "AHEAD", 2)
    assert model.generation(features, draft=tokens_of(drafts(right)["wrong"])).passes == 8


def test_likelihood_is_that_of_the_model_whatever_the_draw(model):
    features, _ = make_batch()
    drawn = model.generation(features, generator=torch.Generator().manual_seed(0), temperature=2.0, top_k=9)
    expected = model.log_likelihood(features, drawn.tokens)
    torch.testing.assert_close(drawn.log_likelihood, expected, rtol=0, atol=1e-3)


def test_one_reading_of_the_conditioning_serves_many_strings(model):
    features, _ = make_batch()
    prefix = model.start(features)
    assert (len(prefix), prefix.tokens) == (4, 9)
    repeated = features.map(lambda x: x.repeat_interleave(3, dim=0))

    def seeded():
        return torch.Generator().manual_seed(0)

    expected = model.generate(repeated, generator=seeded()).indices
    assert torch.equal(model.generate(prefix, count=3, generator=seeded()).indices, expected)
    assert torch.equal(model.generate(features, count=3, generator=seeded()).indices, expected)
    assert torch.equal(model.generate(prefix).indices, model.generate(features).indices)
    strings = tokens_of(expected)
    likelihood = model.log_likelihood(prefix, strings)
    torch.testing.assert_close(likelihood, model.log_likelihood(repeated, strings), rtol=0, atol=1e-3)
    torch.testing.assert_close(model.log_likelihood(features, strings), likelihood, rtol=0, atol=1e-3)


def test_a_prefix_is_left_as_it_is(model):
    prefix = model.start(make_batch()[0])
    before = [layer.clone() for layer in prefix.layers]
    first = model.generate(prefix, count=2).indices
    assert torch.equal(model.generate(prefix, count=2).indices, first)
    assert all(torch.equal(a, b) for a, b in zip(before, prefix.layers))


def test_drafts_that_do_not_fit_are_refused(model):
    features, tokens = make_batch()
    with pytest.raises(UsageError, match="likeliest"):
        model.generate(features, draft=tokens, generator=torch.Generator())
    with pytest.raises(UsageError, match="does not fit"):
        model.generate(features, draft=tokens_of(tokens.indices[:, :14]))
    with pytest.raises(UsageError, match="does not fit"):
        model.generate(features, count=2, draft=tokens)
