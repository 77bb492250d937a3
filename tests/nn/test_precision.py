import pytest
import torch
from torch import nn

from amplify.errors import UnknownNameError, UsageError
from amplify.nn.precision import converted
from amplify.nn.transformer import Transformer


class Special(nn.Linear):
    """Computes in a way of its own."""


def make():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 32), nn.LayerNorm(32), Special(32, 8)), Transformer(32, 2, 4).eval()


@pytest.mark.parametrize(("precision", "error"), [("bfloat16", 2e-2), ("int8", 4e-2)])
def test_the_function_stays_nearly_the_same(precision, error):
    _, trunk = make()
    x = torch.randn(3, 7, 32)
    y, rough = trunk(x), converted(trunk, precision)(x)
    assert rough.dtype == torch.float32
    assert 0 < (rough - y).abs().max() / y.abs().max() < error


def test_each_output_has_its_own_scale():
    layer = nn.Linear(16, 4)
    with torch.no_grad():
        layer.weight[0].mul_(1000)
    x = torch.randn(9, 16)
    off = (converted(nn.Sequential(layer), "int8")(x) - layer(x)).abs().amax(dim=0)
    assert (off[1:] < 0.05).all()


def test_large_sums_of_8_bit_products_do_not_overflow():
    layer = nn.Linear(64, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0], [-1.0]]).expand(2, 64))
    rough = converted(nn.Sequential(layer), "int8")(torch.full((1, 64), 3.0))
    torch.testing.assert_close(rough, torch.tensor([[192.0, -192.0]]), rtol=0.02, atol=0)


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_the_original_is_left_alone_and_linear_maps_of_other_kinds_too(precision):
    model, _ = make()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    rough = converted(model, precision)
    assert type(rough[0]) is not nn.Linear
    assert type(rough[2]) is Special
    assert type(model[0]) is nn.Linear
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_it_cannot_be_trained(precision):
    rough = converted(make()[1], precision)
    assert not rough.training
    with pytest.raises(UsageError, match="cannot be trained"):
        rough.train()


def test_full_precision_is_the_model_itself():
    model, _ = make()
    assert converted(model, "float32") is model


def test_unknown_precision_is_refused():
    with pytest.raises(UnknownNameError, match="bfloat16"):
        converted(make()[0], "bf16")


def test_integers_are_for_the_cpu():
    with torch.device("meta"):
        layer = nn.Sequential(nn.Linear(4, 4))
    with pytest.raises(UsageError, match="CPU"):
        converted(layer, "int8")


@pytest.mark.gpu
def test_bfloat16_on_a_gpu():
    _, trunk = make()
    x = torch.randn(3, 7, 32, device="cuda")
    y, rough = trunk.cuda()(x), converted(trunk, "bfloat16")(x)
    assert (rough - y).abs().max() / y.abs().max() < 2e-2
