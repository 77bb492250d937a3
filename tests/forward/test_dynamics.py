from dataclasses import replace

import pytest
import torch

from amplify.errors import UsageError
from amplify.forward import ForwardConfig, ForwardDynamics
from amplify.forward.sampling import next_token
from amplify.types import Features, MotionTokens

LEVELS = (8, 8, 6, 5)


def make_model(**changes) -> ForwardDynamics:
    torch.manual_seed(0)
    sizes = {"levels": LEVELS, "tokens": 15, "vision_width": 24, "patches": 4, "views": 2, "text_width": 10}
    config = ForwardConfig.quickstart(**{"width": 32, "layers": 2, "heads": 2, "dropout": 0.0, **changes})
    return ForwardDynamics(config, **sizes)


def make_batch(batch=4, seed=0) -> tuple[Features, MotionTokens]:
    generator = torch.Generator().manual_seed(seed)
    features = Features(
        vision=torch.randn(batch, 2, 4, 24, generator=generator), text=torch.randn(batch, 1, 10, generator=generator)
    )
    tokens = MotionTokens(indices=torch.randint(1920, (batch, 15), generator=generator))
    return replace(features, goal=torch.randn(batch, 2, 4, 24, generator=generator)), tokens


def test_overfits_four_windows_and_generates_them():
    model = make_model(width=64, at_once=0.5)
    features, tokens = make_batch()
    # Each window twice: once of each kind.
    both = features.map(lambda x: x.repeat(2, *[1] * (x.ndim - 1))), tokens.map(lambda x: x.repeat(2, 1))
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(120):
        loss, _ = model.loss(*both)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.eval()
    assert torch.equal(model.generate(features).indices, tokens.indices)
    assert torch.equal(model.plan(features).indices, tokens.indices)
    torch.testing.assert_close(model.foresee(features), model.codebook.codes(tokens.indices), rtol=0, atol=0.2)
    assert model.loss(features, tokens)[1]["token_accuracy"] == 1


def plainly_generated(model, features, generator=None, **settings) -> torch.Tensor:
    """A full teacher-forced pass for every token."""
    indices = torch.zeros(len(features.vision), 15, dtype=torch.long)
    for at in range(15):
        scores = model.logits(features, MotionTokens(indices=indices))[:, at]
        indices[:, at] = next_token(scores, generator=generator, **settings)
    return indices


@pytest.mark.parametrize("seed", [None, 3])
def test_cached_generation_equals_full_passes(seed):
    model = make_model().eval()
    features, _ = make_batch()

    def seeded():
        return None if seed is None else torch.Generator().manual_seed(seed)

    tokens = model.generate(features, generator=seeded()).indices
    assert tokens.shape == (4, 15)
    assert torch.equal(tokens, plainly_generated(model, features, seeded()))


def test_generation_is_greedy_under_the_teacher_forced_scores():
    model = make_model().eval()
    features, _ = make_batch()
    tokens = model.generate(features)
    assert torch.equal(model.logits(features, tokens).argmax(dim=-1), tokens.indices)


def test_temperature_and_top_k_reach_the_sampler():
    model = make_model().eval()
    features, _ = make_batch()
    greedy = model.generate(features).indices
    for narrow in ({"temperature": 1e-4}, {"top_k": 1}):
        drawn = model.generate(features, generator=torch.Generator().manual_seed(0), **narrow)
        assert torch.equal(drawn.indices, greedy)
    assert not torch.equal(model.generate(features, generator=torch.Generator().manual_seed(0)).indices, greedy)


def test_scores_see_earlier_tokens_only():
    model = make_model().eval()
    features, tokens = make_batch()
    indices = tokens.indices.clone()
    indices[:, 7] = (indices[:, 7] + 8) % 1920
    before, after = model.logits(features, tokens), model.logits(features, MotionTokens(indices=indices))
    assert torch.equal(before[:, :8], after[:, :8])
    assert not torch.allclose(before[:, 8], after[:, 8])


@pytest.mark.parametrize("part", ["vision", "text"])
def test_scores_depend_on_image_and_instruction(part):
    model = make_model().eval()
    features, tokens = make_batch()
    other = replace(features, **{part: getattr(make_batch(seed=1)[0], part)})
    assert not torch.allclose(model.logits(features, tokens), model.logits(other, tokens), atol=1e-4)


def test_patches_have_places():
    model = make_model().eval()
    features, tokens = make_batch()
    turned = replace(features, vision=features.vision.flip(2))
    assert not torch.allclose(model.logits(features, tokens), model.logits(turned, tokens), atol=1e-5)


