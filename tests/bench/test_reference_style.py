import pytest
import torch

from amplify.bench import reference_style
from amplify.bench.models import BenchInputs, BenchModels, BenchSizes
from amplify.bench.reference_style import PlainDecoder
from amplify.types import MotionTokens

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def models():
    return BenchModels.build(BenchSizes.named("tiny"), seed=0, device=CPU)


@pytest.fixture(scope="module")
def inputs(models):
    return BenchInputs.random(models.sizes, 3, seed=0, device=CPU)


@pytest.fixture(scope="module")
def features(models, inputs):
    return inputs.features(models.encoder.encode(inputs.images))


def test_the_frozen_encoder_is_the_plain_one(models, inputs, features):
    with torch.no_grad():
        plain = models.plain_encoder(inputs.images)
    torch.testing.assert_close(features.vision, plain, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_scores_of_full_passes_are_those_of_the_fast_path(models, features):
    tokens = models.forward.generate(features)
    plain = reference_style.string_scores(models.forward, features, tokens.indices[:, :-1])
    torch.testing.assert_close(plain, models.forward.logits(features, tokens), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_full_passes_find_the_tokens_of_the_cached_ones(models, features):
    plain = reference_style.generate(models.forward, features)
    assert torch.equal(plain.indices, models.forward.generate(features).indices)
    assert torch.equal(plain.indices, models.forward.generate(features, draft=plain).indices)


@pytest.mark.parametrize(
    "changes",
    [{}, {"step_residual": True, "width": 256}, {"point_embedding": "table", "key_positions": False}],
)
@torch.no_grad()
def test_concatenations_decode_as_their_parts(changes, inputs):
    sizes = BenchSizes.named("tiny")
    sizes = sizes.model_copy(update={"tokenizer": sizes.tokenizer.model_copy(update=changes)})
    tokenizer = BenchModels.build(sizes, seed=1, device=CPU).tokenizer
    tokens = MotionTokens(indices=torch.randint(0, 1920, (3, tokenizer.tokens)))
    decoder = PlainDecoder(tokenizer.decoder)
    steps = tokenizer.decoder(tokenizer.codes(tokens))
    logits = decoder.logits(steps, inputs.queries[None])
    torch.testing.assert_close(logits, tokenizer.decoder.logits(steps, inputs.queries[None]), rtol=1e-4, atol=1e-4)
    plain = reference_style.decode(tokenizer, decoder, tokens, inputs.queries)
    ours = tokenizer.decode(tokens, inputs.queries, mode="argmax")
    torch.testing.assert_close(plain.points, ours.points)
