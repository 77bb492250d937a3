from dataclasses import replace

import pytest
import torch

from amplify.errors import UnknownNameError
from amplify.inverse import InverseConfig, InverseDynamics
from amplify.types import ActionChunk, Features

SIZES = {"vision_width": 24, "patches": 4, "views": 2, "proprio_width": 3, "action_width": 2}


def make_model(**changes) -> InverseDynamics:
    torch.manual_seed(0)
    config = InverseConfig.quickstart(**{"width": 32, "layers": 1, "heads": 2, "dropout": 0.0, **changes})
    model = InverseDynamics(config, code_width=4, tokens=15, **SIZES)
    _, proprio, _, actions = make_batch(horizon=config.action_horizon)
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
        {"image_dropout": 0.5}, {"proprio_scaling": "standard"},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_every_option_has_an_effect(change):
    batch = make_batch()
    assert loss_of(make_model(**change), *batch) != loss_of(make_model(), *batch)


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
