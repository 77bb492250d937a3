from dataclasses import replace

import torch

from amplify.baselines import BehaviourCloning
from amplify.inverse import InverseConfig, InverseDynamics
from amplify.types import ActionChunk, Features

SIZES = {"vision_width": 24, "patches": 4, "views": 1, "proprio_width": 3, "action_width": 2}


def make_model(**changes) -> BehaviourCloning:
    torch.manual_seed(0)
    config = InverseConfig.quickstart(**{"width": 32, "layers": 1, "heads": 2, "dropout": 0.0, **changes})
    return BehaviourCloning(config, text_width=10, **SIZES)


def make_batch():
    torch.manual_seed(1)
    features = Features(vision=torch.randn(4, 1, 4, 24), text=torch.randn(4, 1, 10))
    path = torch.rand(4, 1, 2) + torch.rand(4, 1, 2) * torch.linspace(-1, 1, 16)[:, None]
    actions = ActionChunk(actions=path, valid=torch.ones(4, 16, dtype=torch.bool))
    return features, torch.randn(4, 3), actions


def test_overfits_four_windows():
    model, (features, proprio, actions) = make_model(width=64, layers=2), make_batch()
    model.fit_scalers(proprio, actions.actions.flatten(0, 1))
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(100):
        loss, _ = model.loss(features, proprio, actions)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.eval()
    assert (model.act(features, proprio).actions - actions.actions).abs().mean() < 0.06


def test_the_instruction_matters():
    model, (features, proprio, _) = make_model().eval(), make_batch()
    other = replace(features, text=features.text.roll(1, dims=0))
    assert not torch.allclose(model.act(features, proprio).actions, model.act(other, proprio).actions, atol=1e-5)


def test_it_has_the_size_of_inverse_dynamics():
    config = InverseConfig.quickstart()
    sizes = SIZES | {"vision_width": 1408}
    cloning = BehaviourCloning(config, text_width=384, **sizes)
    inverse = InverseDynamics(config, code_width=4, tokens=15, **sizes)
    count = [sum(p.numel() for p in m.decoder.head.trunk.parameters()) for m in (cloning, inverse)]
    assert count[0] == count[1]
    whole = [sum(p.numel() for p in m.parameters()) for m in (cloning, inverse)]
    assert abs(whole[0] - whole[1]) < 0.06 * whole[1]


def test_image_dropout_and_sampling_are_those_of_the_shared_trunk():
    model, (features, proprio, actions) = make_model(image_dropout=0.5), make_batch()
    losses = [
        model.loss(features, proprio, actions, generator=torch.Generator().manual_seed(s))[0].item() for s in (0, 1)
    ]
    assert losses[0] != losses[1]
    drawn = model.eval().act(features, proprio, generator=torch.Generator().manual_seed(0)).actions
    assert not torch.equal(drawn, model.act(features, proprio).actions)


def test_a_view_that_is_not_present_is_not_looked_at():
    model, (features, proprio, actions) = make_model().eval(), make_batch()
    seen = [
        replace(features, vision=features.vision + shift, present=torch.tensor([[True], [False], [False], [False]]))
        for shift in (0.0, 1e3)
    ]
    acted = [model.act(each, proprio).actions for each in seen]
    assert torch.equal(acted[0][1:], acted[1][1:])
    assert not torch.equal(acted[0][1:], model.act(features, proprio).actions[1:])
    losses = [model.loss(each.map(lambda x: x[1:]), proprio[1:], actions.map(lambda x: x[1:]))[0] for each in seen]
    assert losses[0] == losses[1]
