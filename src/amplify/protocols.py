"""The verbs: what a room offers to the others, whoever implements it."""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn

from amplify.types import Clip, Features, Observation, Plan, Sample, TrackWindow


@runtime_checkable
class Tracker(Protocol):
    """Follows points through a video."""

    name: str
    version: str

    @property
    def settings(self) -> Mapping[str, str | int | float | bool]:
        """What changes the result; stored in every track file."""
        ...

    def track(self, clip: Clip, queries: Float[Tensor, "n 2"], *, horizon: int) -> TrackWindow:
        """The queries, re-initialised at every frame of the clip and followed for ``horizon`` frames.

        Args:
            clip: One camera's video, T frames.
            queries: Normalised start points, the same at every start frame.
            horizon: Frames of a window, the query frame included.

        Returns:
            Windows of shape (T, 1 view, horizon, n, 2); ``valid`` is False past the end of the clip, where the last
            position is repeated.
        """
        ...


@runtime_checkable
class VisionEncoder(Protocol):
    """Frozen or trained eyes; owns float conversion, resizing, mean and standard deviation."""

    name: str
    patches: int
    width: int

    def encode(self, images: UInt8[Tensor, "*b h w 3"]) -> Float[Tensor, "*b p d"]:
        """Patch tokens of each image, float32."""
        ...


@runtime_checkable
class TextEncoder(Protocol):
    """Frozen ears."""

    name: str
    tokens: int
    width: int

    def encode(self, sentences: Sequence[str]) -> Float[Tensor, "b l e"]:
        """Token embeddings of each sentence, float32."""
        ...


@runtime_checkable
class TrackPredictor(Protocol):
    """Where points will go, from one image and one sentence."""

    def predict(
        self,
        features: Features,
        queries: Float[Tensor, "#b v n 2"],
        *,
        generator: torch.Generator | None = None,
    ) -> TrackWindow:
        """The foreseen tracks, (b, v, t, n, 2), the query frame first; all marked visible and valid, never clamped.

        Args:
            features: Frozen features of the query frame and of the instruction.
            queries: Normalised points in the query frame, shared by the batch where the first axis is 1.
            generator: Source of randomness; without one the result is deterministic.
        """
        ...


@runtime_checkable
class ActionHead(Protocol):
    """A distribution over action chunks; actions here are scaled to [−1, 1] by the owner's scaler."""

    def loss(
        self,
        context: Float[Tensor, "b c w"],
        target: Float[Tensor, "b s a"],
        valid: Bool[Tensor, "b s"],
        *,
        generator: torch.Generator | None = None,
    ) -> tuple[Float[Tensor, ""], Float[Tensor, "b s a"]]:
        """Mean loss over the valid steps, a scalar, and the best guess of the actions on the way, without gradient.

        Args:
            context: The tokens that say what there is and what to do.
            target: The true actions.
            valid: False past the end: such steps change nothing.
            generator: Draws noise, where the head needs any.
        """
        ...

    def sample(
        self, context: Float[Tensor, "b c w"], *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "b s a"]:
        """Actions; where ``generator`` is None the mode, or for a head without one a draw that is always the same."""
        ...


@runtime_checkable
class Policy(Protocol):
    """Observation to plan; pure, so that memory lives in one place, the Controller."""

    def plan(
        self, observation: Observation, *, previous: Plan | None = None, generator: torch.Generator | None = None
    ) -> Plan:
        """What to do next, for every element of the batch."""
        ...


@runtime_checkable
class Env(Protocol):
    """Several copies of one task, stepped together."""

    num_envs: int
    action_low: np.ndarray
    action_high: np.ndarray
    max_steps: int

    def reset(self, seeds: Sequence[int]) -> None:
        """Goes to initial states; a seed fixes one."""
        ...

    def observe(self) -> Observation:
        """What all environments see now; rendering happens here, and only where something changed."""
        ...

    def step(self, actions: Float[Tensor, "b a"], *, active: Sequence[bool]) -> np.ndarray:
        """A boolean array: which environments have reached success.

        Args:
            actions: In environment units.
            active: Environments that are finished are not stepped.
        """
        ...

    def close(self) -> None:
        """Frees the simulator."""
        ...


@runtime_checkable
class Benchmark(Protocol):
    """A set of tasks that a policy can act in."""

    name: str

    def tasks(self) -> Sequence[str]:
        """Names of all tasks."""
        ...

    def instruction(self, task: str) -> str:
        """The sentence that asks for the task."""
        ...

    def paraphrases(self, task: str) -> Sequence[str]:
        """Other sentences that ask for the same; none where nobody wrote them."""
        ...

    def wrong_instruction(self, task: str) -> str:
        """A sentence that asks for something else, the opposite where there is one."""
        ...

    def make(self, task: str, num_envs: int) -> Env:
        """Environments of the task."""
        ...


@runtime_checkable
class Stage(Protocol):
    """One thing to train: the loop in `amplify.train` knows nothing else."""

    name: str

    @property
    def module(self) -> nn.Module:
        """What is trained."""
        ...

    def batch(self, step: int, generator: np.random.Generator, size: int) -> Sample:
        """The random training batch of a step; it depends on the arguments alone."""
        ...

    def loss(self, batch: Sample, *, generator: torch.Generator) -> tuple[Tensor, dict[str, float | Tensor]]:
        """A scalar to minimise and what to log."""
        ...

    def validate(self) -> dict[str, float]:
        """Figures on held-out windows, without gradients; empty when there are none."""
        ...
