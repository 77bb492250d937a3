"""Trained models, each a cell that nests the models that it was trained on."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from amplify.data.dataset import Dataset
from amplify.data.extract import encode_dataset
from amplify.data.sidecar import features_folder
from amplify.evaluate.loading import Loader
from amplify.experiments.cells.data import Data
from amplify.experiments.engine.cell import Cell
from amplify.experiments.engine.store import Store
from amplify.forward.dynamics import ForwardConfig, ForwardDynamics
from amplify.inverse.action_decoder import InverseConfig
from amplify.policy.bundle import load_bundle
from amplify.policy.motion import MotionModel
from amplify.protocols import TrackPredictor
from amplify.tokens.tokenizer import MotionTokenizer, TokenizerConfig
from amplify.train import recipes
from amplify.train.loop import TrainConfig
from amplify.train.recipes import InverseTraining
from amplify.train.sight import Sight
from amplify.train.training_data import TrainingData


class Model(Cell, ABC):
    """A trained model in a bundle.

    Args:
        data: What it learns from.
    """

    data: Data

    def bundle(self, store: Store) -> Path:
        """The bundle's folder."""
        return recipes.bundle_of(store.folder(self.key))


class Tokenizer(Model):
    """A motion tokenizer.

    Args:
        held_out: For validation.
        model: Sizes and loss.
        train: Budget.
    """

    kind: Literal["tokenizer"] = "tokenizer"
    held_out: Data | None = None
    model: TokenizerConfig
    train: TrainConfig

    def run(self, store: Store) -> Mapping[str, Any]:
        """Trains it."""
        data = self.data.training(store, held_out=self.held_out)
        return recipes.train_tokenizer(store.folder(self.key), data=data, model=self.model, train=self.train)


class TrackModel(Model, ABC):
    """A model that foresees tracks."""

    @abstractmethod
    def predictor(self, store: Store) -> TrackPredictor:
        """The trained model, ready to predict."""


class Forward(TrackModel):
    """Forward dynamics.

    Args:
        tokenizer: Teaches it.
        held_out: For validation.
        model: Sizes and regularisation.
        train: Budget.
    """

    kind: Literal["forward"] = "forward"
    tokenizer: Tokenizer
    held_out: Data | None = None
    model: ForwardConfig
    train: TrainConfig

    def run(self, store: Store) -> Mapping[str, Any]:
        """Trains it."""
        return recipes.train_forward(
            store.folder(self.key),
            parent=self.tokenizer.bundle(store),
            data=self.training_data(store),
            model=self.model,
            train=self.train,
        )

    def training_data(self, store: Store) -> TrainingData:
        """What it learns from, as the recipe wants it."""
        return self.data.training(store, held_out=self.held_out)

    def predictor(self, store: Store, **decoding: Any) -> TrackPredictor:
        """Tokens foreseen and decoded; ``decoding`` is that of `MotionModel`."""
        bundle = load_bundle(self.bundle(store))
        tokenizer, forward = bundle.module("tokenizer", MotionTokenizer), bundle.module("forward", ForwardDynamics)
        return MotionModel(tokenizer, forward, **decoding)


class SeeingForward(Forward):
    """Forward dynamics that sees images in every step: augmented, or through an encoder that learns along.

    Args:
        sight: How.
    """

    sight: Sight

    def training_data(self, store: Store) -> TrainingData:
        """Pictures in place of features."""
        return super().training_data(store).model_copy(update={"sight": self.sight})


class PolicyModel(Model):
    """A model that can act."""

    @property
    @abstractmethod
    def policy(self) -> str:
        """Which policy the bundle holds."""


class Inverse(PolicyModel):
    """Inverse dynamics; with its forward dynamics, the AMPLIFY policy.

    Args:
        forward: Foresees the motion.
        model: Sizes and loss.
        train: Budget, and where the tokens come from.
    """

    kind: Literal["inverse"] = "inverse"
    forward: Forward
    model: InverseConfig
    train: InverseTraining

    @property
    def policy(self) -> str:
        """AMPLIFY."""
        return "amplify"

    def run(self, store: Store) -> Mapping[str, Any]:
        """Trains it."""
        return recipes.train_inverse(
            store.folder(self.key),
            parent=self.forward.bundle(store),
            data=self.training_data(store),
            model=self.model,
            train=self.train,
        )

    def training_data(self, store: Store) -> TrainingData:
        """What it learns from, as the recipe wants it."""
        return self.data.training(store, action_horizon=self.model.action_horizon)


class SeeingInverse(Inverse):
    """Inverse dynamics of forward dynamics whose encoder learned along: the demonstrations are encoded anew by it."""

    def training_data(self, store: Store) -> TrainingData:
        """Features as forward dynamics sees."""
        encoders: tuple[Any, Any] = Loader().encoders(self.forward.bundle(store))
        eyes, ears = encoders
        for part in self.data.parts:
            encode_dataset(Dataset.open(part.recording.dataset(store), columns=False), eyes, ears, workers=0)
        return super().training_data(store).model_copy(update={"features": features_folder(eyes.name)})


class Cloning(PolicyModel):
    """Behaviour cloning.

    Args:
        model: Sizes and loss, those of inverse dynamics.
        train: Budget.
    """

    kind: Literal["cloning"] = "cloning"
    model: InverseConfig
    train: TrainConfig

    @property
    def policy(self) -> str:
        """Behaviour cloning."""
        return "behaviour-cloning"

    def run(self, store: Store) -> Mapping[str, Any]:
        """Trains it."""
        return recipes.train_behaviour_cloning(
            store.folder(self.key),
            data=self.data.training(store, action_horizon=self.model.action_horizon),
            model=self.model,
            train=self.train,
        )
