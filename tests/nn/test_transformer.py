import torch

from amplify.nn.masks import causal, prefix_causal
from amplify.nn.transformer import Block, CrossTransformer, Transformer


def test_cache_equals_the_full_pass_after_an_open_prefix():
    torch.manual_seed(0)
    trunk, x = Transformer(32, layers=3, heads=4).eval(), torch.randn(2, 9, 32)
    whole = trunk(x, prefix_causal(4, 5))
    cache = trunk.new_cache(2, 9)
    parts = [trunk(x[:, :5], prefix_causal(4, 1), cache)] + [trunk(x[:, i : i + 1], None, cache) for i in range(5, 9)]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=0, atol=1e-5)


def test_later_positions_do_not_change_earlier_ones_under_a_causal_mask():
    torch.manual_seed(0)
    trunk, x = Transformer(32, layers=2, heads=4).eval(), torch.randn(1, 6, 32)
    changed = x.clone()
    changed[:, 4:, :5] += 1
    before, after = trunk(x, causal(6)), trunk(changed, causal(6))
    assert torch.equal(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 4:], after[:, 4:])


def test_cross_transformer_reads_its_context():
    torch.manual_seed(0)
    trunk, x = CrossTransformer(32, layers=1, heads=4).eval(), torch.randn(1, 3, 32)
    assert not torch.allclose(trunk(x, torch.randn(1, 5, 32)), trunk(x, torch.randn(1, 5, 32)))


def test_dropout_acts_in_training_only():
    torch.manual_seed(0)
    block, x = Block(32, 4, dropout=0.5), torch.randn(1, 3, 32)
    assert not torch.equal(block(x), block(x))
    block.eval()
    assert torch.equal(block(x), block(x))


def test_the_last_positions_alone_are_what_they_are_among_all():
    torch.manual_seed(0)
    trunk, x = Transformer(32, layers=2, heads=4).eval(), torch.randn(2, 9, 32)
    for mask in (None, prefix_causal(4, 5)):
        whole = trunk(x, mask)
        torch.testing.assert_close(trunk(x, mask, last=5), whole[:, 4:], rtol=0, atol=1e-5)
    cache = trunk.new_cache(2, 9)
    trunk(x[:, :5], prefix_causal(4, 1), cache, last=1)
    torch.testing.assert_close(trunk(x[:, 5:6], None, cache, last=1), whole[:, 5:6], rtol=0, atol=1e-5)
