import pytest
import torch

from amplify.errors import DataError
from amplify.inverse.scaler import Scaler


def test_range_maps_minimum_and_maximum_to_one():
    scaler = Scaler(2)
    scaler.fit(torch.tensor([[0.0, 5.0], [10.0, 5.0], [4.0, 5.0]]))
    scaled = scaler.scale(torch.tensor([[0.0, 5.0], [10.0, 6.0]]))
    torch.testing.assert_close(scaled, torch.tensor([[-1.0, 0.0], [1.0, 1.0]]))


def test_standard_gives_mean_zero_and_deviation_one():
    values = torch.randn(1000, 3, generator=torch.Generator().manual_seed(0)) * 4 + 2
    scaler = Scaler(3)
    scaler.fit(values, "standard")
    scaled = scaler.scale(values)
    torch.testing.assert_close(scaled.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(scaled.std(0, correction=0), torch.ones(3))


def test_round_trip_and_identity_before_fitting():
    values = torch.randn(5, 2, 3)
    scaler = Scaler(3)
    assert torch.equal(scaler.scale(values), values)
    scaler.fit(values[0])
    torch.testing.assert_close(scaler.unscale(scaler.scale(values)), values)
    assert set(scaler.state_dict()) == {"centre", "half_range"}


@pytest.mark.parametrize("method", ["range", "standard"])
@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_values_that_are_no_numbers_are_refused_and_change_nothing(method, wrong):
    values, scaler = torch.rand(5, 3), Scaler(3)
    values[2, 1] = wrong
    with pytest.raises(DataError, match="dimension 1"):
        scaler.fit(values, method)
    assert torch.equal(scaler.scale(torch.ones(3)), torch.ones(3))
