from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError

from amplify.errors import DataError, UnknownNameError, UsageError
from amplify.inverse import InverseConfig, InverseDynamics
from amplify.inverse.action_decoder import PostureReading
from amplify.types import ActionChunk, Features

SIZES = {"vision_width": 24, "patches": 4, "views": 2, "proprio_width": 3, "action_width": 2}


def make_model(fit=None, **changes) -> InverseDynamics:
    torch.manual_seed(0)
    config = InverseConfig.quickstart(**{"width": 32, "layers": 1, "heads": 2, "dropout": 0.0, **changes})
    model = InverseDynamics(config, code_width=4, tokens=15, **SIZES)
    _, proprio, _, actions = fit or make_batch(horizon=config.action_horizon)
    model.fit_scalers(proprio, actions.actions.flatten(0, 1))
    return model


def make_batch(batch=4, seed=0, horizon=16):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    features = Features(vision=normal(batch, 2, 4, 24), text=normal(batch, 1, 10))
    # Straight paths of actions, around 5 with a deviation of 3.
    actions = 5 + 3 * normal(batch, 1, 2) + normal(batch, 1, 2) * torch.linspace(-1, 1, horizon)[:, None]
    valid = torch.ones(batch, horizon, dtype=torch.bool)
    return features, normal(batch, 3), normal(batch, 15, 4).tanh(), ActionChunk(actions=actions, valid=valid)


def loss_of(model, *batch, seed=0) -> float:
    torch.manual_seed(seed)
    return model.loss(*batch, generator=torch.Generator().manual_seed(seed))[0].item()


