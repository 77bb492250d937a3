import torch

from amplify.nn.standardise import Standardise


def test_channels_get_mean_zero_and_variance_one_and_outliers_are_held():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(50, 4, 3, generator=generator) * torch.tensor([0.1, 5.0, 1.0]) + 7.0
    standardise = Standardise(3)
    standardise.fit(features)
    rows = standardise(features).flatten(0, 1)
    torch.testing.assert_close(rows.mean(dim=0), torch.zeros(3), rtol=0, atol=1e-2)
    torch.testing.assert_close(rows.std(dim=0), torch.ones(3), rtol=0, atol=1e-2)
    assert standardise(torch.full((1, 3), 1e6)).tolist() == [[5.0, 5.0, 5.0]]


def test_a_channel_that_never_changes_stays_finite():
    standardise = Standardise(2)
    standardise.fit(torch.ones(8, 2))
    assert standardise(torch.ones(1, 2)).tolist() == [[0.0, 0.0]]
