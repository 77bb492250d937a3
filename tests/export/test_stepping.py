import torch
from tests.export.bundles import tiny

from amplify.export.stepping import first_cache, next_scores
from amplify.types import Features


@torch.no_grad()
def test_a_loop_of_steps_scores_as_one_pass(tmp_path):
    forward = tiny(tmp_path / "bundle").models["forward"]
    sizes = forward.dimensions
    features = Features(
        vision=torch.randn(3, sizes["views"], sizes["patches"], sizes["vision_width"]),
        text=torch.randn(3, 1, sizes["text_width"]),
    )
    tokens = forward.generate(features)
    cache, before = first_cache(forward, features), torch.zeros(3, 1, dtype=torch.long)
    for place in range(forward.tokens):
        scores, cache = next_scores(forward, before, torch.tensor(place), cache)
        wanted = forward.logits(features, tokens)[:, place]
        torch.testing.assert_close(scores, wanted, rtol=1e-4, atol=1e-5)
        before = scores.argmax(dim=-1, keepdim=True)
    assert torch.equal(before[:, 0], tokens.indices[:, -1])
