import re

import pytest
import torch
from tests.reference.folder import FOLDER, part
from torch import Tensor
from torch.nn.functional import batch_norm, conv2d, interpolate, max_pool2d

from amplify.errors import BundleError
from amplify.policy import load_bundle
from amplify.policy.info import info_of
from amplify.reference.checking import problems
from amplify.reference.encoders import convert_encoder, encoder_shapes, text_network, vision_network
from amplify.reference.forward import forward_settings, forward_shapes
from amplify.reference.importer import convert, import_reference
from amplify.reference.inverse import Codes, inverse_settings, inverse_shapes
from amplify.reference.reading import load_checkpoint
from amplify.reference.tokenizer import tokenizer_config, tokenizer_shapes

VISION = {"model_name": "resnet18", "get_patches": True, "patch_pooling": None, "img_size": 64}
WIDTHS = (4, 6, 8, 10)


def full_size() -> dict[str, dict[str, Tensor]]:
    """Every tensor of a full-size checkpoint, without values; the inverse model by head."""
    sections, head = {}, ""
    for line in (FOLDER / "official_state_dict_keys.txt").read_text().splitlines():
        if line.startswith("#"):
            named = re.search(r"type=(\w+)", line)
            head = f":{named[1]}" if named else head
        elif match := re.match(r"(\w+)\.(\S+)\t\((.*)\)\t(\w+)", line):
            shape = tuple(int(size) for size in match[3].split(",") if size.strip())
            value = torch.empty(shape, dtype=getattr(torch, match[4]), device="meta")
            sections.setdefault(match[1] + (head if match[1] == "inverse_dynamics" else ""), {})[match[2]] = value
    return sections


def test_every_tensor_of_a_full_size_checkpoint_is_known():
    sections = full_size()
    config = load_checkpoint(FOLDER / "official_small.pt")["config"]
    sizes = {"num_tracks": 400, "num_heads": 8, "hidden_dim": 768, "decoder_mlp_hidden_dim": 256}
    tokenizer = part("tokenizer", config["motion_tokenizer_cfg"] | sizes, sections["motion_tokenizer"])
    known = tokenizer_config(tokenizer)
    assert problems(tokenizer, tokenizer_shapes(known)) == []
    settings = config["forward_dynamics_cfg"]["forward_dynamics"]
    settings = {
        "forward_dynamics": settings | {"transformer": {"n_layer": 8, "n_head": 8, "dropout": 0.1, "bias": False}}
    }
    forward = part("forward", settings, sections["forward_dynamics"])
    assert problems(forward, forward_shapes(*forward_settings(forward, known))) == []
    codes = Codes(tokens=15, levels=known.levels, views=2, width=768, horizon=16, weights={})
    for head in ("gaussian", "diffusion", "flow"):
        name = "inverse_dynamics" if head == "gaussian" else f"inverse_dynamics:{head}"
        settings = config["inverse_dynamics_cfg"] | {"type": head, "num_layers": 4, "num_heads": 8}
        inverse = part("inverse", settings, sections[name])
        assert problems(inverse, inverse_shapes(*inverse_settings(inverse, codes), inverse)) == []
    eyes = part("vision_encoder", config["vision_encoder_cfg"], sections["img_encoder"])
    ears = part("text_encoder", config["text_encoder_cfg"], sections["text_encoder"])
    with torch.device("meta"):
        assert problems(eyes, encoder_shapes(vision_network(eyes))) == []
        assert problems(ears, encoder_shapes(text_network(ears))) == []


def small_resnet() -> dict[str, Tensor]:
    """A ResNet-18 of the reference with few channels and random weights."""
    generator = torch.Generator().manual_seed(0)
    weights: dict[str, Tensor] = {}

    def convolution(name, out, into, side):
        weights[f"{name}.weight"] = torch.randn(out, into, side, side, generator=generator) * (into * side**2) ** -0.5

    def norm(name, width):
        weights.update(
            {f"{name}.{key}": torch.rand(width, generator=generator) + 0.5 for key in ("weight", "running_var")}
        )
        weights.update({f"{name}.{key}": torch.randn(width, generator=generator) for key in ("bias", "running_mean")})

    convolution("model.0", WIDTHS[0], 3, 7)
    norm("model.1", WIDTHS[0])
    into = WIDTHS[0]
    for stage, width in zip("4567", WIDTHS):
        for block in "01":
            name = f"model.{stage}.{block}"
            convolution(f"{name}.conv1", width, into, 3)
            convolution(f"{name}.conv2", width, width, 3)
            norm(f"{name}.bn1", width)
            norm(f"{name}.bn2", width)
            if into != width:
                convolution(f"{name}.downsample.0", width, into, 1)
                norm(f"{name}.downsample.1", width)
            into = width
    return weights


def plain_resnet(w: dict[str, Tensor], images: Tensor) -> Tensor:
    """Tokens of pixels from 0 to 1, (b, h, w, 3)."""

    def normal(x, name):
        return batch_norm(x, *(w[f"{name}.{key}"] for key in ("running_mean", "running_var", "weight", "bias")))

    x = interpolate(images.movedim(-1, 1), size=(64, 64), mode="bilinear", align_corners=False)
    x = max_pool2d(normal(conv2d(x, w["model.0.weight"], stride=2, padding=3), "model.1").relu(), 3, 2, 1)
    for stage in "4567":
        for block in "01":
            name = f"model.{stage}.{block}"
            stride = 2 if f"{name}.downsample.0.weight" in w else 1
            y = normal(conv2d(x, w[f"{name}.conv1.weight"], stride=stride, padding=1), f"{name}.bn1").relu()
            y = normal(conv2d(y, w[f"{name}.conv2.weight"], padding=1), f"{name}.bn2")
            if stride == 2:
                x = normal(conv2d(x, w[f"{name}.downsample.0.weight"], stride=2), f"{name}.downsample.1")
            x = (x + y).relu()
    return x.flatten(2).mT


def test_the_image_encoder_computes_what_its_plain_form_does():
    weights = small_resnet()
    network = vision_network(part("vision_encoder", VISION, weights)).eval()
    network.load_state_dict(convert_encoder(weights, network))
    images = torch.randint(256, (2, 40, 40, 3), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    expected = plain_resnet(weights, images / 255)
    with torch.no_grad():
        torch.testing.assert_close(network(images), expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_an_image_encoder_goes_into_the_bundle(tmp_path):
    content = load_checkpoint(FOLDER / "official_small.pt")
    content["config"]["vision_encoder_cfg"] = VISION
    content["model"] |= {f"img_encoder.{name}": value for name, value in small_resnet().items()}
    torch.save(content, tmp_path / "whole.pt")
    summary = import_reference([tmp_path / "whole.pt"], tmp_path / "bundle")
    bundle = load_bundle(tmp_path / "bundle")
    assert "vision_encoder" in bundle.models
    assert info_of(bundle).vision_encoder.settings["normalise"] is False
    assert info_of(bundle).vision_encoder.name.startswith("resnet18-64px-reference-"), "not the published network's"
    assert not any("image encoder" in note for note in summary["notes"])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_name": "vit-tiny"}, "a network 'vit-tiny'"),
        ({"get_patches": False}, "one vector in place of patches"),
        ({"patch_pooling": "avg"}, "patch_pooling 'avg'"),
    ],
)
def test_other_image_encoders_are_refused(changes, said):
    with pytest.raises(BundleError, match=said):
        convert({"vision_encoder": part("vision_encoder", VISION | changes, small_resnet())})
