"""Films of rollouts: what the camera saw, with the motion that the policy foresaw drawn on it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from amplify.draw import draw_tracks, enlarged, label
from amplify.tokens.tokenizer import MotionTokenizer
from amplify.types import MotionTokens, Observation, Plan
from amplify.video import write_video

SCALE = 3
FPS = 8


class Film:
    """Collects what the first environments of a batch saw and foresaw.

    Args:
        copies: How many of the environments are filmed.
        tokenizer: Decodes foreseen tokens; None for a policy without tokens.
        queries: Normalised start points.
    """

    def __init__(self, copies: int, tokenizer: MotionTokenizer | None, queries: Float[Tensor, "n 2"]):
        self._copies, self._tokenizer, self._queries = copies, tokenizer, queries
        self._images: list[np.ndarray] = []
        self._tokens: list[Tensor | None] = []
        self._active: list[np.ndarray] = []
        self._instruction = ""

    def add(self, observation: Observation, plan: Plan | None, active: Bool[np.ndarray, " b"]) -> None:
        """One decision of all environments.

        Args:
            observation: What they saw.
            plan: What the policy intends; the newest between two replannings.
            active: Which environments had not finished.
        """
        self._images.append(observation.images[: self._copies, 0].numpy().copy())
        tokens = plan.tokens if plan is not None else None
        self._tokens.append(None if tokens is None else tokens.indices[: self._copies].clone())
        self._active.append(active[: self._copies].copy())
        self._instruction = observation.instruction[0]

    def write(self, path: Callable[[int, bool], Path], success: np.ndarray) -> None:
        """One mp4 an environment.

        Args:
            path: From the environment's number and its success to the file.
            success: Of every environment.
        """
        for copy in range(min(self._copies, len(success))):
            # The frame after the last decision is kept: it shows success.
            last = max(i for i, active in enumerate(self._active) if active[copy] or i == 0)
            frames = [self._frame(i, copy) for i in range(min(last + 2, len(self._images)))]
            verdict = "success" if success[copy] else "failure"
            frames += [label(frames[-1], verdict, corner="bottom right")] * FPS
            write_video(path(copy, bool(success[copy])), np.stack(frames), fps=FPS)

    def _frame(self, moment: int, copy: int) -> np.ndarray:
        image, tokens = self._images[moment][copy], self._tokens[moment]
        if self._tokenizer is None or tokens is None:
            picture = enlarged(image, SCALE)
        else:
            with torch.no_grad():
                window = self._tokenizer.decode(MotionTokens(indices=tokens[copy : copy + 1]), self._queries)
            picture = draw_tracks(image, window.points[0, 0], scale=SCALE)
        return label(picture, self._instruction)
