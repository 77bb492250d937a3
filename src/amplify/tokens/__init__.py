"""Motion tokens: keypoint tracks ↔ a short discrete string."""

from amplify.tokens.config import TokenizerConfig
from amplify.tokens.tokenizer import MotionTokenizer

__all__ = ["MotionTokenizer", "TokenizerConfig"]
