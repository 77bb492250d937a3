"""Trained baselines, as cells: ATM's track transformer and policy, and a diffusion model of tracks."""

from collections.abc import Mapping
from typing import Any, Literal

from amplify.baselines.track_diffusion import TrackDiffusion, TrackDiffusionConfig
from amplify.baselines.track_transformer import TrackTransformer, TrackTransformerConfig
from amplify.experiments.cells.models import PolicyModel, TrackModel
from amplify.experiments.engine.store import Store
from amplify.inverse.action_decoder import InverseConfig
from amplify.policy.bundle import load_bundle
from amplify.protocols import TrackPredictor
from amplify.train import baseline_recipes
from amplify.train.loop import TrainConfig


class AnyPoint(TrackModel):
    """ATM's any-point transformer: coordinates of tracks by regression.

    Args:
        model: Sizes and loss.
        train: Budget.
    """

    kind: Literal["any-point"] = "any-point"
    model: TrackTransformerConfig
    train: TrainConfig

    def run(self, store: Store) -> Mapping[str, Any]:
        """Trains it."""
        return baseline_recipes.train_track_transformer(
            store.folder(self.key), data=self.data.training(store), model=self.model, train=self.train
        )

    def predictor(self, store: Store) -> TrackPredictor:
        """Coordinates by regression."""
        return load_bundle(self.bundle(store)).module("track_transformer", TrackTransformer)


class Diffusion(TrackModel):
    """A denoiser of trajectories, in the manner of Track2Act.

    Args:
        model: Sizes and noise.
        train: Budget.
    """

    kind: Literal["diffusion"] = "diffusion"
    model: TrackDiffusionConfig
    train: TrainConfig

    def run(self, store: Store) -> Mapping[str, Any]:
        """Trains it."""
        return baseline_recipes.train_track_diffusion(
            store.folder(self.key), data=self.data.training(store), model=self.model, train=self.train
        )

    def predictor(self, store: Store) -> TrackPredictor:
        """Trajectories by denoising, from a fixed start."""
        return load_bundle(self.bundle(store)).module("track_diffusion", TrackDiffusion)


class TrackGuided(PolicyModel):
    """ATM's policy, guided by the tracks that an any-point transformer foresees.

    Args:
        tracks: Foresees them.
        model: Sizes and loss, those of inverse dynamics.
        train: Budget.
    """

    kind: Literal["track-guided"] = "track-guided"
    tracks: AnyPoint
    model: InverseConfig
    train: TrainConfig

    @property
    def policy(self) -> str:
        """ATM."""
        return "atm"

    def run(self, store: Store) -> Mapping[str, Any]:
        """Trains it."""
        return baseline_recipes.train_track_policy(
            store.folder(self.key),
            parent=self.tracks.bundle(store),
            data=self.data.training(store, action_horizon=self.model.action_horizon),
            model=self.model,
            train=self.train,
        )
