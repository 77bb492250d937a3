import pytest
import torch

from amplify.tokens import MotionTokenizer, TokenizerConfig
from amplify.types import MotionTokens


@pytest.fixture
def tokenizer():
    torch.manual_seed(0)
    return MotionTokenizer(TokenizerConfig.quickstart(points=4, width=16, heads=2, decoder_hidden=8)).eval()


@pytest.mark.parametrize("lead", [(), (3,), (2, 3)])
@pytest.mark.parametrize("kind", ["codes", "steps"])
def test_shape_and_width(tokenizer, lead, kind):
    tokens = MotionTokens(indices=torch.randint(0, 1920, (*lead, 15)))
    assert tokenizer.embed(tokens, kind).shape == (*lead, 15, tokenizer.embedding_width(kind))


def test_codes_are_the_fsq_vectors(tokenizer):
    tokens = MotionTokens(indices=torch.randint(0, 1920, (2, 15)))
    assert torch.equal(tokenizer.embed(tokens, "codes"), tokenizer.codes(tokens))


def test_steps_are_what_the_decoder_draws_from(tokenizer):
    one, two = (MotionTokens(indices=torch.full((1, 15), code)) for code in (3, 900))
    assert not torch.allclose(tokenizer.embed(one, "steps"), tokenizer.embed(two, "steps"))
    assert torch.allclose(tokenizer.embed(one, "steps"), tokenizer.decoder(tokenizer.codes(one)))
