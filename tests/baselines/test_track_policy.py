from dataclasses import replace

import torch

from amplify.baselines import TrackGuidedPolicy
from amplify.inverse import InverseConfig
from amplify.types import ActionChunk
from baselines.windows import make_windows

SIZES = {"vision_width": 6, "patches": 4, "views": 1, "text_width": 5, "proprio_width": 3, "action_width": 2}


def make_model(**changes) -> TrackGuidedPolicy:
    torch.manual_seed(0)
    config = InverseConfig.quickstart(**{"width": 32, "layers": 1, "heads": 2, "dropout": 0.0, **changes})
    return TrackGuidedPolicy(config, points=36, steps=5, **SIZES)


def make_batch():
    features, tracks = make_windows()
    # The action is the motion: only the tracks tell it.
    path = (tracks.points[:, 0, -1, 0] - tracks.points[:, 0, 0, 0])[:, None].expand(-1, 16, -1) * 3
    actions = ActionChunk(actions=path.contiguous(), valid=torch.ones(4, 16, dtype=torch.bool))
    return features, torch.zeros(4, 3), tracks, actions


def test_actions_follow_the_tracks():
    model, (features, proprio, tracks, actions) = make_model(), make_batch()
    same = features.map(lambda x: x[:1].expand_as(x).contiguous())
    model.fit_scalers(proprio, actions.actions.flatten(0, 1), tracks)
    assert torch.equal(model.queries, tracks.points[0, :, 0])
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(100):
        loss, _ = model.loss(same, proprio, tracks, actions)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.eval()
    assert (model.act(same, proprio, tracks).actions - actions.actions).abs().mean() < 0.1
    turned = tracks.map(lambda x: x.flip(0))
    assert (model.act(same, proprio, turned).actions - actions.actions.flip(0)).abs().mean() < 0.1


def test_a_view_that_is_not_present_is_not_looked_at():
    model, (features, proprio, tracks, actions) = make_model().eval(), make_batch()
    seen = [
        replace(features, vision=features.vision + shift, present=torch.zeros(4, 1, dtype=torch.bool))
        for shift in (0.0, 1e3)
    ]
    acted = [model.act(each, proprio, tracks).actions for each in seen]
    assert torch.equal(*acted)
    assert not torch.equal(acted[0], model.act(features, proprio, tracks).actions)
    losses = [model.loss(each, proprio, tracks, actions)[0] for each in seen]
    assert losses[0] == losses[1]


def test_the_instruction_matters():
    model, (features, proprio, tracks, _) = make_model().eval(), make_batch()
    other = replace(features, text=features.text.roll(1, dims=0))
    ours, theirs = (model.act(f, proprio, tracks).actions for f in (features, other))
    assert not torch.allclose(ours, theirs, atol=1e-5)
