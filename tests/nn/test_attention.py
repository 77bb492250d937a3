import pytest
import torch
from torch import nn

from amplify.nn.attention import Attention, LayerCache
from amplify.nn.masks import causal


def test_equals_the_multi_head_attention_of_torch():
    torch.manual_seed(0)
    ours, theirs = Attention(16, 4), nn.MultiheadAttention(16, 4, bias=False, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat((ours.query.weight, ours.key_value.weight)))
        theirs.out_proj.weight.copy_(ours.out.weight)
    x, context = torch.randn(2, 5, 16), torch.randn(2, 7, 16)
    torch.testing.assert_close(ours(x, context), theirs(x, context, context)[0])
    expected = theirs(x, x, x, attn_mask=~causal(5))[0]
    torch.testing.assert_close(ours(x, mask=causal(5)), expected)


def test_cached_positions_one_by_one_equal_one_causal_pass():
    torch.manual_seed(0)
    attention, x = Attention(16, 2), torch.randn(3, 6, 16)
    cache = LayerCache(3, 2, 6, 8, x)
    steps = [attention(x[:, i : i + 1], cache=cache) for i in range(6)]
    torch.testing.assert_close(torch.cat(steps, dim=1), attention(x, mask=causal(6)), rtol=0, atol=1e-6)


def test_the_cache_refuses_more_than_its_room():
    attention, x = Attention(4, 1), torch.randn(1, 3, 4)
    with pytest.raises(AssertionError, match="fewer positions"):
        attention(x, cache=LayerCache(1, 1, 2, 4, x))


def test_keys_and_values_seen_before_equal_a_context():
    torch.manual_seed(0)
    attention, x, context = Attention(16, 4, bias=True), torch.randn(2, 5, 16), torch.randn(2, 7, 16)
    assert torch.equal(attention(x, seen=attention.keys_values(context)), attention(x, context))
    assert {"query.bias", "key_value.bias", "out.bias"} < attention.state_dict().keys()


def test_every_sequence_can_have_its_own_mask():
    torch.manual_seed(0)
    attention, x = Attention(16, 4), torch.randn(2, 5, 16)
    mask = torch.ones(2, 1, 5, 5, dtype=torch.bool)
    mask[1, :, :, 3:] = False
    expected = torch.cat((attention(x[:1]), attention(x[1:], x[1:, :3])))
    torch.testing.assert_close(attention(x, mask=mask), expected)


def test_positions_that_are_forgotten_can_be_read_anew():
    torch.manual_seed(0)
    attention, x = Attention(16, 2), torch.randn(3, 6, 16)
    cache = LayerCache(3, 2, 6, 8, x)
    attention(torch.cat((x[:, :3], torch.randn(3, 3, 16)), dim=1), cache=cache)
    cache.truncate(3)
    assert cache.seen.shape == (2, 3, 2, 3, 8)
    steps = [attention(x[:, i : i + 1], cache=cache) for i in range(3, 6)]
    torch.testing.assert_close(torch.cat(steps, dim=1), attention(x, mask=causal(6))[:, 3:], rtol=0, atol=1e-6)
    with pytest.raises(AssertionError, match="forward"):
        cache.truncate(7)