PADDING = {
    "past the end": torch.arange(15).expand(4, 15) >= torch.tensor([10, 15, 3, 12])[:, None],
    "a view that is not there": torch.arange(15).expand(4, 15) < torch.tensor([0, 7, 0, 7])[:, None],
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("at_once", [0.0, 0.5])
@pytest.mark.parametrize("where", PADDING)
def test_tokens_that_do_not_count_change_nothing(where, at_once, training):
    model = make_model(at_once=at_once, mean_code_weight=2.0, label_smoothing=0.1).train(training)
    features, tokens = make_batch()
    valid = ~PADDING[where]

    def results(indices):
        model.zero_grad()
        loss, logs = model.loss(features, MotionTokens(indices=indices), valid)
        loss.backward()
        gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        return {"loss": loss.detach(), **{name: torch.as_tensor(value) for name, value in logs.items()}, **gradients}

    one = results(tokens.indices)
    other = results(torch.where(valid, tokens.indices, torch.randint_like(tokens.indices, 1920)))
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name
    assert one["loss"] != results(torch.where(valid, (tokens.indices + 8) % 1920, tokens.indices))["loss"]
    assert one["loss"] != model.loss(features, tokens)[0]


def test_the_loss_is_that_of_the_windows_tokens_that_count():
    model = make_model(at_once=0.0).eval()
    features, tokens = make_batch()
    valid = ~PADDING["past the end"]
    surprise = -model.logits(features, tokens).log_softmax(-1).gather(-1, tokens.indices[..., None])[..., 0]
    assert model.loss(features, tokens, valid)[0].item() == pytest.approx(surprise[valid].mean().item(), rel=1e-5)
    assert model.loss(features, tokens, torch.zeros_like(valid))[0].item() == 0


def absent(features, junk) -> Features:
    """The second view is missing in samples 1 and 3."""
    present = torch.tensor([[True, True], [True, False], [True, True], [True, False]])
    gone = ~present[..., None, None]
    return replace(
        features,
        present=present,
        vision=features.vision.masked_fill(gone, junk),
        goal=features.goal.masked_fill(gone, junk),
    )


@pytest.mark.parametrize("feature_norm", ["patch", "set", "none"])
def test_a_view_that_is_not_present_changes_nothing(feature_norm):
    model = make_model(feature_norm=feature_norm, goal="both", at_once=0.5).train()
    features, tokens = make_batch()

    def results(junk):
        seen = absent(features, junk)
        model.fit_statistics(seen)
        model.zero_grad()
        loss, _ = model.loss(seen, tokens)
        loss.backward()
        gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
        return [loss.detach(), model.generate(seen).indices, model.foresee(seen), *gradients]

    for one, other in zip(results(0.5), results(torch.nan), strict=True):
        assert torch.equal(one, other)
    there, partly = model.logits(features, tokens), model.logits(absent(features, 0.5), tokens)
    assert torch.equal(there[0], partly[0])
    assert not torch.allclose(there[1], partly[1], atol=1e-4)


def test_log_likelihood_is_the_negative_loss_of_the_string():
    model = make_model().eval()
    features, tokens = make_batch()
    likelihood = model.log_likelihood(features, tokens)
    assert likelihood.shape == (4,)
    cross_entropy = model.loss(features, tokens)[1]["cross_entropy"]
    assert -likelihood.mean().item() / 15 == pytest.approx(cross_entropy.item(), rel=1e-5)


@pytest.mark.parametrize(
    "change", [{"width": 64}, {"layers": 3}, {"heads": 4}, {"dropout": 0.3}, {"label_smoothing": 0.1}, {"at_once": 0.5},
     {"feature_norm": "patch"}, {"feature_norm": "none"}, {"level_scores": False}, {"mean_code_weight": 9.0}],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_every_option_has_an_effect(change):
    features, tokens = make_batch()

    def loss(**options) -> float:
        model = make_model(**options)
        torch.manual_seed(1)
        return model.loss(features, tokens)[0].item()

    assert loss(**change) != loss()


def test_the_papers_size():
    with torch.device("meta"):
        model = ForwardDynamics(
            ForwardConfig.paper(), levels=LEVELS, tokens=15, vision_width=512, patches=49, views=2, text_width=512
        )
    assert 58.5e6 < sum(p.numel() for p in model.parameters()) < 59.5e6
    assert len(model.trunk.blocks) == 8


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="heads"):
        ForwardConfig.quickstart(heads=3)


def test_the_mean_future_depends_on_the_conditioning_alone_and_lies_between_the_codes():
    model = make_model(at_once=0.5).eval()
    features, _ = make_batch()
    scores = model.logits_at_once(features)
    codes = model.codebook.codes(torch.arange(1920))
    torch.testing.assert_close(model.foresee(features), scores.softmax(dim=-1) @ codes)
    assert model.foresee(features).abs().max() <= 1
    nearest = (model.foresee(features)[0, 0] - codes).abs().amax(dim=-1).argmin()
    assert (codes[model.plan(features).indices[0, 0]] - codes[nearest]).abs().max() <= 0.5
    with torch.no_grad():
        model.code.weight.zero_()
    torch.testing.assert_close(model.logits_at_once(features), scores)


def test_a_model_that_learned_token_by_token_foresees_its_likeliest_string():
    model = make_model(at_once=0.0).eval()
    features, _ = make_batch()
    string = model.generate(features)
    assert torch.equal(model.foresee(features), model.codebook.codes(string.indices))
    assert torch.equal(model.plan(features).indices, string.indices)
    assert "unknown" not in model.state_dict()
    with pytest.raises(UsageError, match="token by token"):
        model.logits_at_once(features)


def test_windows_of_both_kinds_are_learned_from():
    model = make_model(at_once=0.25, mean_code_weight=0.0)
    features, tokens = make_batch()
    model.train()
    loss = model.loss(features, tokens)[0]
    one_by_one = -model.logits(features, tokens).log_softmax(-1).gather(-1, tokens.indices[..., None]).mean(dim=(1, 2))
    at_once = -model.logits_at_once(features).log_softmax(-1).gather(-1, tokens.indices[..., None]).mean(dim=(1, 2))
    torch.testing.assert_close(loss, torch.cat((at_once[:1], one_by_one[1:])).mean())
    logs = model.eval().loss(features, tokens)[1]
    assert logs["cross_entropy"].item() == pytest.approx(one_by_one.mean().item(), rel=1e-5)
    assert logs["cross_entropy_at_once"].item() == pytest.approx(at_once.mean().item(), rel=1e-5)


def test_the_scale_of_a_channel_does_not_matter_once_its_statistics_are_known():
    features, tokens = make_batch(batch=16)
    scaled = replace(features, vision=features.vision * torch.linspace(0.1, 9.0, 24) + 3.0)
    logits = []
    for seen in (features, scaled):
        model = make_model(feature_norm="set").eval()
        model.fit_statistics(seen)
        logits.append(model.logits(seen, tokens))
    torch.testing.assert_close(logits[0], logits[1], rtol=0, atol=1e-3)
    plain = make_model(feature_norm="patch").eval()
    plain.fit_statistics(features)
    assert not torch.allclose(plain.logits(features, tokens), plain.logits(scaled, tokens), atol=1e-2)
    assert "vision.0.mean" in model.state_dict()
    assert "vision.0.mean" not in plain.state_dict()


def test_a_code_s_score_includes_those_of_its_levels():
    torch.manual_seed(0)
    model, plain = make_model(level_scores=True).eval(), make_model(level_scores=False).eval()
    shared = {name: value for name, value in model.state_dict().items() if ".levels." not in name}
    plain.load_state_dict(shared)
    features, tokens = make_batch()
    torch.nn.init.zeros_(model.classifier.levels.weight)
    torch.nn.init.zeros_(model.classifier.levels.bias)
    with torch.no_grad():
        model.classifier.levels.bias[8 + 3] = 2.0  # the second channel's level 3
    gained = model.logits(features, tokens) - plain.logits(features, tokens)
    has_it = model.codebook.digits(torch.arange(1920))[:, 1] == 3
    torch.testing.assert_close(gained, 2.0 * has_it.float().expand_as(gained), rtol=0, atol=1e-5)


def test_the_distance_of_the_mean_code_counts_where_tokens_are_foreseen_at_once():
    features, tokens = make_batch()
    model = make_model(at_once=0.5, mean_code_weight=3.0).train()
    loss, logs = model.loss(features, tokens)
    off = model.foresee(features)[:2] - model.codebook.codes(tokens.indices[:2])
    distance = off.square().sum(dim=-1).mean()
    assert logs["mean_code_distance"].item() == pytest.approx(distance.item(), rel=1e-5)
    assert loss.item() == pytest.approx((logs["cross_entropy"] + 3 * distance).item(), rel=1e-5)
