"""What the baselines of track prediction, and the policy that follows their tracks, learn from."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from amplify import rng
from amplify.baselines.track_diffusion import TrackDiffusion
from amplify.baselines.track_policy import TrackGuidedPolicy
from amplify.baselines.track_transformer import TrackTransformer
from amplify.data.windows import WindowSet
from amplify.jobs import progress
from amplify.nn.device import device_of
from amplify.train.stages import VALIDATION_WINDOWS, mean_logs, random_batch, spread
from amplify.types import Sample, TrackWindow


class TrackStage:
    """Image + instruction → tracks of random points, without actions.

    Args:
        name: "track-transformer" or "track-diffusion".
        module: What is trained.
        windows: To learn from: features and tracks.
        held_out: For validation.
    """

    def __init__(
        self,
        name: str,
        module: TrackTransformer | TrackDiffusion,
        windows: WindowSet,
        held_out: WindowSet | None = None,
    ):
        self.name, self.module, self.windows, self.held_out = name, module, windows, held_out

    def batch(self, step: int, generator: np.random.Generator, size: int) -> Sample:
        """Random windows: features and tracks."""
        return random_batch(self.windows, generator, size)[1]

    def loss(self, batch: Sample, *, generator: torch.Generator) -> tuple[Tensor, dict[str, float | Tensor]]:
        """The model's loss on random points."""
        assert batch.features is not None
        assert batch.tracks is not None
        return self.module.loss(batch.features, batch.tracks, generator)

    def validate(self) -> dict[str, float]:
        """The same loss on held-out videos."""
        rows, device = [], device_of(self.module)
        for chosen in spread(self.held_out, VALIDATION_WINDOWS) if self.held_out else []:
            generator = rng.torch_generator(0, self.name, "validate", int(chosen[0]), device=device)
            batch = self.held_out.batch(chosen).to(device)  # type: ignore[union-attr]
            loss, logs = self.loss(batch, generator=generator)
            rows.append({"loss": loss, **logs})
        return mean_logs(rows)


def tracks_predicted(predictor: TrackTransformer, windows: WindowSet, queries: Tensor, *, label: str) -> TrackWindow:
    """The tracks of the same points that a frozen predictor foresees for every window, (w, v, t, n, 2).

    Args:
        predictor: Frozen, dropout off.
        windows: Demonstrations with features.
        queries: Normalised points, (v, n, 2).
        label: Shown beside the progress bar.
    """
    everything = np.array_split(np.arange(len(windows)), max(1, len(windows) // 128))
    rows, device = [], device_of(predictor)
    for chosen in progress(everything, total=len(everything), label=label, unit="batch"):
        features = windows.batch(chosen).features
        assert features is not None
        rows.append(predictor.predict(features.to(device), queries[None].to(device)).to("cpu"))
    return TrackWindow(
        points=torch.cat([row.points for row in rows]),
        visible=torch.cat([row.visible for row in rows]),
        valid=torch.cat([row.valid for row in rows]),
    )


class TrackPolicyStage:
    """Image + proprioception + instruction + predicted tracks → actions.

    Args:
        module: What is trained.
        windows: Demonstrations.
        predicted: The tracks that the frozen transformer foresees for every window, in the order of the windows.
    """

    name = "track-policy"

    def __init__(self, module: TrackGuidedPolicy, windows: WindowSet, predicted: TrackWindow):
        self.module, self.windows, self.predicted = module, windows, predicted

    def batch(self, step: int, generator: np.random.Generator, size: int) -> Sample:
        """Random windows: features, proprioception, actions, predicted tracks."""
        chosen, batch = random_batch(self.windows, generator, size)
        rows = torch.from_numpy(chosen)
        return replace(batch, tracks=self.predicted.map(lambda tensor: tensor[rows]))

    def loss(self, batch: Sample, *, generator: torch.Generator) -> tuple[Tensor, dict[str, float | Tensor]]:
        """The action head's loss."""
        assert batch.features is not None
        assert batch.tracks is not None
        assert batch.actions is not None
        assert batch.proprio is not None
        return self.module.loss(batch.features, batch.proprio, batch.tracks, batch.actions, generator=generator)

    def validate(self) -> dict[str, float]:
        """Nothing, as for inverse dynamics."""
        return {}
