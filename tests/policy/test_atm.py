from dataclasses import replace

import pytest
import torch

from amplify.errors import DataError
from amplify.policy.atm import AtmPolicy


@pytest.fixture
def policy(models, vision, text):
    transformer, guided = models["track_transformer"].train(), models["track_policy"].train()
    with torch.no_grad():
        transformer.out.weight.normal_()
        guided.queries.copy_(torch.rand(1, 4, 2) - 0.5)
    return AtmPolicy(predictor=transformer, model=guided, vision=vision, text=text)


def test_a_plan_is_actions_guided_by_predicted_tracks(policy, observe):
    observation = observe("open it", "close it")
    plan = policy.plan(observation)
    assert plan.tokens is None
    assert plan.actions.actions.shape == (2, 16, 2)
    assert torch.equal(plan.actions.actions, policy.plan(observation).actions.actions)
    with torch.no_grad():
        policy.predictor.out.weight.normal_()
    assert not torch.allclose(plan.actions.actions, policy.plan(observation).actions.actions)


def test_dropout_never_reaches_a_robot(policy):
    assert not policy.predictor.training
    assert not policy.model.training


def test_it_needs_proprioception(policy, observe):
    with pytest.raises(DataError, match="proprioception"):
        policy.plan(replace(observe("open it"), proprio=None))
