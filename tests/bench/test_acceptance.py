import pytest
import torch
from tests.train import moving

from amplify.bench.acceptance import acceptance
from amplify.bench.settings import BenchSettings
from amplify.errors import DataError
from amplify.forward import ForwardConfig, ForwardDynamics
from amplify.policy.bundle import load_bundle, save_bundle
from amplify.policy.info import BundleInfo, EncoderInfo
from amplify.tokens import MotionTokenizer, TokenizerConfig


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return moving.write(tmp_path_factory.mktemp("videos") / "v", actions=False, episodes=2)


def bundle(path, *, encoder):
    torch.manual_seed(0)
    tokenizer = MotionTokenizer(TokenizerConfig.tiny(views=1, points=4, steps=5))
    sizes = {"vision_width": 3, "patches": 4, "views": 1, "text_width": 2}
    forward = ForwardDynamics(ForwardConfig.tiny(), levels=(8, 8, 6, 5), tokens=5, **sizes)
    info = BundleInfo(
        cameras=("front",), vision_encoder=EncoderInfo(name=encoder), text_encoder=EncoderInfo(name="hash")
    )
    save_bundle(path, {"tokenizer": tokenizer, "forward": forward}, info.meta)
    return load_bundle(path)


def test_still_videos_accept_what_moving_on_leaves_right(videos, tmp_path):
    model = bundle(tmp_path / "b", encoder="levels")
    measured = acceptance(model, videos, plans=6, settings=BenchSettings())
    assert measured["of_tokens"] == 5
    assert measured["plans"] == 6
    assert 0 <= measured["accepted_tokens"] <= 5
    assert 1 <= measured["passes"] <= 5
    # Every frame of these videos is the same, so a plan that does not change within its string is its own best draft.
    with torch.no_grad():
        model.models["forward"].classifier.weight.zero_()
    assert acceptance(model, videos, plans=6, settings=BenchSettings())["accepted_tokens"] == 5


def test_features_of_another_encoder_are_refused(videos, tmp_path):
    with pytest.raises(DataError, match="no features of the bundle's encoder"):
        acceptance(bundle(tmp_path / "b", encoder="other"), videos, plans=2, settings=BenchSettings())
