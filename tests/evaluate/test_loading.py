import pytest
import torch

from amplify.baselines import TrackGuidedPolicy, TrackTransformer, TrackTransformerConfig
from amplify.encoders import TEXT_ENCODERS, VISION_ENCODERS
from amplify.encoders.vision import PatchEncoder, PatchNetwork, VisionConfig
from amplify.errors import BundleError
from amplify.evaluate.loading import POLICIES, Loader, kind_of
from amplify.inverse import InverseConfig
from amplify.policy import load_bundle, save_bundle
from amplify.policy.atm import AtmPolicy
from amplify.policy.info import BundleInfo, EncoderInfo
from amplify.types import Features
from policy.conftest import FakeText, FakeVision

SIZES = {"vision_width": 6, "patches": 4, "views": 1}
SMALL = {"width": 16, "heads": 2, "layers": 1}


@pytest.fixture
def path(tmp_path):
    transformer = TrackTransformer(TrackTransformerConfig.quickstart(**SMALL), steps=5, text_width=5, **SIZES)
    guided = TrackGuidedPolicy(
        InverseConfig.quickstart(**SMALL), points=4, steps=5, text_width=5, proprio_width=3, action_width=2, **SIZES
    )
    save_bundle(tmp_path / "bundle", {"track_transformer": transformer, "track_policy": guided})
    return tmp_path / "bundle"


def test_atm_is_built_from_its_two_models(path):
    policy = POLICIES["atm"](load_bundle(path), FakeVision(), FakeText(), "float32")
    assert isinstance(policy, AtmPolicy)
    features = Features(vision=torch.randn(2, 1, 4, 6), text=torch.randn(2, 1, 5))
    assert policy.plan_from_features(features, torch.zeros(2, 3)).actions.actions.shape == (2, 16, 2)


def test_weights_of_fewer_bits_act_nearly_alike(path):
    bundle, features = load_bundle(path), Features(vision=torch.randn(2, 1, 4, 6), text=torch.randn(2, 1, 5))
    plans = {
        precision: POLICIES["atm"](bundle, FakeVision(), FakeText(), precision)
        .plan_from_features(features, torch.zeros(2, 3))
        .actions.actions
        for precision in ("float32", "bfloat16", "int8")
    }
    for fewer in ("bfloat16", "int8"):
        difference = (plans[fewer] - plans["float32"]).abs().max()
        assert 0 < difference < 0.1


def test_a_bundle_without_the_models_of_a_kind_is_refused(path):
    with pytest.raises(BundleError, match="holds no behaviour_cloning model"):
        POLICIES["behaviour-cloning"](load_bundle(path), FakeVision(), FakeText(), "float32")


def test_encoders_are_made_from_what_the_bundle_says(tmp_path):
    settings = {"network": "efficientnet-lite0", "input_px": 32, "grid": 1, "normalise": False}
    made = VISION_ENCODERS["efficientnet-lite0"](settings)
    info = BundleInfo(
        vision_encoder=EncoderInfo(name=made.name, settings=made.settings),
        text_encoder=EncoderInfo(name="minilm-first", settings={"network": "minilm", "tokens": "first"}),
    )
    save_bundle(tmp_path / "b", {}, info.meta)
    with pytest.raises(BundleError, match="another text encoder"):
        Loader().encoders(tmp_path / "b")
    ears = EncoderInfo(name="minilm-first", settings=TEXT_ENCODERS["minilm"]({"tokens": "first"}).settings)
    save_bundle(tmp_path / "b", {}, info.model_copy(update={"text_encoder": ears}).meta)
    loader = Loader()
    vision, text = loader.encoders(tmp_path / "b")
    assert vision.settings == made.settings
    assert (text.name, text.tokens) == ("minilm-first", 1)
    assert loader.encoders(tmp_path / "b")[0] is vision
    gone = EncoderInfo(name="efficientnet-lite0-32px-tuned-12345678", settings=made.settings)
    save_bundle(tmp_path / "b", {}, info.model_copy(update={"vision_encoder": gone, "text_encoder": ears}).meta)
    with pytest.raises(BundleError, match="tuned-12345678"):
        Loader().encoders(tmp_path / "b")


def test_a_bundles_own_encoders_come_first(tmp_path):
    network = PatchNetwork.pretrained(VisionConfig(input_px=32, grid=1))
    with torch.no_grad():
        network.trunk.network.stem.weight.mul_(1.2)
    info = BundleInfo(
        vision_encoder=EncoderInfo(name="mine", settings=network.config.model_dump()),
        text_encoder=EncoderInfo(name="minilm"),
    )
    save_bundle(tmp_path / "b", {"vision_encoder": network}, info.meta)
    vision, _ = Loader().encoders(tmp_path / "b")
    images = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    assert vision.name == "mine"
    with torch.no_grad():
        torch.testing.assert_close(vision.encode(images), network.eval()(images), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(vision.encode(images), PatchEncoder(network.config).encode(images), atol=1e-2)


def test_a_bundle_without_encoders_holds_no_policy(path):
    with pytest.raises(BundleError, match="names no encoders"):
        Loader().policy(path, "atm")


def test_what_kind_of_policy_a_bundle_holds(path, tmp_path):
    assert kind_of(load_bundle(path)) == "atm"
    save_bundle(tmp_path / "none", {})
    with pytest.raises(BundleError, match=r"holds no policy(.|\n)*amplify train inverse"):
        kind_of(load_bundle(tmp_path / "none"))


def test_models_and_eyes_are_where_they_are_to_compute(tmp_path):
    """The meta device stands for one that this machine need not have."""
    made, heard = VISION_ENCODERS["efficientnet-lite0"](), TEXT_ENCODERS["minilm"]()
    info = BundleInfo(
        vision_encoder=EncoderInfo(name=made.name, settings=made.settings),
        text_encoder=EncoderInfo(name=heard.name, settings=heard.settings),
    )
    transformer = TrackTransformer(TrackTransformerConfig.quickstart(**SMALL), steps=5, text_width=5, **SIZES)
    save_bundle(tmp_path / "bundle", {"track_transformer": transformer}, info.meta)
    for device in ("cpu", "meta"):
        loader = Loader(device)
        weights = loader.bundle(tmp_path / "bundle").models["track_transformer"].state_dict()
        assert {value.device.type for value in weights.values()} == {device}
        assert loader.encoders(tmp_path / "bundle")[0].device == device
