"""What a bundle foresees from any image and any sentence."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from amplify.draw.framing import Framing, resized
from amplify.draw.layout import Image
from amplify.errors import BundleError, UsageError
from amplify.evaluate.loading import Loader
from amplify.forward.dynamics import ForwardDynamics
from amplify.metrics.tracks import MOVING_PX, path_px
from amplify.policy.info import BundleInfo, info_of
from amplify.policy.motion import MotionModel
from amplify.protocols import TextEncoder, VisionEncoder
from amplify.rng import torch_generator
from amplify.tokens.tokenizer import MotionTokenizer
from amplify.tracks.queries import uniform_grid
from amplify.types import Features, TrackWindow


@dataclass(frozen=True, slots=True, kw_only=True)
class Future:
    """One motion that may follow.

    Args:
        tokens: Its motion tokens.
        log_likelihood: Of exactly these tokens under forward dynamics, nats.
        expected: Whether it is the motion to expect, on which a policy acts; otherwise it was drawn at random.
        tracks: For each view the points' positions, normalised in the view's square frame.
        path_px: Mean path length of the moving points, pixels of a 128×128 frame; 0 where nothing moves.
        moving_share: Share of the points that move more than a pixel of such a frame.
    """

    tokens: tuple[int, ...]
    log_likelihood: float
    expected: bool
    tracks: tuple[Float[Tensor, "t _ 2"], ...]
    path_px: float
    moving_share: float


class Foresight:
    """A bundle's motion model with its eyes and ears.

    Args:
        bundle: The folder of a bundle with tokenizer and forward dynamics.
        loader: Builds its encoders.

    Raises:
        BundleError: It is damaged, or holds no forward dynamics.
    """

    def __init__(self, bundle: Path, loader: Loader | None = None):
        loader = loader or Loader()
        loaded = loader.bundle(bundle)
        if not {"tokenizer", "forward"} <= loaded.models.keys():
            raise BundleError(
                f"{bundle} holds no forward dynamics, so it foresees nothing",
                got=", ".join(loaded.models),
                remedy="run 'amplify train forward' first, or name the bundle of a later stage",
            )
        self.info: BundleInfo = info_of(loaded)
        self.vision: VisionEncoder
        self.text: TextEncoder
        self.vision, self.text = loader.encoders(bundle)
        tokenizer = loaded.module("tokenizer", MotionTokenizer)
        self.model = MotionModel(tokenizer, loaded.module("forward", ForwardDynamics))
        self.views = tokenizer.config.views

    @torch.no_grad()
    def futures(
        self,
        images: Sequence[Image],
        framings: Sequence[Framing],
        instruction: str,
        *,
        goals: Sequence[Image] = (),
        samples: int = 1,
        temperature: float = 1.0,
        seed: int = 0,
        grid: int | None = None,
    ) -> list[Future]:
        """The future to expect and ``samples`` − 1 random ones, likeliest first.

        Args:
            images: One a camera of the bundle, in its order, any size.
            framings: Where each image's square frame lies.
            instruction: What is asked for; may be empty where the models are shown a goal image alone.
            goals: Images to be reached, framed as ``images`` are; for models that are shown their goal.
            samples: Futures in all.
            temperature: Of the random ones, above 0.
            seed: Of the random ones.
            grid: Points along one side of the square; as in training by default.

        Raises:
            UsageError: The images are not one a camera, what says where to go is missing or is not what the models
                were trained with, or an option is out of range.
        """
        if len(images) != self.views:
            raise UsageError(
                "the models need one image a camera",
                got=f"{len(images)} images",
                allowed=f"{self.views}, in the order {', '.join(self.info.cameras) or 'of training'}",
                remedy="name the images one after the other",
            )
        self._check_goal(instruction, goals)
        features = self._features(images, framings, instruction, goals)
        tokens, log_likelihood = self.model.sample(
            features, samples, torch_generator(seed, "predict"), temperature, expected_first=True
        )
        queries = uniform_grid((self.info.grid or 10) if grid is None else grid)
        window = self.model.decode(tokens, queries).map(lambda x: x[0])  # (samples, v, t, n, 2)
        kept = [framing.on_image(queries) for framing in framings]
        futures = [
            _future(
                tuple(tokens.indices[0, i].tolist()),
                float(log_likelihood[0, i]),
                i == 0,
                window.map(lambda x, i=i: x[i]),
                kept,
            )
            for i in range(samples)
        ]
        return sorted(futures, key=lambda future: -future.log_likelihood)

    def _check_goal(self, instruction: str, goals: Sequence[Image]) -> None:
        kind = self.model.forward.config.goal
        if kind != "image" and not instruction.strip():
            raise UsageError("the instruction is empty", remedy="say what should happen: --text 'open the drawer'")
        if kind == "text" and goals:
            raise UsageError("these models are told their goal and cannot be shown it", remedy="leave out --goal-image")
        if kind != "text" and len(goals) != self.views:
            raise UsageError(
                "these models are shown their goal",
                got=f"{len(goals)} goal images",
                allowed=f"{self.views}, one a camera",
                remedy="name the images to be reached: --goal-image end.png",
            )

    def knows(self, instruction: str) -> bool:
        """Whether the instruction was one of those of training, whatever its capitals, spaces and full stop."""
        return plain(instruction) in map(plain, self.info.instructions)

    def closest(self, instruction: str, count: int = 3) -> tuple[str, ...]:
        """The instructions of training that are closest to one in meaning, as the bundle's ears hear it."""
        known = self.info.instructions
        if not known:
            return ()
        embedded = self.text.encode([instruction, *known]).mean(dim=1)
        similarity = torch.cosine_similarity(embedded[:1], embedded[1:])
        order = similarity.argsort(descending=True, stable=True)[:count].tolist()
        return tuple(known[i] for i in order)

    def _features(
        self, images: Sequence[Image], framings: Sequence[Framing], instruction: str, goals: Sequence[Image]
    ) -> Features:
        goal = None
        if goals:
            framed = [Framing.of(image, framing.fit) for image, framing in zip(goals, framings)]
            goal = self._seen(goals, framed)[None]
        return Features(vision=self._seen(images, framings)[None], text=self.text.encode([instruction]), goal=goal)

    def _seen(self, images: Sequence[Image], framings: Sequence[Framing]) -> Float[Tensor, "v p d"]:
        side_px = self.info.frame_size_px
        squares = [framing.square(image) for image, framing in zip(images, framings)]
        seen = [square if side_px is None else resized(square, side_px) for square in squares]
        # Views of unequal size cannot be stacked, and a bundle that does not name its frame size leaves them so.
        return torch.stack([self.vision.encode(torch.from_numpy(view)) for view in seen])


def _future(
    tokens: tuple[int, ...], log_likelihood: float, expected: bool, window: TrackWindow, kept: Sequence[Tensor]
) -> Future:
    paths = path_px(window)  # (v, n)
    lengths = torch.cat([paths[view][keep] for view, keep in enumerate(kept)])
    moving = lengths > MOVING_PX
    return Future(
        tokens=tokens,
        log_likelihood=log_likelihood,
        expected=expected,
        tracks=tuple(window.points[view][:, keep] for view, keep in enumerate(kept)),
        path_px=float(lengths[moving].mean()) if moving.any() else 0.0,
        moving_share=int(moving.sum()) / len(moving),
    )


def plain(sentence: str) -> str:
    """A sentence without what does not change it: capitals, spaces, full stop."""
    return " ".join(sentence.casefold().strip(" .!").split())
