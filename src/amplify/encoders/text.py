"""Tokens of a sentence from a small frozen language model."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from amplify.config import Config
from amplify.encoders.language import T5, Language, MiniLM
from amplify.encoders.pretrained import fingerprint, slug
from amplify.errors import UsageError, pick

LANGUAGES: dict[str, type[Language]] = {"minilm": MiniLM, "t5": T5}
"""Language models by name. The first comes with a package; the other's weights are fetched or lie in a folder."""


class TextConfig(Config):
    """How a sentence becomes tokens.

    Args:
        network: One of `LANGUAGES`.
        tokens: "mean" is one token, the mean of all word pieces (of unit length for MiniLM, which was taught so);
            "first" is that of the first word piece, as the reference takes of T5; "all" keeps every word piece,
            ``max_tokens`` of them, zero past the sentence's end.
        max_tokens: Word pieces of a sentence; longer sentences are cut.
        weights: Another name on the hub, or a folder; the model's own where empty.
    """

    network: Literal["minilm", "t5"] = "minilm"
    tokens: Literal["mean", "first", "all"] = "mean"
    max_tokens: int = Field(default=256, ge=2)
    weights: str = ""

    @classmethod
    def of(cls, network: str, **changes: Any) -> "TextConfig":
        """The settings with which a model is used by default; with all tokens, 32 of them.

        Raises:
            UnknownNameError: There is no such model.
        """
        language = pick(network, LANGUAGES, kind="text encoder")
        most = 32 if changes.get("tokens") == "all" else language.max_tokens
        return cls(**{"network": network, "max_tokens": most, **changes})

    @property
    def language(self) -> type[Language]:
        """The model's class."""
        return LANGUAGES[self.network]

    @property
    def source(self) -> str:
        """Where weights and vocabulary come from."""
        return self.weights or self.language.weights

    def architecture(self) -> dict[str, Any]:
        """The sizes of the model that has these weights.

        Raises:
            AmplifyError: The weights are not here.
        """
        return self.language.architecture(self.source)


class TextNetwork(nn.Module):
    """Word pieces to tokens. A bundle can hold it as ``text_encoder``; the vocabulary stays with the published weights.

    Args:
        config: Which model, and what is kept of its tokens.
        architecture: Sizes of the model, as JSON values.
    """

    def __init__(self, config: TextConfig, *, architecture: Mapping[str, Any]):
        super().__init__()
        self.config = config
        self.dimensions: dict[str, Any] = {"architecture": dict(architecture)}
        self.language = config.language(architecture)

    @classmethod
    def pretrained(cls, config: TextConfig) -> "TextNetwork":
        """With the weights that the settings name, in evaluation mode.

        Raises:
            AmplifyError: The weights are not here, or of another model.
        """
        network = cls(config, architecture=config.architecture())
        network.language.load_state_dict(config.language.state(config.source), strict=True)
        return network.eval()

    def forward(self, words: Int[Tensor, "b w"], mask: Int[Tensor, "b w"]) -> Float[Tensor, "b l e"]:
        """Tokens of each sentence, float32.

        Args:
            words: Word pieces by number.
            mask: 1 where there is one.
        """
        hidden = self.language(words, mask)
        there = mask[..., None].to(hidden.dtype)
        if self.config.tokens == "all":
            return hidden * there
        if self.config.tokens == "first":
            return hidden[:, :1]
        mean = (hidden * there).sum(1, keepdim=True) / there.sum(1, keepdim=True)
        return F.normalize(mean, dim=-1) if self.config.language.unit_length else mean


class SentenceEncoder:
    """Frozen ears: a `TextEncoder`.

    Picklable: another process loads published weights when it first needs them.

    Args:
        config: Which model, and what is kept of its tokens.
        network: A model with weights of its own, of a bundle; by default the published ones.
        name: That of sidecar folders; by default it says what changes the tokens' number and size.

    Raises:
        AmplifyError: The published weights or the vocabulary are not here.
    """

    def __init__(
        self, config: TextConfig | None = None, *, network: TextNetwork | None = None, name: str | None = None
    ):
        self.config = config = network.config if network is not None else config or TextConfig()
        self._own = None if network is None else network.eval().requires_grad_(False)
        config.language.folder(config.source)
        architecture = config.architecture() if network is None else network.dimensions["architecture"]
        self.tokens = config.max_tokens if config.tokens == "all" else 1
        self.width = config.language.width(architecture)
        self.name = name or default_name(config)

    def __reduce__(self):
        if self._own is not None:
            return super().__reduce__()
        return type(self), (self.config,), {"name": self.name}

    @property
    def version(self) -> str:
        """What changes with the weights."""
        return self.config.language.version(self.config.source) if self._own is None else fingerprint(self._own)

    @property
    def settings(self) -> dict[str, str | int | float | bool]:
        """What changes the result, and makes the same encoder again."""
        return self.config.model_dump()

    def encode(self, sentences: Sequence[str]) -> Float[Tensor, "b l e"]:
        """Tokens of each sentence, float32; the same whatever sentences are beside it."""
        words = _vocabulary(self.config.model_dump_json()).encode_batch(list(sentences))
        network = self._own or _network(self.config.model_dump_json())
        with torch.inference_mode():
            return network(torch.tensor([w.ids for w in words]), torch.tensor([w.attention_mask for w in words]))


def default_name(config: TextConfig) -> str:
    """The name of an encoder with published weights: ``minilm``, ``t5-first``, ``t5-base-32tokens``."""
    origin = slug(config.weights) if config.weights else config.network
    kept = {"mean": "", "first": "-first", "all": f"-{config.max_tokens}tokens"}
    return origin + kept[config.tokens]


@lru_cache(maxsize=4)
def _vocabulary(config_json: str) -> Any:
    from tokenizers import Tokenizer

    config = TextConfig.model_validate_json(config_json)
    path = config.language.folder(config.source) / "tokenizer.json"
    if not path.is_file():
        raise UsageError(f"no vocabulary in {path.parent}", got=f"no {path.name}", remedy="copy it there from the hub")
    tokenizer = Tokenizer.from_file(str(path))
    pad = config.language.pad
    tokenizer.enable_truncation(config.max_tokens)
    length = config.max_tokens if config.tokens == "all" else None
    tokenizer.enable_padding(pad_id=tokenizer.token_to_id(pad), pad_token=pad, length=length)
    return tokenizer


@lru_cache(maxsize=4)
def _network(config_json: str) -> TextNetwork:
    return TextNetwork.pretrained(TextConfig.model_validate_json(config_json)).requires_grad_(False)
