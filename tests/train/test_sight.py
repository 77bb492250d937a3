"""Training from images, with the real offline encoder at its smallest."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from amplify.data.dataset import Dataset
from amplify.data.extract import encode_dataset
from amplify.encoders import VISION_ENCODERS
from amplify.encoders.vision import PatchEncoder, PatchNetwork
from amplify.errors import DataError, MissingDependencyError, UsageError
from amplify.policy.bundle import load_bundle
from amplify.policy.info import EncoderInfo, info_of
from amplify.train import recipes
from amplify.train.loop import TrainConfig
from amplify.train.recipes import InverseTraining
from amplify.train.sight import Sight, Sighted, published_eyes
from train import moving
from train.test_recipes import FORWARD, INVERSE, TOKENIZER, data

EYES = {"network": "efficientnet-lite0", "input_px": 32, "grid": 1}
FEATURES = "features-efficientnet-lite0-32px"
LOOP = TrainConfig(steps=4, batch_size=4, warmup_steps=1, log_every=2, checkpoint_every=2)
STEM = "trunk.network.stem.weight"


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    """Demonstrations with features of the offline encoder, and a tokenizer."""
    root = tmp_path_factory.mktemp("sight")
    demos = moving.write(root / "demos", actions=True)
    for made in (demos, moving.write(root / "held-out", actions=True, episodes=1, first=4)):
        encode_dataset(Dataset.open(made), VISION_ENCODERS["efficientnet-lite0"](EYES), moving.Hash(), workers=0)
    recipes.train_tokenizer(root / "tokenizer", data=source(demos), model=TOKENIZER, train=LOOP)
    return root


def source(demos: Path, *, held_out=(), **sight):
    return data(demos, held_out=held_out).model_copy(update={"features": FEATURES, "sight": Sight(**sight)})


def forward(ready, run, *, train=LOOP, model=FORWARD, held_out=(), **sight):
    given = source(ready / "demos", held_out=held_out, **sight)
    figures = recipes.train_forward(run, parent=ready / "tokenizer", data=given, model=model, train=train)
    return load_bundle(run / "bundle"), figures


def published():
    return PatchNetwork.pretrained(VISION_ENCODERS["efficientnet-lite0"](EYES).config).state_dict()


def test_cached_unless_something_is_asked_for():
    assert Sight().cached
    assert not any(Sight(**{name: 0.1}).cached for name in ("fine_tune", "shift", "colour"))
    assert Sight(memory_gb=1).cached
    with pytest.raises(ValidationError, match="shift"):
        Sight(shift=0.5)


def test_fine_tuned_eyes_are_in_the_bundle_under_a_name_of_their_own(ready, tmp_path):
    bundle, figures = forward(ready, tmp_path / "run", fine_tune=0.1, held_out=(ready / "held-out",))
    eyes = bundle.module("vision_encoder", PatchNetwork).state_dict()
    moved = {name: float((eyes[name] - before).abs().max()) for name, before in published().items()}
    assert moved[STEM] > 0
    assert moved["trunk.mean_8"] == 0
    info = info_of(bundle).vision_encoder
    assert info.name.startswith("efficientnet-lite0-32px-tuned-")
    assert info.settings["input_px"] == 32
    assert "cross_entropy" in figures


def test_the_learning_rate_is_a_multiple(ready, tmp_path):
    def distance(name, rate):
        bundle, _ = forward(ready, tmp_path / name, fine_tune=rate, train=LOOP.model_copy(update={"steps": 1}))
        eyes = bundle.module("vision_encoder", PatchNetwork).state_dict()
        return float((eyes[STEM] - published()[STEM]).abs().median())

    # The first step of AdamW is the learning rate, whatever the gradient.
    assert distance("fast", 0.2) == pytest.approx(20 * distance("slow", 0.01), rel=0.1)


def test_frozen_eyes_see_augmented_images(ready, tmp_path):
    ways = {"cached": {}, "shifted": {"shift": 0.1}, "lit": {"colour": 0.5}, "again": {"colour": 0.5}}
    frozen = {name: forward(ready, tmp_path / name, **sight)[0] for name, sight in ways.items()}
    assert all("vision_encoder" not in bundle.models for bundle in frozen.values())
    assert {info_of(bundle).vision_encoder.name for bundle in frozen.values()} == {"efficientnet-lite0-32px"}
    weights = {name: bundle.models["forward"].vision[1].weight for name, bundle in frozen.items()}
    assert torch.equal(weights["lit"], weights["again"])
    assert not torch.equal(weights["lit"], weights["shifted"])
    assert not torch.allclose(weights["lit"], weights["cached"], atol=1e-4)


def test_resumed_equals_uninterrupted(ready, tmp_path):
    sight = {"fine_tune": 0.1, "colour": 0.2}
    whole, _ = forward(ready, tmp_path / "whole", **sight)
    stops = [2]
    original = Sighted.loss

    def stopping(self, batch, *, generator):
        stops[0] -= 1
        if stops[0] < 0:
            raise KeyboardInterrupt
        return original(self, batch, generator=generator)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Sighted, "loss", stopping)
        with pytest.raises(KeyboardInterrupt):
            forward(ready, tmp_path / "broken", **sight)
    resumed, _ = forward(ready, tmp_path / "broken", **sight)
    for name in ("forward", "vision_encoder"):
        ours, theirs = (bundle.models[name].state_dict() for bundle in (whole, resumed))
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_inverse_dynamics_gets_eyes_of_its_own(ready, tmp_path):
    parent, _ = forward(ready, tmp_path / "forward", fine_tune=0.1)
    training = InverseTraining(loop=LOOP)
    given = source(ready / "demos", fine_tune=0.1, shift=0.05)
    recipes.train_inverse(tmp_path / "inverse", parent=tmp_path / "forward", data=given, model=INVERSE, train=training)
    bundle = load_bundle(tmp_path / "inverse" / "bundle")
    kept, own = (
        bundle.module(name, PatchNetwork).state_dict() for name in ("vision_encoder", "inverse_vision_encoder")
    )
    before = parent.models["vision_encoder"].state_dict()
    assert all(torch.equal(kept[name], before[name]) for name in kept)
    assert not torch.equal(own[STEM], kept[STEM])
    assert info_of(bundle).vision_encoder == info_of(parent).vision_encoder


def test_features_of_other_eyes_than_the_parents_are_refused(ready, tmp_path):
    parent, _ = forward(ready, tmp_path / "forward", fine_tune=0.1)
    training = InverseTraining(loop=LOOP)
    with pytest.raises(DataError, match=r"images are not those(.|\n)*amplify encode DATASET --bundle"):
        recipes.train_inverse(
            tmp_path / "i", parent=parent.path, data=source(ready / "demos"), model=INVERSE, train=training
        )
    other = source(ready / "demos").model_copy(update={"features": moving.FEATURES})
    forward(ready, tmp_path / "plain")
    with pytest.raises(DataError, match=r"got: *levels"):
        recipes.train_inverse(tmp_path / "i", parent=tmp_path / "plain", data=other, model=INVERSE, train=training)


def test_behaviour_cloning_from_images(ready, tmp_path):
    given = source(ready / "demos", fine_tune=0.1).model_copy(update={"tracks": None})
    recipes.train_behaviour_cloning(tmp_path / "bc", data=given, model=INVERSE, train=LOOP)
    bundle = load_bundle(tmp_path / "bc" / "bundle")
    assert set(bundle.models) == {"behaviour_cloning", "vision_encoder"}
    assert not torch.equal(bundle.models["vision_encoder"].state_dict()[STEM], published()[STEM])


@pytest.mark.parametrize("goal", ["image", "both"])
@pytest.mark.parametrize("sight", [{}, {"fine_tune": 0.1}])
def test_goal_images(ready, tmp_path, goal, sight):
    model = FORWARD.model_copy(update={"goal": goal})
    forward(ready, tmp_path / "forward", model=model, **sight)
    given = source(ready / "demos", **({"shift": 0.05} if sight else {}))
    training = InverseTraining(loop=LOOP, predicted_from=0.0)
    figures = recipes.train_inverse(
        tmp_path / "inverse", parent=tmp_path / "forward", data=given, model=INVERSE, train=training
    )
    assert figures["steps_per_second"] > 0
    assert load_bundle(tmp_path / "inverse" / "bundle").models["forward"].config.goal == goal


def test_only_encoders_of_this_package_can_see_within_training(ready, tmp_path):
    given = source(ready / "demos", colour=0.1).model_copy(update={"features": moving.FEATURES})
    with pytest.raises(UsageError, match=r"within training(.|\n)*levels"):
        recipes.train_forward(tmp_path, parent=ready / "tokenizer", data=given, model=FORWARD, train=LOOP)
    with pytest.raises(UsageError, match="not published"):
        published_eyes(EncoderInfo(name="efficientnet-lite0-32px-tuned-12", settings=EYES))


def test_the_same_images_give_the_same_loss_as_cached_features(ready):
    """Apart from rounding to half precision in the sidecar."""
    given, seen = source(ready / "demos"), source(ready / "demos", fine_tune=1e-9)
    chosen = np.arange(4)
    stored = given.training_windows(tracks=False, features=True, actions=False).batch(chosen).features.vision
    windows = seen.training_windows(tracks=False, features=True, actions=False)
    fresh = windows.seen_by(seen.eyes()).batch(chosen).features.vision
    torch.testing.assert_close(fresh, stored, atol=5e-3, rtol=2e-3)


def test_datasets_without_room_for_video_are_read_frame_by_frame(ready, tmp_path):
    weights = [
        forward(ready, tmp_path / str(room), fine_tune=0.1, memory_gb=room)[0].models["forward"].vision[1].weight
        for room in (1.0, 0.0)
    ]
    assert torch.equal(*weights)


def test_what_a_bundle_could_never_see_with_again_is_refused(ready, tmp_path):
    """Cached features of eyes that were fine-tuned: the new bundle would name them, and hold no weights."""
    parent, _ = forward(ready, tmp_path / "forward", fine_tune=0.1)
    info = info_of(parent).vision_encoder
    eyes = PatchEncoder(network=parent.module("vision_encoder", PatchNetwork), name=info.name)
    demos = Dataset.open(moving.write(tmp_path / "demos", actions=True))
    encode_dataset(demos, eyes, moving.Hash(), workers=0)
    given = data(demos.root).model_copy(update={"features": f"features-{info.name}"})
    with pytest.raises(UsageError, match="not published"):
        recipes.train_forward(tmp_path / "f", parent=ready / "tokenizer", data=given, model=FORWARD, train=LOOP)
    with pytest.raises(UsageError, match="not published"):
        recipes.train_behaviour_cloning(tmp_path / "bc", data=given, model=INVERSE, train=LOOP)
    training = InverseTraining(loop=LOOP)
    recipes.train_inverse(tmp_path / "i", parent=parent.path, data=given, model=INVERSE, train=training)
    assert "vision_encoder" in load_bundle(tmp_path / "i" / "bundle").models


def test_cached_features_do_not_need_the_weights_at_hand(ready, tmp_path, monkeypatch):
    def missing(settings):
        raise MissingDependencyError("no weights here")

    monkeypatch.setitem(VISION_ENCODERS, "efficientnet-lite0", missing)
    assert forward(ready, tmp_path / "forward")[1]["steps_per_second"] > 0
