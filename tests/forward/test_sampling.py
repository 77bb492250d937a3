import torch

from amplify.forward.sampling import next_token


def test_greedy_takes_the_likeliest():
    assert next_token(torch.tensor([[0.0, 2.0, 1.0], [3.0, 2.0, 1.0]])).tolist() == [1, 0]


def test_draws_follow_the_probabilities():
    logits = torch.tensor([0.2, 0.5, 0.3]).log().expand(6000, -1)
    drawn = next_token(logits, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(drawn.bincount() / 6000, torch.tensor([0.2, 0.5, 0.3]), atol=0.03, rtol=0)


def test_low_temperature_and_top_k_narrow_the_choice():
    logits = torch.tensor([0.2, 0.5, 0.3]).log().expand(1000, -1)
    generator = torch.Generator().manual_seed(0)
    assert (next_token(logits, generator=generator, temperature=0.01) == 1).all()
    assert set(next_token(logits, generator=generator, top_k=2).tolist()) == {1, 2}
    assert set(next_token(logits, generator=generator, top_k=9).tolist()) == {0, 1, 2}
