"""Settings of forward dynamics."""

from typing import Any, Literal

from pydantic import Field, model_validator

from amplify.config import Config


class ForwardConfig(Config):
    """Sizes and regularisation of forward dynamics.

    Args:
        width: Channels.
        layers: Transformer blocks.
        heads: Attention heads.
        dropout: Residual dropout.
        label_smoothing: Probability spread over all codes in the training target.
        at_once: Share of the training windows whose tokens are foreseen all at once; the others' are foreseen token by
            token. Above 0, `ForwardDynamics.foresee` uses what they teach.
        mean_code_weight: Weight of the squared distance between mean and true code (FSQ vectors) of the windows that
            are foreseen all at once: it pulls probability towards codes that are near the true one.
        level_scores: Add to each code's score one of each of its FSQ levels (27 for 8·8·6·5), which it shares with the
            codes of the same level: codes of similar motions learn from each other.
        feature_norm: How features of image and instruction are scaled. "patch" brings every patch (and word) to mean 0
            and variance 1 over its channels; "set" every channel of the image features over the training set; "none"
            takes them as they are, as the reference implementation does.
        goal: What says where to go: the instruction's "text", the "image" of the goal (`Features.goal`), or "both".
        classes: Outputs of the classifier; the codebook's size by default. The reference implementation has 2048 for
            1920 codes: an index beyond the codebook stands for the code at its remainder;
            its 12-bit codebook has 4096 for 4375, whose last codes are never foreseen.
    """

    width: int = Field(default=768, ge=1)
    layers: int = Field(default=8, ge=1)
    heads: int = Field(default=8, ge=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    at_once: float = Field(default=0.0, ge=0, lt=1)
    mean_code_weight: float = Field(default=0.0, ge=0)
    level_scores: bool = False
    feature_norm: Literal["patch", "set", "none"] = "patch"
    goal: Literal["text", "image", "both"] = "text"
    classes: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _fits_together(self) -> "ForwardConfig":
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not divisible by {self.heads} heads")
        return self

    @classmethod
    def paper(cls, **changes: Any) -> "ForwardConfig":
        """The paper's size: 8 layers, width 768; 59 million parameters."""
        return cls(**changes)

    @classmethod
    def small(cls, **changes: Any) -> "ForwardConfig":
        """The paper's model at half its width and layers; 8 million parameters."""
        return cls(**{"width": 384, "layers": 4, "heads": 6, **changes})

    @classmethod
    def tiny(cls, **changes: Any) -> "ForwardConfig":
        """The paper's model for tests and demonstrations: 2 layers, width 64."""
        return cls(**{"width": 64, "layers": 2, "heads": 4, **changes})

    @classmethod
    def quickstart(cls, **changes: Any) -> "ForwardConfig":
        """About a million parameters: 3 layers, width 128. Train it at a learning rate of 3e-3."""
        small = {
            "width": 128,
            "layers": 3,
            "heads": 4,
            "dropout": 0.0,
            "at_once": 0.75,
            "mean_code_weight": 2.0,
            "level_scores": True,
            "feature_norm": "set",
        }
        return cls(**{**small, **changes})
