import torch

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