@pytest.mark.parametrize("head", ["gaussian", "l1"])
def test_overfits_four_windows_in_environment_units(head):
    batch = make_batch()
    model = make_model(width=64, layers=2, head=head)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(100):
        loss, _ = model.loss(*batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.eval()
    acted = model.act(*batch[:3])
    assert acted.valid.all()
    assert (acted.actions - batch[3].actions).abs().mean() < 0.3  # their deviation is 3


def test_actions_stay_in_the_range_of_the_data():
    model, (features, proprio, codes, actions) = make_model(std=1.0).eval(), make_batch()
    drawn = model.act(features, proprio, codes, generator=torch.Generator().manual_seed(0)).actions
    low, high = actions.actions.amin((0, 1)), actions.actions.amax((0, 1))
    assert ((drawn >= low - 1e-4) & (drawn <= high + 1e-4)).all()
    assert not torch.equal(drawn, model.act(features, proprio, codes).actions)


@pytest.mark.parametrize("fusion", ["tokens", "concat"])
def test_a_view_that_is_not_present_changes_nothing(fusion):
    model, (features, *rest) = make_model(view_fusion=fusion), make_batch()
    present = torch.tensor([[True, True], [True, False], [False, True], [False, False]])

    def results(junk):
        seen = replace(features, present=present, vision=features.vision.masked_fill(~present[..., None, None], junk))
        model.zero_grad()
        loss, _ = model.loss(seen, *rest)
        loss.backward()
        gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
        return [loss.detach(), model.act(seen, *rest[:2]).actions, *gradients]

    for one, other in zip(results(0.5), results(torch.nan), strict=True):
        assert torch.equal(one, other)
    whole, partly = model.act(features, *rest[:2]).actions, results(0.0)[1]
    assert torch.equal(whole[0], partly[0])
    assert not any(torch.allclose(whole[row], partly[row], atol=1e-5) for row in (1, 2, 3))
    blind = model.decoder.context(features.vision, *rest[:2], blind=~present.any(dim=1))
    torch.testing.assert_close(model.decoder.context(features.vision, *rest[:2], present=present)[3], blind[3])


def test_the_goal_text_is_never_read():
    model, (features, *rest) = make_model().eval(), make_batch()
    other = replace(features, text=torch.full_like(features.text, torch.nan))
    assert torch.equal(model.act(features, *rest[:2]).actions, model.act(other, *rest[:2]).actions)


def test_image_proprioception_and_the_order_of_codes_matter():
    model, (features, proprio, codes, _) = make_model().eval(), make_batch()
    acted = model.act(features, proprio, codes).actions
    blank = replace(features, vision=torch.roll(features.vision, 1, dims=0))
    for changed in ((blank, proprio, codes), (features, proprio + 1, codes), (features, proprio, codes.flip(1))):
        assert not torch.allclose(model.act(*changed).actions, acted, atol=1e-5)


def test_the_actions_of_a_chunk_see_each_other():
    model, (features, proprio, codes, _) = make_model().eval(), make_batch()
    before = model.act(features, proprio, codes).actions
    with torch.no_grad():
        model.decoder.head.trunk.queries[0] = torch.randn(32)
    assert not torch.allclose(model.act(features, proprio, codes).actions[:, 1:], before[:, 1:], atol=1e-6)


def test_actions_past_the_end_change_nothing():
    model, (features, proprio, codes, actions) = make_model().eval(), make_batch()
    valid = actions.valid.clone()
    valid[:, 9:] = False
    masked = replace(actions, valid=valid)
    changed = replace(masked, actions=torch.where(valid[..., None], masked.actions, -99.0))
    assert loss_of(model, features, proprio, codes, masked) == loss_of(model, features, proprio, codes, changed)
    assert loss_of(model, features, proprio, codes, masked) != loss_of(model, features, proprio, codes, actions)


def test_image_dropout_drops_the_given_share_in_training_only():
    model, (features, *rest) = make_model(image_dropout=0.5), make_batch()
    images, generator = torch.zeros(1000, 2, 4, 24), torch.Generator().manual_seed(0)
    dropped = model.decoder._drop_images(images, generator)
    assert 0.4 < dropped.float().mean() < 0.6
    assert loss_of(model, features, *rest, seed=0) != loss_of(model, features, *rest, seed=1)
    model.eval()
    assert loss_of(model, features, *rest, seed=0) == loss_of(model, features, *rest, seed=1)


def test_noise_disturbs_proprioception_in_training_only():
    model, batch = make_model(proprio_noise=0.1), make_batch()
    model.fit_scalers(batch[1], batch[3].actions.flatten(0, 1))
    scale, many = model.decoder.proprio_scaler.scale, batch[1][:1].expand(4000, -1)
    off = scale(model.decoder._disturbed(many, torch.Generator().manual_seed(0))) - scale(many)
    assert torch.allclose(off.std(dim=0), torch.tensor(0.1), atol=0.01)
    assert off.mean(dim=0).abs().max() < 0.01
    assert loss_of(model, *batch, seed=0) != loss_of(model, *batch, seed=1)
    model.eval()
    assert loss_of(model, *batch, seed=0) == loss_of(model, *batch, seed=1)


def test_posture_turns_what_a_code_means():
    """A motion of the hand's camera is a direction only with the hand's angle: 2 angles × 2 motions, as in XOR."""
    torch.manual_seed(0)
    reading = PostureReading(1, 1, 16)
    angle, motion = torch.tensor([[0.0], [torch.pi], [0.0], [torch.pi]]), torch.tensor([1.0, 1.0, -1.0, -1.0])
    wanted = angle.cos()[:, 0] * motion
    optimiser = torch.optim.Adam(reading.parameters(), lr=0.01)
    for _ in range(200):
        loss = (reading(motion[:, None, None], angle, angle)[:, 0, 0] - wanted).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.01


def test_full_image_dropout_makes_a_blind_model():
    model, (features, *rest) = make_model(image_dropout=1.0), make_batch()
    other = replace(features, vision=features.vision + 1 + torch.randn_like(features.vision))
    assert loss_of(model, features, *rest) == loss_of(model, other, *rest)
    model.eval()
    assert torch.equal(model.act(features, *rest[:2]).actions, model.act(other, *rest[:2]).actions)


@pytest.mark.parametrize(
    "change",
    [
        {"width": 64}, {"layers": 2}, {"heads": 4}, {"dropout": 0.3}, {"head": "l1"}, {"discount": 0.5}, {"std": 0.3},
        {"image_dropout": 0.5}, {"proprio_scaling": "standard"}, {"view_fusion": "concat"}, {"feature_norm": "none"},
        {"key_positions": False}, {"context_norm": False}, {"discrete": (1,)}, {"head": "diffusion"}, {"head": "flow"},
        {"posture": "read"}, {"proprio_noise": 0.2},
    ],
    ids=lambda change: "-".join(map(str, next(iter(change.items())))),
)  # fmt: skip
def test_every_option_has_an_effect(change):
    batch = make_batch()
    if "discrete" in change:
        batch[3].actions[..., 1] = batch[3].actions[..., 1].sign()
    plain, changed = make_model(), make_model(**change, fit=batch)
    plain.fit_scalers(batch[1], batch[3].actions.flatten(0, 1))
    assert loss_of(changed, *batch) != loss_of(plain, *batch)


@pytest.mark.parametrize(
    ("head", "change"),
    [
        ("diffusion", {"diffusion_steps": 50}),
        ("diffusion", {"betas": (0.1,) * 100}),
        ("diffusion", {"diffusion_sampler": "ddpm"}),
        ("diffusion", {"sampling_steps": 3}),
        ("diffusion", {"clip_samples": False}),
        ("diffusion", {"denoiser": "token"}),
        ("diffusion", {"steps_attend": False}),
        ("flow", {"flow_sampler": "euler"}),
        ("flow", {"flow_sampler": "heun"}),
        ("flow", {"sampling_steps": 3}),
        ("flow", {"clip_samples": False}),
        ("diffusion", {"mean_draws": 1}),
        ("flow", {"mean_draws": 1}),
    ],
    ids=lambda x: x if isinstance(x, str) else next(iter(x)),
)
def test_every_option_of_the_noisy_heads_has_an_effect(head, change):
    features, proprio, codes, _ = make_batch()
    before: dict = {}
    if "steps_attend" in change or change.get("flow_sampler") == "heun":
        before = {"denoiser": "adaptive", "foretells": "noise"}  # the settings in which it is a choice
    acted = [
        make_model(head=head, **{**before, **c}).eval().act(features, proprio, codes).actions for c in ({}, change)
    ]
    assert not torch.equal(*acted)


@pytest.mark.parametrize("head", ["diffusion", "flow"])
def test_the_likeliest_actions_are_the_mean_of_draws(head):
    features, proprio, codes, _ = make_batch()
    several, single = (make_model(head=head, mean_draws=draws).eval() for draws in (64, 1))
    several.load_state_dict(single.state_dict())
    mean = several.act(features, proprio, codes).actions
    assert torch.equal(mean, several.act(features, proprio, codes).actions)
    drawn = [
        single.act(features, proprio, codes, generator=torch.Generator().manual_seed(i)).actions for i in range(64)
    ]
    expected, one = torch.stack(drawn).mean(dim=0), single.act(features, proprio, codes).actions
    assert (mean - expected).square().mean() < 0.3 * (one - expected).square().mean()
    generator = torch.Generator().manual_seed(3)
    assert torch.equal(several.act(features, proprio, codes, generator=generator).actions, drawn[3])


def test_an_option_of_the_gaussian_head_has_an_effect():
    batch = make_batch()
    fixed, learned = (make_model(std_kind=kind) for kind in ("fixed", "learned"))
    assert loss_of(fixed, *batch) == loss_of(learned, *batch)  # it starts from the fixed one
    learned.decoder.head.spread.bias.data.fill_(1.0)
    assert loss_of(fixed, *batch) != loss_of(learned, *batch)


def test_without_positions_the_order_of_codes_is_invisible():
    model, (features, proprio, codes, _) = make_model(key_positions=False).eval(), make_batch()
    acted = model.act(features, proprio, codes).actions
    torch.testing.assert_close(model.act(features, proprio, codes.flip(1)).actions, acted, rtol=1e-5, atol=1e-5)
    assert model.decoder.positions is None


def test_views_are_tokens_of_their_own_or_joined_at_each_place():
    _, proprio, codes, _ = make_batch()
    vision = make_batch()[0].vision
    shapes = {"tokens": (4, 2 * 4 + 1 + 15, 32), "concat": (4, 4 + 1 + 15, 32)}
    for fusion, shape in shapes.items():
        decoder = make_model(view_fusion=fusion, feature_norm="none", key_positions=False, context_norm=False).decoder
        context = decoder.context(vision, proprio, codes)
        assert context.shape == shape
        patch = vision[:, :, 2].flatten(1) if fusion == "concat" else vision[:, 0, 2]
        torch.testing.assert_close(context[:, 2], decoder.vision[1](patch))


def test_a_discrete_part_acts_with_values_of_the_data():
    features, proprio, codes, actions = make_batch()
    gripper = torch.tensor([0.0, 0.04, 0.08])[torch.arange(64) % 3].view(4, 16)
    actions.actions[..., 1] = gripper
    model = make_model(discrete=(1,), fit=(features, proprio, codes, actions)).eval()
    acted = model.act(features, proprio, codes, generator=torch.Generator().manual_seed(0)).actions[..., 1]
    torch.testing.assert_close(acted.unique(), torch.tensor([0.0, 0.04, 0.08]), rtol=0, atol=1e-6)


def test_the_chunk_is_as_long_as_configured():
    features, proprio, codes, _ = make_batch()
    assert make_model(action_horizon=5).act(features, proprio, codes).actions.shape == (4, 5, 2)


def test_the_papers_size():
    with torch.device("meta"):
        model = InverseDynamics(
            InverseConfig.paper(), code_width=4, tokens=15,
            vision_width=512, patches=49, views=2, proprio_width=9, action_width=7,
        )  # fmt: skip
    assert 57e6 < sum(p.numel() for p in model.parameters()) < 57.5e6
    assert len(model.decoder.head.trunk.transformer.across) == 4


def test_an_unknown_head_is_explained():
    with pytest.raises(UnknownNameError, match="did you mean 'gaussian'"):
        make_model(head="gausian")


def test_presets_differ_in_size_alone():
    presets = [InverseConfig.paper(), InverseConfig.small(), InverseConfig.tiny()]
    assert [c.width for c in presets] == [768, 384, 64]
    for preset in presets:
        same = preset.model_copy(update={"width": 768, "layers": 4, "heads": 8})
        assert same == InverseConfig.paper()


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"width": 30, "heads": 4}, "not divisible"),
        ({"width": 3, "heads": 1}, "even"),
        ({"discrete": (1, 1)}, "different action dimensions"),
        ({"discrete": (-1,)}, "counted from 0"),
        ({"betas": (0.1, 0.2)}, "2 betas for 100"),
        ({"betas": (1.5,) * 100}, "between 0 and 1"),
        ({"head": "diffusion", "diffusion_steps": 4}, "8 sampling_steps for 4"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, complaint):
    with pytest.raises(ValidationError, match=complaint):
        InverseConfig(**settings)


