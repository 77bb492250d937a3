"""What is decoded: chosen points and steps, continuous codes, wide displacements, a camera's own motion."""

import pytest
import torch

from amplify.errors import DataError, UnknownNameError, UsageError
from amplify.tokens import MotionTokenizer, TokenizerConfig, camera_motion
from amplify.tokens.clipping import clipping
from amplify.types import TrackWindow


def make_tokenizer(**changes) -> MotionTokenizer:
    torch.manual_seed(0)
    tokenizer = MotionTokenizer(TokenizerConfig.tiny(**{"points": 16, "centre_bias": 0.0, **changes})).eval()
    with torch.no_grad():
        tokenizer.decoder.classifier.weight.mul_(20)
    return tokenizer


def overfitted(window: TrackWindow, updates: int, **changes) -> MotionTokenizer:
    tokenizer = make_tokenizer(**changes)
    tokenizer.fit_statistics(window)
    optimiser = torch.optim.AdamW(tokenizer.parameters(), lr=3e-3)
    for _ in range(updates):
        loss, _ = tokenizer.loss(window)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return tokenizer.eval()


@pytest.mark.parametrize("mode", ["argmax", "expectation"])
@pytest.mark.parametrize("kind", ["position", "table"])
@pytest.mark.parametrize("tokens_per", ["joint", "view"])
def test_chosen_points_and_steps_are_those_of_the_whole(kind, tokens_per, mode, make_window):
    tokenizer = make_tokenizer(point_embedding=kind, step_residual=True, tokens_per=tokens_per, decoding=mode)
    window = make_window(views=2)
    tokens, queries, some = tokenizer.encode(window), window.points[:, :, 0], torch.tensor([9, 2, 15])
    whole = tokenizer.decode(tokens, queries)
    part = tokenizer.decode(tokens, queries, points=some, steps=6)
    assert part.points.shape == (4, 2, 7, 3, 2)
    assert part.valid.shape == (4, 2, 7)
    torch.testing.assert_close(part.points, whole.points[:, :, :7][..., some, :], rtol=0, atol=1e-5)
    velocities = tokenizer.decode_velocities(tokenizer.codes(tokens), queries, points=some, steps=[11, 3])
    torch.testing.assert_close(velocities, whole.velocities[:, :, [11, 3]][..., some, :], rtol=0, atol=1e-5)
    shared = tokenizer.decode(tokens, queries[0, 0], points=some)
    torch.testing.assert_close(shared.points[0, 0], whole.points[0, 0][:, some], rtol=0, atol=1e-5)


def test_the_configured_mode_is_the_default(make_window):
    window = make_window(views=2)
    results = []
    for mode in ("argmax", "expectation", "expectation-on-moving"):
        tokenizer = make_tokenizer(decoding=mode)
        tokens, queries = tokenizer.encode(window), window.points[:, :, 0]
        results.append(tokenizer.decode(tokens, queries).points)
        assert torch.equal(results[-1], tokenizer.decode(tokens, queries, mode=mode).points)
    assert not torch.equal(results[0], results[1])


def test_what_cannot_be_decoded_is_refused(make_window):
    window = make_window(views=2)
    tokenizer = make_tokenizer(point_embedding="table")
    tokens, queries = tokenizer.encode(window), window.points[:, :, 0]
    with pytest.raises(UsageError, match="points of its own grid"):
        tokenizer.decode(tokens, queries[..., :5, :])
    for steps in (0, 16):
        with pytest.raises(UsageError, match="so many steps"):
            tokenizer.decode(tokens, queries, steps=steps)
    with pytest.raises(UnknownNameError, match="decoding mode"):
        tokenizer.decode(tokens, queries, mode="argmin")


@pytest.mark.parametrize("size", [{"views": 1, "points": 32}, {"steps": 1}, {"points": 15}])
def test_tracks_of_other_views_steps_or_points_are_refused(size, make_window):
    tokenizer, window = make_tokenizer(), make_window(**{"views": 2, **size})
    for call in (tokenizer.encode, tokenizer.loss, tokenizer.reconstruct):
        with pytest.raises(DataError, match="tracks do not fit"):
            call(window)


def test_queries_are_shared_by_views_or_theirs(make_window):
    window = make_window(views=2, batch=2)
    tokenizer, queries = make_tokenizer(), torch.rand(2, 1, 16, 2) - 0.5
    tokens = tokenizer.encode(window)
    shared = tokenizer.decode(tokens, queries).points
    assert torch.equal(shared, tokenizer.decode(tokens, queries.expand(-1, 2, -1, -1)).points)
    for wrong in (torch.zeros(3, 16, 2), torch.zeros(2, 3, 16, 2)):
        with pytest.raises(UsageError, match="queries of other views"):
            tokenizer.decode(tokens, wrong)
    of_one = make_tokenizer(views=1)
    with pytest.raises(UsageError, match="queries of other views"):
        of_one.decode(of_one.encode(make_window()), torch.zeros(2, 16, 2))


