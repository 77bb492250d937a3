import pytest
import torch
from torch import nn

from amplify.inverse.denoiser import Denoiser, sinusoid

SIZES = {"action_width": 2, "horizon": 4, "context_tokens": 3}


def make_denoiser(**changes) -> Denoiser:
    torch.manual_seed(0)
    return Denoiser(16, 2, 2, 0.0, **SIZES, **changes).eval()


def make_inputs():
    torch.manual_seed(1)
    return torch.randn(2, 4, 2), torch.tensor([0.1, 0.7]), torch.randn(2, 3, 16)


every_kind = pytest.mark.parametrize("adaptive", [True, False])


def test_sinusoid_by_hand():
    at = torch.tensor([0.5])
    expected = [[0.5, 0.5e-4], [0.5, 0.5e-4]]
    torch.testing.assert_close(
        sinusoid(at, 4), torch.cat((torch.tensor(expected[:1]).sin(), torch.tensor(expected[1:]).cos()), dim=1)
    )


@every_kind
@pytest.mark.parametrize("steps_attend", [True, False])
def test_whether_actions_attend_to_each_other(adaptive, steps_attend):
    denoiser, (noisy, level, context) = make_denoiser(adaptive=adaptive, steps_attend=steps_attend), make_inputs()
    seen = denoiser.see(context)
    other = noisy.clone()
    other[:, 0] += 1
    before, after = denoiser(noisy, level, seen), denoiser(other, level, seen)
    assert not torch.allclose(before[:, 0], after[:, 0])
    assert torch.allclose(before[:, 1:], after[:, 1:], atol=1e-6) != steps_attend


@every_kind
def test_actions_past_the_end_are_seen_by_no_other(adaptive):
    denoiser, (noisy, level, context) = make_denoiser(adaptive=adaptive), make_inputs()
    seen, valid = denoiser.see(context), torch.tensor([[True, True, False, False], [True, False, False, False]])
    other = torch.where(valid[..., None], noisy, 9.0)
    before, after = denoiser(noisy, level, seen, valid), denoiser(other, level, seen, valid)
    torch.testing.assert_close(before[valid], after[valid])
    assert not torch.allclose(before[~valid], after[~valid])


@every_kind
def test_level_positions_and_context_matter(adaptive):
    denoiser, (noisy, level, context) = make_denoiser(adaptive=adaptive), make_inputs()
    before = denoiser(noisy, level, denoiser.see(context))
    assert not torch.allclose(before, denoiser(noisy, level + 0.2, denoiser.see(context)), atol=1e-5)
    assert not torch.allclose(before, denoiser(noisy, level, denoiser.see(context + 1)), atol=1e-5)
    assert not torch.allclose(before.flip(1), denoiser(noisy.flip(1), level, denoiser.see(context)), atol=1e-5)


def test_the_order_of_the_context_is_the_callers_unless_the_level_is_a_token():
    for adaptive in (True, False):
        denoiser, (noisy, level, context) = make_denoiser(adaptive=adaptive), make_inputs()
        turned = denoiser(noisy, level, denoiser.see(context.flip(1)))
        assert torch.allclose(turned, denoiser(noisy, level, denoiser.see(context)), atol=1e-6) == adaptive


def test_with_the_level_as_token_a_layer_is_the_decoder_layer_of_torch():
    """Time token first in a memory read by an MLP, then pre-norm layers of self-attention, cross-attention and MLP."""
    denoiser, (noisy, level, context) = make_denoiser(adaptive=False), make_inputs()
    tokens = torch.cat((sinusoid(level, 16)[:, None], denoiser.context(context)), dim=1)
    memory = denoiser.memory(tokens + denoiser.context_positions)
    x = denoiser.enter(noisy) + denoiser.positions
    for layer in denoiser.layers:
        theirs = nn.TransformerDecoderLayer(16, 2, 64, 0.0, "gelu", batch_first=True, norm_first=True)
        with torch.no_grad():
            for attention, ours in ((theirs.self_attn, layer.among), (theirs.multihead_attn, layer.across)):
                attention.in_proj_weight.copy_(torch.cat((ours.query.weight, ours.key_value.weight)))
                attention.in_proj_bias.copy_(torch.cat((ours.query.bias, ours.key_value.bias)))
                attention.out_proj.load_state_dict(ours.out.state_dict())
            theirs.linear1.load_state_dict(layer.widen.state_dict())
            theirs.linear2.load_state_dict(layer.narrow.state_dict())
        x = theirs(x, memory)
    torch.testing.assert_close(denoiser(noisy, level, denoiser.see(context)), denoiser.out(denoiser.norm.norm(x)))
