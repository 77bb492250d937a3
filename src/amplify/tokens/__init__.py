"""Motion tokens: keypoint tracks ↔ a short discrete string."""

from amplify.tokens.tokenizer import MotionTokenizer, TokenizerConfig

__all__ = ["MotionTokenizer", "TokenizerConfig"]
