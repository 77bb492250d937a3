import pytest
import torch

from amplify.tokens.decoder import TokenDecoder, fourier_features


def make_decoder(**changes) -> TokenDecoder:
    settings = {
        "views": 2, "steps": 5, "width": 16, "layers": 1, "heads": 2, "hidden": 12, "code_width": 4,
        "code_in_query": False, "key_positions": True, "window": 5, "centre_bias": 0.0, "dropout": 0.0,
    }  # fmt: skip
    torch.manual_seed(0)
    return TokenDecoder(**{**settings, **changes}).eval()


def test_factored_first_layer_equals_the_concatenation():
    decoder = make_decoder()
    codes, queries = torch.randn(3, 5, 4), torch.rand(3, 2, 7, 2) * 2 - 1
    steps = decoder(codes)
    weight = torch.cat((decoder.from_step.weight, decoder.from_point.weight, decoder.from_view.weight), dim=1)
    points = decoder.point(fourier_features(queries))
    rows = torch.cat(
        (
            steps[:, None, :, None].expand(3, 2, 5, 7, 16),
            points[:, :, None].expand(3, 2, 5, 7, 16),
            decoder.view[None, :, None, None].expand(3, 2, 5, 7, 16),
        ),
        dim=-1,
    )
    plain = decoder.classifier((rows @ weight.T + decoder.from_step.bias).relu())
    torch.testing.assert_close(decoder.logits(steps, queries), plain, rtol=0, atol=1e-5)


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
