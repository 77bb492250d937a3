import pytest
import torch

from amplify.baselines import TrackGuidedPolicy, TrackTransformer, TrackTransformerConfig
from amplify.errors import BundleError
from amplify.evaluate.loading import POLICIES, Loader
from amplify.inverse import InverseConfig
from amplify.policy import load_bundle, save_bundle
from amplify.policy.atm import AtmPolicy
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
    policy = POLICIES["atm"](load_bundle(path), FakeVision(), FakeText())
    assert isinstance(policy, AtmPolicy)
    features = Features(vision=torch.randn(2, 1, 4, 6), text=torch.randn(2, 1, 5))
    assert policy.plan_from_features(features, torch.zeros(2, 3)).actions.actions.shape == (2, 16, 2)


def test_a_bundle_without_the_models_of_a_kind_is_refused(path):
    with pytest.raises(BundleError, match="holds no behaviour_cloning model"):
        POLICIES["behaviour-cloning"](load_bundle(path), FakeVision(), FakeText())


def test_a_bundle_without_encoders_holds_no_policy(path):
    with pytest.raises(BundleError, match="names no encoders"):
        Loader().policy(path, "atm")