def test_continuous_codes_lie_between_the_levels_and_tokens_are_the_nearest(make_window):
    window = make_window(views=2)
    smooth, rounded = make_tokenizer(quantised=False), make_tokenizer()
    assert torch.equal(smooth.encode(window).indices, rounded.encode(window).indices)
    assert torch.equal(rounded.encode_codes(window), rounded.codes(rounded.encode(window)))
    codes = smooth.encode_codes(window)
    assert not torch.equal(codes, smooth.codes(smooth.encode(window)))
    folded = window.map(lambda x: x.unflatten(0, (2, 2)))
    torch.testing.assert_close(smooth.encode_codes(folded).flatten(0, 1), codes)
    assert smooth.decode_codes(codes, window.points[:, :, 0]).points.shape == window.points.shape


def test_a_log_window_reconstructs_steps_of_25_px():
    # Four points of which one jumps in one of four directions at each step.
    generator = torch.Generator().manual_seed(0)
    directions = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]]) * 25 / 64
    steps = directions[torch.randint(4, (4, 1, 3, 1), generator=generator)] * (torch.arange(4) == 0)[:, None]
    start = (torch.rand(1, 1, 1, 4, 2, generator=generator) - 0.5).expand(4, -1, -1, -1, -1)
    path = torch.cat((start, start + steps.cumsum(dim=2)), dim=2)
    known = torch.ones(path.shape[:-1], dtype=torch.bool)
    window = TrackWindow(points=path, visible=known, valid=known[..., 0])
    tokenizer = overfitted(window, 200, views=1, points=4, steps=3, window_spacing="log", decoding="expectation")
    decoded = tokenizer.decode(tokenizer.encode(window), window.points[:, :, 0])
    error_px = 64 * (decoded.velocities - window.velocities).norm(dim=-1)
    assert error_px[..., 0].mean() < 1.5
    linear = clipping(window, tokenizer.config.model_copy(update={"window_spacing": "linear"}))
    assert linear.moving_share == 1.0


def test_a_camera_that_is_removed_changes_no_token_and_is_given_back(make_window):
    window = make_window(views=2)
    pan = torch.eye(3).repeat(4, 2, 16, 1, 1)
    pan[..., 0, 2] = torch.arange(16) * 10 / 64
    seen = camera_motion.give_back(window, pan)
    kept, removed = make_tokenizer(), make_tokenizer(camera_motion="removed")
    still = removed.encode(window).indices
    assert (removed.encode(seen).indices == still).float().mean() > 0.95
    assert (kept.encode(seen).indices == still).float().mean() < 0.6
    queries = window.points[:, :, 0]
    alone = removed.decode(removed.encode(seen), queries)
    together = removed.decode(removed.encode(seen), queries, camera=camera_motion.estimate(seen))
    shift = pan[..., None, :2, 2].expand(-1, -1, -1, 16, -1)
    torch.testing.assert_close(together.points - alone.points, shift, rtol=0, atol=0.02)
    first = removed.decode(removed.encode(seen), queries, mode="argmax", steps=3, camera=camera_motion.estimate(seen))
    whole = removed.decode(removed.encode(seen), queries, mode="argmax", camera=camera_motion.estimate(seen))
    torch.testing.assert_close(first.points, whole.points[:, :, :4], rtol=0, atol=1e-5)


def test_usage_is_logged_and_raised_where_it_is_weighted(make_window):
    window = make_window(views=2, batch=8)
    before = make_tokenizer(usage_weight=1.0).loss(window)[1]["usage"]
    tokenizer = overfitted(window, 20, usage_weight=1.0)
    assert tokenizer.loss(window)[1]["usage"] > before
    assert "usage" not in make_tokenizer().loss(window)[1]


def test_a_reconstruction_passes_continuous_codes_and_gives_the_camera_back(make_window):
    window = make_window(views=2)
    queries = window.points[:, :, 0]
    plain, smooth = make_tokenizer(), make_tokenizer(quantised=False)
    assert torch.equal(plain.reconstruct(window).points, plain.decode(plain.encode(window), queries).points)
    assert torch.equal(
        smooth.reconstruct(window).points, smooth.decode_codes(smooth.encode_codes(window), queries).points
    )
    assert torch.equal(
        plain.reconstruct(window, mode="argmax").points,
        plain.decode(plain.encode(window), queries, mode="argmax").points,
    )
    pan = torch.eye(3).repeat(4, 2, 16, 1, 1)
    pan[..., 0, 2] = torch.arange(16) * 10 / 64
    seen = camera_motion.give_back(window, pan)
    removed = make_tokenizer(camera_motion="removed")
    still = removed.decode_codes(removed.encode_codes(seen), queries)
    shift = removed.reconstruct(seen).points - still.points
    assert shift[:, :, -1, :, 0].min() > 140 / 64
