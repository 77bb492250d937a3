import pytest
import torch

from amplify.tokens.config import TokenizerConfig
from amplify.tokens.encoder import TokenEncoder


def make_encoder(**changes) -> TokenEncoder:
    torch.manual_seed(0)
    return TokenEncoder(TokenizerConfig.tiny(**{"points": 3, "steps": 4, "width": 16, "heads": 2, **changes})).eval()


@pytest.mark.parametrize(
    ("mask", "changes"),
    [("causal", [False, False, True, True]), ("per-step", [False, False, True, False]), ("full", [True] * 4)],
)
def test_which_latents_a_changed_step_reaches(mask, changes):
    encoder = make_encoder(encoder_mask=mask)
    velocities = torch.randn(1, 2, 4, 3, 2)
    changed = velocities.clone()
    changed[:, :, 2] += 1
    moved = (encoder(velocities) != encoder(changed)).any(dim=-1)[0]
    assert moved.tolist() == changes


def test_a_string_a_view_tells_the_views_apart():
    encoder = make_encoder(tokens_per="view", encoder_mask="causal")
    velocities = torch.randn(1, 2, 4, 3, 2)
    latents = encoder(velocities)
    assert latents.shape == (1, 8, 4)
    changed = velocities.clone()
    changed[:, 1, 2] += 1
    moved = (latents != encoder(changed)).any(dim=-1)[0]
    assert moved.tolist() == [False] * 6 + [True] * 2
    per_step = make_encoder(tokens_per="view", encoder_mask="per-step")
    moved = (per_step(velocities) != per_step(changed)).any(dim=-1)[0]
    assert moved.tolist() == [False] * 6 + [True, False]
