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
