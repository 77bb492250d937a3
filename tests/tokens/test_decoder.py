import pytest
import torch
from torch import nn

from amplify.tokens.config import TokenizerConfig
from amplify.tokens.decoder import TokenDecoder

SMALL = {"points": 9, "steps": 5, "width": 16, "heads": 2, "decoder_hidden": 12, "window": 5}


def make_decoder(**changes) -> TokenDecoder:
    torch.manual_seed(0)
    settings = {**SMALL, "code_in_query": False, "centre_bias": 0.0, **changes}
    return TokenDecoder(TokenizerConfig.tiny(**settings)).eval()


def concatenated(decoder: TokenDecoder, states, points, second: nn.Linear, project: nn.Linear):
    """The plain form: [step; point; view] → hidden layer → second layer + step → classes, for every row."""
    b, n = len(states), points.shape[-2]
    views, t, w = len(decoder.view), states.shape[2], states.shape[-1]
    weight = torch.cat((decoder.from_step.weight, decoder.from_point.weight, decoder.from_view.weight), dim=1)
    step = states[:, :, :, None].expand(b, views, t, n, w)
    rows = torch.cat(
        (step, points[:, :, None].expand(b, views, t, n, w), decoder.view[:, None, None].expand(b, views, t, n, w)),
        dim=-1,
    )
    hidden = (rows @ weight.T + decoder.from_step.bias).relu()
    return project(second(hidden) + (step if decoder.step_classifier is not None else 0))


@pytest.mark.parametrize("tokens_per", ["joint", "view"])
@pytest.mark.parametrize("point_embedding", ["position", "table"])
@pytest.mark.parametrize("step_residual", [False, True])
def test_factored_and_merged_layers_equal_the_concatenation(tokens_per, point_embedding, step_residual):
    decoder = make_decoder(tokens_per=tokens_per, point_embedding=point_embedding, step_residual=step_residual)
    second, project = nn.Linear(12, 16), nn.Linear(16, 25)
    with torch.no_grad():
        decoder.classifier.weight.copy_(project.weight @ second.weight)
        decoder.classifier.bias.copy_(project.weight @ second.bias + project.bias)
        if decoder.step_classifier is not None:
            decoder.step_classifier.weight.copy_(project.weight)
    tokens = 10 if tokens_per == "view" else 5
    states, queries = decoder(torch.randn(3, tokens, 4)), torch.rand(3, 2, 9, 2) * 2 - 1
    of_views = states.unflatten(1, (-1, 5))
    plain = concatenated(decoder, of_views, decoder.point(queries), second, project)
    torch.testing.assert_close(decoder.logits(states, queries), plain, rtol=0, atol=1e-5)


@pytest.mark.parametrize("point_embedding", ["position", "table"])
def test_chosen_points_and_steps_have_the_scores_that_they_have_among_all(point_embedding):
    decoder = make_decoder(point_embedding=point_embedding, step_residual=True)
    states, queries = decoder(torch.randn(3, 5, 4)), torch.rand(3, 2, 9, 2) * 2 - 1
    every = decoder.logits(states, queries)
    chosen = torch.tensor([7, 0, 3])
    place = decoder.place(queries[:, :, chosen], chosen[None, None])
    some = decoder.scores(decoder.of_views(states)[:, :, [4, 1]], place)
    torch.testing.assert_close(some, every[:, :, [4, 1]][:, :, :, chosen], rtol=0, atol=1e-6)
    shared = decoder.place(queries[:1, :1])
    torch.testing.assert_close(shared, decoder.place(queries[:1, :1].expand(1, 2, -1, -1)))


def test_a_table_knows_points_by_their_number_and_positions_by_where_they_are():
    codes, moved = torch.randn(1, 5, 4), torch.rand(1, 2, 9, 2)
    for kind, same in (("table", True), ("position", False)):
        decoder = make_decoder(point_embedding=kind)
        states = decoder(codes)
        assert torch.equal(decoder.logits(states, moved), decoder.logits(states, moved + 0.3)) == same


def test_a_string_a_view_is_told_by_that_view():
    decoder = make_decoder(tokens_per="view", decoder_layers=0, code_in_query=True)
    codes, queries = torch.randn(1, 10, 4), torch.zeros(1, 2, 1, 2)
    changed = codes.clone()
    changed[:, 7] += 1
    before, after = (decoder.logits(decoder(c), queries) for c in (codes, changed))
    told = (before != after).flatten(3).any(dim=-1)[0]
    assert told.tolist() == [[False] * 5, [False, False, True, False, False]]


@pytest.mark.parametrize("code_in_query", [False, True])
def test_the_order_of_codes_matters(code_in_query):
    decoder = make_decoder(code_in_query=code_in_query)
    codes = torch.randn(1, 5, 4)
    assert not torch.allclose(decoder(codes), decoder(codes.flip(1)), atol=1e-3)


def test_without_positions_on_keys_the_order_of_codes_is_lost():
    decoder = make_decoder(key_positions=False)
    codes = torch.randn(1, 5, 4)
    assert torch.allclose(decoder(codes), decoder(codes.flip(1)), atol=1e-5)


def test_points_and_views_differ():
    decoder = make_decoder()
    queries = torch.tensor([[0.0, 0.0], [0.5, 0.0], [0.0, 0.5]]).expand(1, 2, 3, 2)
    logits = decoder.logits(decoder(torch.randn(1, 5, 4)), queries)
    assert not torch.allclose(logits[:, :, :, 0], logits[:, :, :, 1], atol=1e-4)
    assert not torch.allclose(logits[:, :, :, 1], logits[:, :, :, 2], atol=1e-4)
    assert not torch.allclose(logits[:, 0], logits[:, 1], atol=1e-4)


def test_centre_bias_makes_standing_still_likely_at_first():
    def share(bias: float) -> float:
        decoder = make_decoder(centre_bias=bias)
        logits = decoder.logits(decoder(torch.randn(1, 5, 4)), torch.zeros(1, 2, 1, 2))
        return logits.softmax(-1)[..., 12].mean().item()

    assert share(5.0) > 0.8 > 0.2 > share(0.0)
