import pytest
import torch

from amplify.tokens.encoder import TokenEncoder


@pytest.mark.parametrize(
    ("mask", "changes"),
    [("causal", [False, False, True, True]), ("per-step", [False, False, True, False]), ("full", [True] * 4)],
)
def test_which_latents_a_changed_step_reaches(mask, changes):
    torch.manual_seed(0)
    encoder = TokenEncoder(
        views=2, points=3, steps=4, width=16, layers=2, heads=2, out=4, mask=mask, dropout=0.0
    ).eval()
    velocities = torch.randn(1, 2, 4, 3, 2)
    changed = velocities.clone()
    changed[:, :, 2] += 1
    moved = (encoder(velocities) != encoder(changed)).any(dim=-1)[0]
    assert moved.tolist() == changes
