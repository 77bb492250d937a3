"""Sizes, loss and switches of the motion tokenizer."""

import math
from typing import Any, Literal

from pydantic import Field, model_validator

from amplify.config import Config
from amplify.tokens.local_window import LocalWindow

Decoding = Literal["argmax", "expectation", "expectation-on-moving"]


class TokenizerConfig(Config):
    """Sizes and loss of the motion tokenizer.

    Args:
        views: Cameras.
        points: Points a view (20×20 in the paper).
        steps: Track steps, one less than the horizon's frames.
        tokens_per: "joint" makes one token a step of all views together, as the paper; "view" one a step of each view,
            the views' strings one after the other.
        width: Channels of both transformers.
        heads: Attention heads.
        encoder_layers: Blocks of the encoder.
        decoder_layers: Layers of the decoder.
        decoder_hidden: Channels of the decoder's MLP.
        code_in_query: Whether each step of the decoder starts from its own code; if not, from its position alone, as in
            the paper, and has to learn where to look. One trial (6 tasks, 300 steps, one seed): 4.1 px instead of
            5.4 px on moving points.
        key_positions: Whether codes carry their positions where the decoder's steps attend to them; without, a step
            cannot tell codes apart by their place.
        point_embedding: How the decoder knows a point: "position" embeds where it starts, so that any point can be
            decoded; "table" learns a vector for each point of the grid, as the reference, and decodes that grid alone.
        step_residual: Whether the classifier sees the step's state beside the MLP's hidden layer, as the reference's
            residual MLP.
        dropout: Residual dropout of both transformers.
        levels: FSQ levels; their product is the codebook size.
        quantised: Whether codes are rounded to the levels; continuous codes keep the bounds, and tokens are then only
            the nearest codes.
        usage_weight: Weight of how unevenly the levels of each FSQ channel are used over a batch, see `FSQ.usage`.
        window: Side of the local window in cells, odd.
        window_spacing: "linear" makes every cell a pixel; "log" lets cells grow from a pixel at the centre, so that
            the window reaches ``window_reach_px``.
        window_reach_px: Largest displacement that a "log" window can express along an axis, pixels.
        frame_px: Side of the frame that the window's pixels are counted in.
        rounding: "displacement" rounds each displacement to the nearest cell; "frames" clamps both frames into the
            image and rounds each to whole pixels before they are subtracted, as the reference.
        camera_motion: "removed" takes the dominant homography between frames out of the tracks before they are
            encoded, see `amplify.tokens.camera_motion`; "kept" does not.
        decoding: How displacements are read from the scores where the caller names no mode, see
            `MotionTokenizer.decode`.
        encoder_mask: Which tokens a token of the encoder may see: itself and those before it in the string ("causal"),
            itself alone ("per-step"), or all. With a string a view, all of a view stands before the next one.
        subset_points: Points a view that enter the loss, drawn anew for every window, half of them moving; 0 = all.
        moving_px: Path length above which a point counts as moving, pixels of a 128×128 frame.
        centre_bias: First logit of the class "does not move".
        regression_weight: Weight of the smooth L1 distance between expected and true displacement in pixels.
        path_weight: Weight of the same distance between the summed expected displacements and the true position,
            relative to the query frame: small errors of one sign add up along a path.
        agreement_px: The tracker's error below which a step is trusted, pixels of a 128×128 frame.
        disagreement_weight: Loss weight of steps that are not.
        view_weights: Loss weight of each view; equal where empty.
    """

    views: int = Field(default=2, ge=1)
    points: int = Field(default=400, ge=1)
    steps: int = Field(default=15, ge=1)
    tokens_per: Literal["joint", "view"] = "joint"
    width: int = Field(default=768, ge=1)
    heads: int = Field(default=8, ge=1)
    encoder_layers: int = Field(default=2, ge=1)
    decoder_layers: int = Field(default=1, ge=0)
    decoder_hidden: int = Field(default=256, ge=1)
    code_in_query: bool = False
    key_positions: bool = True
    point_embedding: Literal["position", "table"] = "position"
    step_residual: bool = False
    dropout: float = Field(default=0.0, ge=0, lt=1)
    levels: tuple[int, ...] = (8, 8, 6, 5)
    quantised: bool = True
    usage_weight: float = Field(default=0.0, ge=0)
    window: int = Field(default=15, ge=3)
    window_spacing: Literal["linear", "log"] = "linear"
    window_reach_px: float = Field(default=30.0, gt=0)
    frame_px: int = Field(default=128, ge=1)
    rounding: Literal["displacement", "frames"] = "displacement"
    camera_motion: Literal["kept", "removed"] = "kept"
    decoding: Decoding = "expectation-on-moving"
    encoder_mask: Literal["causal", "per-step", "full"] = "causal"
    subset_points: int = Field(default=0, ge=0)
    moving_px: float = Field(default=1.0, ge=0)
    centre_bias: float = 0.0
    regression_weight: float = Field(default=0.0, ge=0)
    path_weight: float = Field(default=0.0, ge=0)
    agreement_px: float = Field(default=1.0, gt=0)
    disagreement_weight: float = Field(default=0.1, ge=0)
    view_weights: tuple[float, ...] = ()

    @model_validator(mode="after")
    def _fits_together(self) -> "TokenizerConfig":
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not divisible by {self.heads} heads")
        if self.window % 2 == 0:
            raise ValueError(f"window {self.window} must be odd: it has a centre")
        if not self.levels or min(self.levels) < 2:
            raise ValueError(f"levels {self.levels} must be two or more each, and at least one of them")
        if self.window_spacing == "log" and not self.window_reach_px > self.window // 2 > 1:
            raise ValueError(
                f"a log window of {self.window} cells needs five cells or more and must reach further than "
                f"{self.window // 2} px, not {self.window_reach_px:g} px: a linear one does that already"
            )
        if self.view_weights and len(self.view_weights) != self.views:
            raise ValueError(f"{len(self.view_weights)} view_weights for {self.views} views")
        if self.view_weights and not (min(self.view_weights) >= 0 < sum(self.view_weights)):
            raise ValueError(f"view_weights {self.view_weights} must not be negative, nor all zero")
        return self

    @property
    def codebook_size(self) -> int:
        """Number of codes."""
        return math.prod(self.levels)

    @property
    def tokens(self) -> int:
        """Motion tokens of a window."""
        return self.steps * (self.views if self.tokens_per == "view" else 1)

    @property
    def local_window(self) -> LocalWindow:
        """The classes of displacement."""
        return LocalWindow(self.window, self.window_reach_px if self.window_spacing == "log" else None)

    @classmethod
    def paper(cls, **changes: Any) -> "TokenizerConfig":
        """The paper's size: third-person and wrist view, 20×20 points, width 768."""
        return cls(**{**_two_views(changes), **changes})

    @classmethod
    def reference(cls, **changes: Any) -> "TokenizerConfig":
        """The paper's size with all switches that its public implementation needs: the same function on its weights."""
        switches = {
            "key_positions": False,
            "point_embedding": "table",
            "step_residual": True,
            "rounding": "frames",
            "decoding": "argmax",
        }
        return cls.paper(**{**switches, **changes})

    @classmethod
    def small(cls, **changes: Any) -> "TokenizerConfig":
        """An eighth of the paper's weights: the same views, points and codes at width 256."""
        return cls(**{**_two_views(changes), "width": 256, "subset_points": 32, **_TRICKS, **changes})

    @classmethod
    def tiny(cls, **changes: Any) -> "TokenizerConfig":
        """For tests and debugging: two views, 5×5 points, width 32."""
        size = {"points": 25, "width": 32, "heads": 4, "decoder_hidden": 32}
        return cls(**{**_two_views(changes), **size, **_TRICKS, **changes})

    @classmethod
    def quickstart(cls, **changes: Any) -> "TokenizerConfig":
        """About a million parameters, trained in minutes on one core: one view, 10×10 points, width 128."""
        size = {"views": 1, "points": 100, "width": 128, "heads": 4, "subset_points": 8}
        return cls(**{**size, **_TRICKS, **changes})


_TRICKS = {"code_in_query": True, "centre_bias": 5.0, "regression_weight": 1.0, "path_weight": 0.2}
"""What made short trainings better in our trials, see the ablation."""


def _two_views(changes: dict[str, Any]) -> dict[str, Any]:
    return {"view_weights": (0.9, 0.1)} if changes.get("views", 2) == 2 else {}
