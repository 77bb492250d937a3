from dataclasses import replace

import pytest
import torch

from amplify.errors import DataError
from amplify.policy import AmplifyPolicy, BehaviourCloningPolicy


@pytest.fixture
def policy(models, vision, text):
    parts = {name: models[name] for name in ("forward", "tokenizer", "inverse")}
    return AmplifyPolicy(**parts, vision=vision, text=text)


def test_plan_is_forward_then_inverse_dynamics(policy, models, observe):
    observation = observe("open", "close")
    features = policy.features(observation)
    plan = policy.plan(observation)
    tokens = models["forward"].plan(features)
    assert torch.equal(plan.tokens.indices, tokens.indices)
    motion = models["tokenizer"].embed(tokens, models["inverse"].config.motion)
    expected = models["inverse"].act(features, observation.proprio, motion)
    assert torch.equal(plan.actions.actions, expected.actions)


def test_dropout_is_off(policy, observe):
    assert not any(m.training for m in (policy.forward, policy.tokenizer, policy.inverse))
    observation = observe("open")
    assert torch.equal(policy.plan(observation).actions.actions, policy.plan(observation).actions.actions)


def test_each_instruction_is_encoded_once(policy, text, observe):
    policy.plan(observe("open", "close", "open"))
    policy.plan(observe("close"))
    assert text.asked == ["open", "close"]


def test_a_batch_equals_its_elements(policy, observe):
    observation = observe("open", "close")
    both = policy.plan(observation).actions.actions
    second = replace(
        observation, images=observation.images[1:], proprio=observation.proprio[1:], instruction=("close",)
    )
    torch.testing.assert_close(policy.plan(second).actions.actions[0], both[1])


def test_a_generator_makes_random_plans(policy, observe):
    def draw(seed):
        return policy.plan(observe("open"), generator=torch.Generator().manual_seed(seed))

    assert torch.equal(draw(0).actions.actions, draw(0).actions.actions)
    assert not torch.equal(draw(0).tokens.indices, draw(1).tokens.indices)


def test_behaviour_cloning_plans_without_tokens(models, vision, text, observe):
    policy = BehaviourCloningPolicy(model=models["behaviour_cloning"], vision=vision, text=text)
    plan = policy.plan(observe("open", "close"))
    assert plan.tokens is None
    assert plan.actions.actions.shape == (2, 16, 2)
    assert not policy.model.training


def test_without_proprioception_it_says_so(policy, observe):
    with pytest.raises(DataError, match="proprioception"):
        policy.plan(replace(observe("open"), proprio=None))
