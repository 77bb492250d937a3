from dataclasses import replace

import pytest
import torch
from tests.forward.test_dynamics import LEVELS, make_batch, make_model

from amplify.errors import DataError, UsageError
from amplify.forward import ForwardConfig, ForwardDynamics
from amplify.types import Features, MotionTokens


def make_wordy(text_tokens=3, **changes) -> tuple[ForwardDynamics, Features, MotionTokens]:
    torch.manual_seed(0)
    sizes = {"levels": LEVELS, "tokens": 6, "vision_width": 24, "patches": 4, "views": 2, "text_width": 10}
    model = ForwardDynamics(ForwardConfig.tiny(**changes), text_tokens=text_tokens, **sizes).eval()
    features, tokens = make_batch()
    text = torch.randn(4, text_tokens, 10, generator=torch.Generator().manual_seed(2))
    return model, replace(features, text=text), MotionTokens(indices=tokens.indices[:, :6])


@pytest.mark.parametrize(("goal", "parts"), [("text", ("text",)), ("image", ("goal",)), ("both", ("text", "goal"))])
def test_the_goal_is_what_the_model_is_told(goal, parts):
    model = make_model(goal=goal).eval()
    features, tokens = make_batch()
    other, before = make_batch(seed=1)[0], model.logits(features, tokens)
    for part in ("text", "goal"):
        changed = not torch.allclose(
            model.logits(replace(features, **{part: getattr(other, part)}), tokens), before, atol=1e-4
        )
        assert changed == (part in parts)
    assert model.condition(features).shape == (4, 8 + ("text" in parts) + 8 * ("goal" in parts), 32)
    assert ("text.1.weight" in model.state_dict()) == ("text" in parts)


def test_a_goal_image_is_not_the_present_one():
    model = make_model(goal="image").eval()
    features, tokens = make_batch()
    swapped = replace(features, vision=features.goal, goal=features.vision)
    assert not torch.allclose(model.logits(features, tokens), model.logits(swapped, tokens), atol=1e-4)


def test_without_the_goal_image_it_says_so():
    features, tokens = make_batch()
    with pytest.raises(DataError, match="goal as an image"):
        make_model(goal="both").logits(replace(features, goal=None), tokens)


@pytest.mark.parametrize(
    ("part", "other", "says"),
    [("vision", (4, 1, 4, 24), "1 views"), ("vision", (4, 2, 1, 24), "1 patches"), ("vision", (4, 2, 4, 9), "9 chan"),
     ("text", (4, 1, 9), "instructions")],
)  # fmt: skip
def test_features_of_other_cameras_and_encoders_are_refused(part, other, says):
    features, tokens = make_batch()
    features = replace(features, goal=None, **{part: torch.zeros(other)})
    model = make_model()
    for call in (lambda: model.generate(features), lambda: model.loss(features, tokens)):
        with pytest.raises(DataError, match=says):
            call()


def test_words_have_places_and_fewer_of_them_fit():
    model, features, tokens = make_wordy()
    assert model.condition(features).shape[1] == 11
    turned = replace(features, text=features.text.flip(1))
    assert not torch.allclose(model.logits(features, tokens), model.logits(turned, tokens), atol=1e-5)
    shorter = replace(features, text=features.text[:, :2])
    torch.testing.assert_close(model.condition(shorter), model.condition(features)[:, :10])
    assert model.generate(shorter).indices.shape == (4, 6)
    with pytest.raises(DataError, match="at most 3"):
        model.logits(replace(features, text=features.text.repeat(1, 2, 1)), tokens)


def test_a_pooled_instruction_has_no_place():
    assert "text_positions" not in make_model().state_dict()
    assert "text_positions" not in make_wordy(goal="image")[0].state_dict()
    assert "text_positions" in make_wordy()[0].state_dict()


@pytest.mark.parametrize("kind", ["patch", "set", "none"])
def test_scaling_of_features(kind):
    model = make_model(feature_norm=kind).eval()
    features, _ = make_batch(batch=64)
    model.fit_statistics(features)
    scaled = model.vision[0](features.vision * 1.0)
    if kind == "none":
        assert torch.equal(scaled, features.vision)
        assert torch.equal(model.text[0](features.text), features.text)
        return
    axis = -1 if kind == "patch" else (0, 1, 2)
    torch.testing.assert_close(scaled.mean(dim=axis), torch.zeros_like(scaled.mean(dim=axis)), rtol=0, atol=1e-2)
    words = model.text[0](features.text)
    torch.testing.assert_close(words.mean(dim=-1), torch.zeros(64, 1), rtol=0, atol=1e-5)


def test_an_index_beyond_the_codebook_stands_for_the_code_at_its_remainder():
    model = make_model(classes=2048, at_once=0.0).eval()
    features, tokens = make_batch()
    assert model.logits(features, tokens).shape[-1] == 2048
    beyond = tokens.indices % 128
    same = model.logits(features, MotionTokens(indices=beyond))
    assert torch.equal(model.logits(features, MotionTokens(indices=beyond + 1920)), same)
    with torch.no_grad():
        model.classifier.bias[1930] = 1e3
    found = model.generate(features)
    assert (found.indices == 1930).all()
    assert torch.equal(model.foresee(features), model.codebook.codes(torch.full((4, 15), 10)))
    assert torch.equal(model.generate(features, draft=found).indices, found.indices)


def test_dead_classes_share_the_levels_and_the_mean_of_their_codes():
    model = make_model(classes=2048, at_once=0.5, level_scores=True).eval()
    features, tokens = make_batch()
    with torch.no_grad():
        model.classifier.weight[1920:] = model.classifier.weight[:128]
        model.classifier.bias[1920:] = model.classifier.bias[:128]
    scores = model.logits(features, tokens)
    assert torch.equal(scores[..., 1920:], scores[..., :128])
    assert model.foresee(features).abs().max() <= 1


def test_fewer_classes_than_codes_foresee_those_alone_and_cannot_learn_the_others():
    model, (features, tokens) = make_model(classes=100).eval(), make_batch()
    known = MotionTokens(indices=tokens.indices % 100)
    assert model.logits(features, known).shape[-1] == 100
    assert model.generate(features).indices.max() < 100
    model.loss(features, known)
    with pytest.raises(UsageError, match="100 classes for 1920 codes"):
        model.loss(features, MotionTokens(indices=torch.full_like(tokens.indices, 100)))


def test_every_kind_of_goal_and_text_trains_a_step():
    for changes in ({"goal": "both"}, {"goal": "image"}, {"at_once": 0.5, "level_scores": True, "classes": 2048}):
        model, features, tokens = make_wordy(**changes)
        loss, _ = model.train().loss(features, tokens)
        loss.backward()
        silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
        assert not silent
