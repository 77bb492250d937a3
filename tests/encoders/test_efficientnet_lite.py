import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from amplify.encoders.efficientnet_lite import (
    EPSILON,
    MEAN,
    STD,
    TAPS,
    WIDTHS,
    EfficientNetLite0,
    SameConv,
    folded_weights,
    weights_path,
)


@pytest.fixture(scope="module")
def checkpoint():
    return torch.load(weights_path(), weights_only=True)


@pytest.fixture(scope="module")
def network(checkpoint):
    made = EfficientNetLite0()
    made.load_state_dict(folded_weights(checkpoint), strict=True)
    return made.eval().requires_grad_(False)


def plain_forward(weights, x):
    """The network as published: TensorFlow's padding, batch normalisation apart; outputs of all blocks."""

    def convolve(x, name, stride=1, groups=1):
        kernel = weights[f"{name}.weight"]
        side, size = kernel.shape[-1], x.shape[-1]
        total = max((-(-size // stride) - 1) * stride + side - size, 0)
        pads = (total // 2, total - total // 2)
        return F.conv2d(F.pad(x, pads + pads), kernel, stride=stride, groups=groups)

    def normalise(x, name):
        parts = [weights[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return F.batch_norm(x, *parts, eps=EPSILON)

    x = F.relu6(normalise(convolve(x, "_conv_stem", stride=2), "_bn0"))
    outputs = []
    for number in range(16):
        name, entry = f"_blocks.{number}", x
        if number:
            x = F.relu6(normalise(convolve(x, f"{name}._expand_conv"), f"{name}._bn0"))
        stride = 2 if number in (1, 3, 5, 11) else 1
        x = normalise(convolve(x, f"{name}._depthwise_conv", stride, x.shape[1]), f"{name}._bn1")
        x = normalise(convolve(F.relu6(x), f"{name}._project_conv"), f"{name}._bn2")
        x = x + entry if x.shape == entry.shape else x
        outputs.append(x)
    return outputs


@pytest.mark.parametrize("side", [96, 128])
def test_folded_network_equals_the_published_one(network, checkpoint, side):
    x = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    outputs = plain_forward(checkpoint, x)
    for stride, tap in network(x).items():
        assert tap.shape == (2, WIDTHS[stride], side // stride, side // stride)
        expected = outputs[TAPS[stride]]
        torch.testing.assert_close(tap, expected, atol=1e-4 * expected.abs().max().item(), rtol=0)


def test_a_missing_weight_is_no_silent_default(checkpoint):
    with pytest.raises(KeyError, match=r"_blocks.7._bn1.bias"):
        folded_weights({name: value for name, value in checkpoint.items() if name != "_blocks.7._bn1.bias"})


@pytest.mark.parametrize(
    ("size", "kernel", "stride"), [(8, 3, 2), (9, 3, 2), (8, 5, 2), (7, 5, 2), (8, 3, 1), (6, 1, 1)]
)
def test_same_padding(size, kernel, stride):
    layer = SameConv(1, 1, kernel, stride=stride)
    x = torch.randn(1, 1, size, size)
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + kernel - size, 0)
    before, after = total // 2, total - total // 2
    expected = F.conv2d(F.pad(x, (before, after, before, after)), layer.weight, layer.bias, stride=stride)
    assert expected.shape[-1] == outputs
    torch.testing.assert_close(layer(x), expected)


def test_the_weights_expect_pixels_scaled_as_we_scale_them(checkpoint):
    """The stem's normalisation remembers the training images, whose channel means and deviations are known."""
    kernels, running_mean = checkpoint["_conv_stem.weight"], checkpoint["_bn0.running_mean"]
    sums = kernels.sum(dim=(2, 3))
    seen_mean = torch.linalg.lstsq(sums, running_mean[:, None]).solution[:, 0]
    assert (sums @ seen_mean - running_mean).norm() < 0.01 * running_mean.norm()
    imagenet_mean, imagenet_std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(seen_mean, (imagenet_mean - MEAN) / STD, atol=0.07, rtol=0)
    low_pass = (sums.sum(1).abs() / kernels.abs().sum(dim=(1, 2, 3))) > 0.9
    gains = sums.sum(1).abs()[low_pass]
    seen_std = (checkpoint["_bn0.running_var"][low_pass].sqrt() / gains).max()
    torch.testing.assert_close(seen_std, (imagenet_std / STD).mean(), atol=0.1, rtol=0)
