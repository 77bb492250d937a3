import pydantic
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amplify.tokens import MotionTokenizer, TokenizerConfig

PRESETS = {
    "paper": TokenizerConfig.paper, "reference": TokenizerConfig.reference, "small": TokenizerConfig.small,
    "tiny": TokenizerConfig.tiny, "quickstart": TokenizerConfig.quickstart,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"width": 30, "heads": 4}, "not divisible"),
        ({"window": 14}, "must be odd"),
        ({"levels": ()}, "levels"),
        ({"levels": (8, 1)}, "levels"),
        ({"window_spacing": "log", "window_reach_px": 7.0}, "reach further"),
        ({"window_spacing": "log", "window": 3}, "five cells"),
        ({"views": 3, "view_weights": (0.9, 0.1)}, "2 view_weights for 3 views"),
        ({"view_weights": (0.0, 0.0)}, "nor all zero"),
        ({"view_weights": (2.0, -1.0)}, "must not be negative"),
        ({"widht": 32}, "widht"),
    ],
)
def test_what_does_not_fit_is_refused(changes, says):
    with pytest.raises(pydantic.ValidationError, match=says):
        TokenizerConfig(**changes)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_json_and_take_changes(name):
    config = PRESETS[name]()
    assert TokenizerConfig.model_validate_json(config.model_dump_json()) == config
    assert PRESETS[name](steps=7).tokens == 7
    assert PRESETS[name](views=3).view_weights == ()


def test_the_paper_has_thirty_million_parameters_and_small_an_eighth():
    def parameters(config: TokenizerConfig) -> int:
        with torch.device("meta"):
            return sum(p.numel() for p in MotionTokenizer(config).parameters())

    assert parameters(TokenizerConfig.paper()) == pytest.approx(31e6, rel=0.05)
    assert parameters(TokenizerConfig.reference()) == pytest.approx(31e6, rel=0.05)
    assert parameters(TokenizerConfig.small()) == pytest.approx(31e6 / 8, rel=0.1)
    assert parameters(TokenizerConfig.tiny()) < 70_000


def test_tokens_are_counted_a_step_or_a_step_and_view():
    assert TokenizerConfig.tiny(steps=4).tokens == 4
    assert TokenizerConfig.tiny(steps=4, views=3, tokens_per="view").tokens == 12


@st.composite
def configurations(draw) -> TokenizerConfig:
    one_of = lambda *values: draw(st.sampled_from(values))  # noqa: E731
    points = draw(st.integers(1, 9))
    return TokenizerConfig(
        views=draw(st.integers(1, 3)),
        points=points,
        steps=draw(st.integers(1, 6)),
        tokens_per=one_of("joint", "view"),
        width=16,
        heads=one_of(1, 2, 4),
        encoder_layers=draw(st.integers(1, 2)),
        decoder_layers=draw(st.integers(0, 2)),
        decoder_hidden=8,
        code_in_query=draw(st.booleans()),
        key_positions=draw(st.booleans()),
        point_embedding=one_of("position", "table"),
        step_residual=draw(st.booleans()),
        dropout=one_of(0.0, 0.2),
        levels=tuple(draw(st.lists(st.integers(2, 9), min_size=1, max_size=5))),
        quantised=draw(st.booleans()),
        usage_weight=one_of(0.0, 0.1),
        window=one_of(5, 9, 15),
        window_spacing=one_of("linear", "log"),
        frame_px=one_of(64, 128),
        rounding=one_of("displacement", "frames"),
        camera_motion=one_of("kept", "removed"),
        decoding=one_of("argmax", "expectation", "expectation-on-moving"),
        encoder_mask=one_of("causal", "per-step", "full"),
        subset_points=draw(st.integers(0, points)),
        regression_weight=one_of(0.0, 1.0),
        path_weight=one_of(0.0, 0.2),
    )


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(config=configurations())
def test_every_configuration_trains_a_step_and_goes_there_and_back(config, make_window):
    assert TokenizerConfig.model_validate_json(config.model_dump_json()) == config
    window = make_window(batch=3, views=config.views, steps=config.steps, points=config.points, error=True)
    torch.manual_seed(0)
    tokenizer = MotionTokenizer(config)
    tokenizer.fit_statistics(window)
    before = tokenizer.decoder.classifier.weight.detach().clone()
    optimiser = torch.optim.SGD(tokenizer.parameters(), lr=0.1)
    loss, logs = tokenizer.loss(window, generator=torch.Generator().manual_seed(0))
    loss.backward()
    optimiser.step()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(torch.as_tensor(value)) for value in logs.values())
    assert not torch.equal(tokenizer.decoder.classifier.weight, before)
    tokenizer.eval()
    tokens = tokenizer.encode(window)
    assert tokens.indices.shape == (3, config.tokens) == (3, tokenizer.tokens)
    assert tokens.indices.min() >= 0
    assert tokens.indices.max() < config.codebook_size
    assert torch.equal(tokenizer.quantiser.indices(tokenizer.codes(tokens)), tokens.indices)
    tracks = tokenizer.decode(tokens, window.points[:, :, 0])
    assert tracks.points.shape == window.points.shape
    assert torch.equal(tracks.points[:, :, 0], window.points[:, :, 0])
    again = MotionTokenizer(config).eval()
    again.load_state_dict(tokenizer.state_dict())
    assert torch.equal(again.encode(window).indices, tokens.indices)