def test_discrete_dimensions_must_exist_and_leave_some_to_the_head():
    for discrete in ((5,), (0, 1)):
        with pytest.raises(UsageError, match="do not fit the actions"):
            make_model(discrete=discrete)


@pytest.mark.parametrize("key_positions", [True, False])
@pytest.mark.parametrize(
    ("part", "says"), [("views", "1 views, 4 patches"), ("proprio", "1 dimensions"), ("codes", "14 tokens")]
)
def test_what_would_broadcast_is_refused(part, says, key_positions):
    model, (features, proprio, codes, actions) = make_model(key_positions=key_positions), make_batch()
    if part == "views":
        features = replace(features, vision=features.vision[:, :1])
    elif part == "proprio":
        proprio = proprio[:, :1]
    else:
        codes = codes[:, :14]
    for call in (lambda: model.act(features, proprio, codes), lambda: model.loss(features, proprio, codes, actions)):
        with pytest.raises(DataError, match=says):
            call()


@pytest.mark.parametrize("of", [(slice(None), slice(1)), (slice(None), slice(None), slice(1))])
def test_chunks_of_other_steps_or_dimensions_are_refused(of):
    model, (*seen, actions) = make_model(), make_batch()
    chunk = ActionChunk(actions=actions.actions[of], valid=actions.valid[of[:2]])
    with pytest.raises(DataError, match="action chunks"):
        model.loss(*seen, chunk)
