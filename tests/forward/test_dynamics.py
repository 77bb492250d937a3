from dataclasses import replace

import pytest
import torch

from amplify.forward import ForwardConfig, ForwardDynamics
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
    return features, MotionTokens(indices=torch.randint(1920, (batch, 15), generator=generator))


def test_overfits_four_windows_and_generates_them():
    model = make_model(width=64)
    features, tokens = make_batch()
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(120):
        loss, _ = model.loss(features, tokens)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.eval()
    assert torch.equal(model.generate(features).indices, tokens.indices)
    assert model.loss(features, tokens)[1]["token_accuracy"] == 1


@pytest.mark.parametrize("seed", [None, 3])
def test_cached_generation_equals_full_passes(seed):
    model = make_model().eval()
    features, _ = make_batch()

    def draw(cache: bool) -> torch.Tensor:
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        return model.generate(features, generator=generator, cache=cache).indices

    assert torch.equal(draw(True), draw(False))
    assert draw(True).shape == (4, 15)


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


def test_tokens_that_do_not_count_change_nothing():
    model = make_model().eval()
    features, tokens = make_batch()
    valid = torch.ones(4, 15, dtype=torch.bool)
    valid[:, 10:] = False
    indices = tokens.indices.clone()
    indices[:, 10:] = 0
    one, _ = model.loss(features, tokens, valid)
    other, _ = model.loss(features, MotionTokens(indices=indices), valid)
    assert one.item() == pytest.approx(other.item())
    assert one.item() != pytest.approx(model.loss(features, tokens)[0].item())
    assert model.loss(features, tokens, torch.zeros_like(valid))[0].item() == 0


def test_log_likelihood_is_the_negative_loss_of_the_string():
    model = make_model().eval()
    features, tokens = make_batch()
    likelihood = model.log_likelihood(features, tokens)
    assert likelihood.shape == (4,)
    assert -likelihood.mean().item() / 15 == pytest.approx(model.loss(features, tokens)[0].item(), rel=1e-5)


@pytest.mark.parametrize(
    "change", [{"width": 64}, {"layers": 3}, {"heads": 4}, {"dropout": 0.3}, {"label_smoothing": 0.1}],
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
