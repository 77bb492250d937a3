import pytest
import torch
from pydantic import ValidationError

from amplify.inverse import InverseConfig
from amplify.inverse.heads import make_head
from amplify.inverse.query_denoiser import NOISY_SHARE, QueryDenoiser


def make_denoiser() -> QueryDenoiser:
    torch.manual_seed(0)
    return QueryDenoiser(16, 2, 2, 0.0, action_width=2, horizon=4).eval()


def make_inputs():
    torch.manual_seed(1)
    return torch.randn(2, 4, 2), torch.tensor([0.1, 0.7]), torch.randn(2, 3, 16)


def test_level_queries_context_and_the_other_actions_matter():
    denoiser, (noisy, level, context) = make_denoiser(), make_inputs()
    seen = denoiser.see(context)
    before = denoiser(noisy, level, seen)
    assert not torch.allclose(before, denoiser(noisy, level + 0.2, seen), atol=1e-5)
    assert not torch.allclose(before, denoiser(noisy, level, denoiser.see(context + 1)), atol=1e-5)
    assert not torch.allclose(before.flip(1), denoiser(noisy.flip(1), level, seen), atol=1e-5)
    other = noisy.clone()
    other[:, 0] += 1
    assert not torch.allclose(before[:, 1:], denoiser(other, level, seen)[:, 1:], atol=1e-5)


def test_actions_past_the_end_are_seen_by_no_other():
    denoiser, (noisy, level, context) = make_denoiser(), make_inputs()
    seen, valid = denoiser.see(context), torch.tensor([[True, True, False, False], [True, False, False, False]])
    other = torch.where(valid[..., None], noisy, 9.0)
    before, after = denoiser(noisy, level, seen, valid), denoiser(other, level, seen, valid)
    torch.testing.assert_close(before[valid], after[valid])
    assert not torch.allclose(before[~valid], after[~valid])


def test_without_the_noisy_chunk_it_is_the_query_trunk():
    denoiser, (noisy, level, context) = make_denoiser(), make_inputs()
    with torch.no_grad():
        for layer in (denoiser.enter, denoiser.level[2]):
            layer.weight.zero_()
            layer.bias.zero_()
    state = denoiser.transformer(denoiser.queries.expand(2, -1, -1), context)
    torch.testing.assert_close(denoiser(noisy, level, denoiser.see(context)), denoiser.out(state))


def test_noise_is_quieter_than_queries_before_training():
    denoiser = QueryDenoiser(64, 1, 2, 0.0, action_width=4, horizon=16)
    noisy = denoiser.enter(torch.randn(100, 16, 4)).std()
    assert denoiser.queries.std().item() == pytest.approx(1.0, abs=0.1)
    assert noisy.item() < 1.2 * NOISY_SHARE


def test_the_quick_start_learns_fast_and_the_papers_model_stays_as_it_is():
    head = make_head(InverseConfig.quickstart(head="flow"), action_width=2, context_tokens=3)
    assert isinstance(head.denoiser, QueryDenoiser)
    assert (head.foretells, head.mean_draws) == ("actions", 16)
    assert (InverseConfig.paper().denoiser, InverseConfig.paper().foretells) == ("adaptive", "noise")


def test_settings_that_mean_nothing_are_refused():
    with pytest.raises(ValidationError, match="queries always attend"):
        InverseConfig(denoiser="queries", steps_attend=False)
    with pytest.raises(ValidationError, match="heun"):
        InverseConfig(head="flow", foretells="actions", flow_sampler="heun")
