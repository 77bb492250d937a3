from dataclasses import replace

import pytest
import torch

from amplify.errors import UnknownNameError
from amplify.tokens import MotionTokenizer, TokenizerConfig
from amplify.types import MotionTokens


def make_tokenizer(**changes) -> MotionTokenizer:
    torch.manual_seed(0)
    small = {"points": 16, "width": 32, "heads": 2, "decoder_hidden": 32, "subset_points": 0}
    return MotionTokenizer(TokenizerConfig.quickstart(**{**small, **changes}))


def loss_of(tokenizer, window, seed=0) -> float:
    return tokenizer.loss(window, generator=torch.Generator().manual_seed(seed))[0].item()


def test_overfits_four_windows(make_window):
    window = make_window()
    tokenizer = make_tokenizer(width=64, decoder_hidden=128, subset_points=8)
    tokenizer.fit_statistics(window)
    optimiser = torch.optim.AdamW(tokenizer.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(300):
        loss, _ = tokenizer.loss(window, generator=generator)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    tokens = tokenizer.encode(window)
    assert tokens.indices.unique(dim=0).shape[0] == 4
    decoded = tokenizer.decode(tokens, window.points[:, :, 0])
    moving = torch.arange(16) % 4 == 0
    error_px = 64 * (decoded.points - window.points).norm(dim=-1)[:, :, 1:]
    nothing_px = 64 * (window.points[:, :, :1] - window.points).norm(dim=-1)[:, :, 1:]
    assert error_px[..., moving].mean() < 0.25 * nothing_px[..., moving].mean()
    assert error_px[..., ~moving].mean() < 0.1


def test_later_motion_does_not_change_earlier_tokens(make_window):
    tokenizer, window = make_tokenizer().eval(), make_window()
    points = window.points.clone()
    points[:, :, 9:] += 0.3
    before, after = tokenizer.encode(window).indices, tokenizer.encode(replace(window, points=points)).indices
    assert torch.equal(before[:, :8], after[:, :8])
    assert not torch.equal(before[:, 8:], after[:, 8:])


def test_what_is_hidden_or_past_the_end_changes_nothing(make_window):
    tokenizer, window = make_tokenizer().eval(), make_window()
    visible, valid = window.visible.clone(), window.valid.clone()
    visible[:, :, 3:6, 5] = False
    valid[1, :, 10:] = False
    masked = replace(window, visible=visible, valid=valid)
    noisy = torch.where(visible & valid[..., None], 0.0, 5.0)[..., None] + window.points
    changed = replace(masked, points=noisy)
    assert torch.equal(tokenizer.encode(masked).indices, tokenizer.encode(changed).indices)
    assert loss_of(tokenizer, masked) == loss_of(tokenizer, changed)
    assert loss_of(tokenizer, masked) != loss_of(tokenizer, window)


def test_a_window_without_any_known_step_has_no_loss(make_window):
    window = make_window()
    nothing = replace(window, valid=torch.zeros_like(window.valid))
    assert loss_of(make_tokenizer(), nothing) == 0.0


def test_decoding_adds_up_displacements_from_the_queries_and_clamps_nothing():
    tokenizer = make_tokenizer().eval()
    with torch.no_grad():
        tokenizer.decoder.classifier.weight.zero_()
        tokenizer.decoder.classifier.bias.fill_(-50.0)[(7 + 0) * 15 + 7 + 4] = 50.0  # four pixels to the right
    queries = torch.tensor([[0.9, 0.0], [-0.5, 0.5]])
    for mode in ("argmax", "expectation", "expectation-on-moving"):
        tracks = tokenizer.decode(MotionTokens(indices=torch.zeros(2, 15, dtype=torch.long)), queries, mode=mode)
        assert tracks.points.shape == (2, 1, 16, 2, 2)
        torch.testing.assert_close(tracks.points[:, 0, 0], queries.expand(2, 2, 2))
        torch.testing.assert_close(tracks.points[1, 0, -1], queries + torch.tensor([15 * 4 / 64, 0.0]))
    assert tracks.points.max() > 1
    assert tracks.valid.all()
    assert tracks.visible.all()


def test_static_points_take_the_likeliest_and_moving_ones_the_mean_displacement():
    tokenizer = make_tokenizer().eval()
    bias = torch.full((225,), -50.0)
    bias[112], bias[113] = 0.0, -0.1  # nearly as likely: one pixel to the right
    with torch.no_grad():
        tokenizer.decoder.classifier.weight.zero_()
        tokenizer.decoder.classifier.bias.copy_(bias)
    tokens, query = MotionTokens(indices=torch.zeros(15, dtype=torch.long)), torch.zeros(1, 2)
    assert tokenizer.decode(tokens, query).points.abs().max() == 0
    assert tokenizer.decode(tokens, query, mode="expectation").points[0, -1, 0, 0] > 6 / 64
    with torch.no_grad():
        tokenizer.decoder.classifier.bias[113] = 0.1
    mean = torch.tensor([0.1, 0.0]).softmax(0)[0] * 15 / 64
    torch.testing.assert_close(tokenizer.decode(tokens, query).points[0, -1, 0, 0], mean)


def test_leading_axes_are_kept(make_window):
    tokenizer, window = make_tokenizer(views=2).eval(), make_window(batch=6, views=2)
    tokens = tokenizer.encode(window)
    folded = tokenizer.encode(window.map(lambda x: x.unflatten(0, (2, 3))))
    assert torch.equal(folded.indices.flatten(0, 1), tokens.indices)
    assert tokenizer.codes(folded).shape == (2, 3, 15, 4)
    queries = window.points[:, :, 0]
    one = tokenizer.decode(tokens, queries).points
    other = tokenizer.decode(folded, queries.unflatten(0, (2, 3))).points
    torch.testing.assert_close(one, other.flatten(0, 1))
    shared = tokenizer.decode(tokens, queries[0]).points
    torch.testing.assert_close(shared, tokenizer.decode(tokens, queries[:1].expand(6, -1, -1, -1)).points)
    # A single window without batch axis.
    assert torch.equal(tokenizer.encode(window.map(lambda x: x[0])).indices, tokens.indices[0])


def test_the_unit_of_velocity_is_fitted_to_the_data(make_window):
    tokenizer, window = make_tokenizer(), make_window()
    doubled = replace(window, points=window.points[:, :, :1] + 2 * (window.points - window.points[:, :, :1]))
    tokenizer.fit_statistics(window)
    scale = tokenizer.velocity_scale_px.item()
    assert scale == pytest.approx((64 * window.velocities).square().mean().sqrt().item(), rel=1e-4)
    tokens = tokenizer.encode(window).indices
    tokenizer.fit_statistics(doubled)
    assert tokenizer.velocity_scale_px.item() == pytest.approx(2 * scale, rel=1e-4)
    assert torch.equal(tokenizer.encode(doubled).indices, tokens)
    assert "velocity_scale_px" in tokenizer.state_dict()


@pytest.mark.parametrize(
    "change",
    [
        {"encoder_layers": 3}, {"decoder_layers": 2}, {"decoder_hidden": 16}, {"code_in_query": False},
        {"key_positions": False},
        {"width": 64}, {"heads": 4},
        {"levels": (8, 5)}, {"window": 9}, {"encoder_mask": "full"}, {"subset_points": 4}, {"centre_bias": 0.0},
        {"regression_weight": 0.0}, {"path_weight": 0.5}, {"agreement_px": 2.0}, {"disagreement_weight": 0.5},
        {"dropout": 0.3}, {"view_weights": (0.9, 0.1)},
        {"tokens_per": "view"}, {"point_embedding": "table"}, {"step_residual": True}, {"rounding": "frames"},
        {"quantised": False}, {"usage_weight": 0.1}, {"window_spacing": "log"}, {"frame_px": 64},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_every_option_has_an_effect(change, make_window):
    window = make_window(views=2, error=True)
    torch.manual_seed(1)
    base = loss_of(make_tokenizer(views=2), window)
    torch.manual_seed(1)
    assert loss_of(make_tokenizer(views=2, **change), window) != base


def test_the_moving_threshold_decides_which_points_are_drawn(make_window):
    window = make_window()
    low = loss_of(make_tokenizer(subset_points=4, moving_px=1.0), window)
    assert loss_of(make_tokenizer(subset_points=4, moving_px=1000.0), window) != low


def test_without_an_error_estimate_every_step_weighs_the_same(make_window):
    window = make_window(error=True)
    trusting = make_tokenizer(disagreement_weight=1.0)
    assert loss_of(trusting, window) == pytest.approx(loss_of(make_tokenizer(), replace(window, error_px=None)))
    assert loss_of(make_tokenizer(), window) != pytest.approx(loss_of(trusting, window), rel=1e-4)


def test_clipped_motion_is_counted(make_window):
    window = make_window(batch=1, points=16)
    jump = window.points.clone()
    jump[:, :, 8:] += 20 / 64
    _, logs = make_tokenizer().loss(replace(window, points=jump), generator=torch.Generator())
    assert logs["clipped_share"].item() == pytest.approx(1 / 15, rel=1e-4)


def test_the_papers_size():
    with torch.device("meta"):
        tokenizer = MotionTokenizer(TokenizerConfig.paper())
    parameters = sum(p.numel() for p in tokenizer.parameters())
    assert 30.5e6 < parameters < 31.5e6
    assert tokenizer.codebook_size == 1920
    quickstart = MotionTokenizer(TokenizerConfig.quickstart())
    assert 0.9e6 < sum(p.numel() for p in quickstart.parameters()) < 1.1e6


@pytest.mark.parametrize(
    ("change", "word"),
    [({"heads": 3}, "heads"), ({"window": 8}, "odd"), ({"view_weights": (1.0, 2.0)}, "view_weights")],
)
def test_settings_that_do_not_fit_are_refused(change, word):
    with pytest.raises(ValueError, match=word):
        TokenizerConfig.quickstart(**change)


def test_an_unknown_decoding_mode_is_explained():
    with pytest.raises(UnknownNameError, match="argmax"):
        make_tokenizer().decode(MotionTokens(indices=torch.zeros(1, 15).long()), torch.zeros(1, 2), mode="argmx")


def test_codes_between_levels_decode_to_motion_between():
    tokenizer = make_tokenizer().eval()
    tokens, query = MotionTokens(indices=torch.tensor([[5] * 15, [900] * 15])), torch.zeros(1, 2)
    codes = tokenizer.codes(tokens)
    torch.testing.assert_close(tokenizer.decode_codes(codes, query).points, tokenizer.decode(tokens, query).points)
    low, high = tokenizer.decode_codes(codes, query, mode="expectation").points
    middle = tokenizer.decode_codes(codes.mean(dim=0), query, mode="expectation").points
    assert (middle - low).abs().max() < (high - low).abs().max()
    assert (middle - high).abs().max() < (high - low).abs().max()
