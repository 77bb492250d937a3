from dataclasses import replace

import pytest
import torch

from amplify.errors import DataError
from amplify.forward import ForwardConfig, ForwardDynamics
from amplify.inverse import InverseDynamics
from amplify.policy import AmplifyPolicy, BehaviourCloningPolicy
from amplify.policy.atm import AtmPolicy
from amplify.types import MotionTokens


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


def test_proprioception_that_is_no_number_reaches_no_robot(policy, observe):
    observation = observe("open", "close")
    observation.proprio[1, 0] = float("nan")
    with pytest.raises(DataError, match="not finite"):
        policy.plan(observation)


def test_observations_go_where_the_models_are(models, vision, text, observe):
    parts = {name: models[name].to("meta") for name in ("forward", "tokenizer", "inverse")}
    policies = (
        AmplifyPolicy(**parts, vision=vision, text=text),
        BehaviourCloningPolicy(model=models["behaviour_cloning"].to("meta"), vision=vision, text=text),
        AtmPolicy(
            predictor=models["track_transformer"].to("meta"),
            model=models["track_policy"].to("meta"),
            vision=vision,
            text=text,
        ),
    )
    for policy in policies:
        assert policy.device.type == "meta"
        assert policy.plan(observe("open")).actions.actions.device.type == "meta"


def test_a_camera_too_many_is_refused(policy, observe):
    observation = observe("open")
    twice = replace(observation, images=observation.images.repeat(1, 2, 1, 1, 1), cameras=("front", "hand"))
    with pytest.raises(DataError, match="2 views"):
        policy.plan(twice)


def token_by_token(models, parts, **changes):
    """A policy whose forward model foresees token by token, with strings that differ from image to image."""
    models["forward"].config = models["forward"].config.model_copy(update={"at_once": 0.0})
    with torch.no_grad():
        models["forward"].classifier.weight.mul_(30)
    return AmplifyPolicy(**{**parts, "forward": models["forward"]}, **changes)


@pytest.fixture
def parts(models, vision, text):
    return {name: models[name] for name in ("forward", "tokenizer", "inverse")} | {"vision": vision, "text": text}


@pytest.fixture
def drafts(models, monkeypatch):
    """The drafts that forward dynamics is given, in order."""
    seen, plan = [], models["forward"].plan

    def spy(features, draft=None):
        seen.append(draft)
        return plan(features, draft)

    monkeypatch.setattr(models["forward"], "plan", spy)
    return seen


def test_the_previous_plan_is_the_draft_and_changes_nothing(models, parts, drafts, observe):
    policy = token_by_token(models, parts)
    first = policy.plan(observe("open"))
    for previous in (first, replace(first, tokens=MotionTokens(indices=(first.tokens.indices + 1) % 20))):
        again = policy.plan(observe("open", seed=1), previous=previous)
        fresh = policy.plan(observe("open", seed=1))
        assert torch.equal(again.tokens.indices, fresh.tokens.indices)
        torch.testing.assert_close(again.actions.actions, fresh.actions.actions)
        assert torch.equal(drafts[-2].indices, previous.tokens.indices)
    assert drafts[0] is None


def test_a_draft_moves_on_with_time(models, parts, drafts, observe):
    policy = token_by_token(models, parts)
    first = policy.plan(observe("open"))
    policy.plan(observe("open"), previous=replace(first, age=torch.tensor([2])))
    was = first.tokens.indices
    assert drafts[-1].indices.tolist() == [[*was[0, 2:].tolist(), was[0, -1].item(), was[0, -1].item()]]
    policy.plan(observe("open"), previous=replace(first, age=torch.tensor([40])))
    assert (drafts[-1].indices == was[:, -1:]).all()


def test_the_strings_of_several_views_move_on_each(parts, drafts, observe):
    tokenizer = parts["tokenizer"]
    tokenizer.config = tokenizer.config.model_copy(update={"steps": 5})
    policy = AmplifyPolicy(**parts)
    plan = policy.plan(observe("open"))
    policy.plan(observe("open"), previous=replace(plan, age=torch.tensor([1])))
    was = plan.tokens.indices[0].tolist()
    assert drafts[-1].indices[0].tolist() == [*was[1:5], was[4], *was[6:10], was[9], *was[11:15], was[14]]


def test_several_environments_and_random_plans_have_no_draft(models, parts, drafts, observe):
    policy = token_by_token(models, parts)
    plan = policy.plan(observe("open", "close"))
    policy.plan(observe("open", "close"), previous=plan)
    assert drafts == [None, None]
    one = policy.plan(observe("open"))
    policy.plan(observe("open"), previous=one, generator=torch.Generator().manual_seed(0))
    assert len(drafts) == 3


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_precision_has_an_effect_and_a_small_one(parts, precision, observe):
    exact = AmplifyPolicy(**parts).plan(observe("open", "close")).actions.actions
    policy = AmplifyPolicy(**parts, precision=precision)
    rough = policy.plan(observe("open", "close")).actions.actions
    assert not torch.equal(rough, exact)
    assert (rough - exact).abs().max() < 0.1
    assert type(parts["forward"].trunk.blocks[0].widen) is torch.nn.Linear
    assert type(policy.inverse) is type(parts["inverse"])


def test_a_goal_image_is_encoded_once(parts, observe, monkeypatch):
    policy, observation = AmplifyPolicy(**parts), observe("open")
    goal = observe("open", seed=3).images
    assert policy.features(observation).goal is None
    expected = policy.vision.encode(goal)
    counted, encode = [], policy.vision.encode
    monkeypatch.setattr(policy.vision, "encode", lambda images: (counted.append(images), encode(images))[1])
    for _ in range(2):
        assert torch.equal(policy.features(replace(observation, goal=goal)).goal, expected)
    assert sum(torch.equal(images, goal) for images in counted) == 1
    other = observe("open", seed=4).images
    assert torch.equal(policy.features(replace(observation, goal=other)).goal, encode(other))


def test_inverse_dynamics_may_have_eyes_of_its_own(models, vision, text, observe):
    class Blue(type(vision)):
        def encode(self, images):
            return super().encode(images.flip(-1))

    parts = {name: models[name] for name in ("forward", "tokenizer", "inverse")}
    observation = observe("open", "close")
    shared = AmplifyPolicy(**parts, vision=vision, text=text).plan(observation)
    own = AmplifyPolicy(**parts, vision=vision, text=text, inverse_vision=Blue()).plan(observation)
    assert torch.equal(own.tokens.indices, shared.tokens.indices)
    assert (own.actions.actions - shared.actions.actions).abs().max() > 1e-4


def test_other_cameras_are_refused(parts, observe):
    observation = observe("open")
    AmplifyPolicy(**parts, cameras=observation.cameras).plan(observation)
    AmplifyPolicy(**parts).plan(observation)
    with pytest.raises(DataError, match="other cameras"):
        AmplifyPolicy(**parts, cameras=("wrist",)).plan(observation)


def test_an_optional_camera_may_be_missing_and_nothing_of_it_is_seen(models, vision, text, observe):
    torch.manual_seed(1)
    sizes = {"vision_width": 6, "patches": 4, "views": 2}
    small = {"width": 16, "heads": 2, "layers": 1}
    inverse_config = models["inverse"].config
    forward = ForwardDynamics(ForwardConfig.quickstart(**small), levels=(5, 4), tokens=15, text_width=5, **sizes)
    inverse = InverseDynamics(
        inverse_config,
        code_width=models["tokenizer"].embedding_width(inverse_config.motion),
        tokens=15,
        proprio_width=3,
        action_width=2,
        **sizes,
    )
    one = observe("open")
    parts = {"forward": forward, "tokenizer": models["tokenizer"], "inverse": inverse, "vision": vision, "text": text}
    names = (*one.cameras, "wrist")
    policy = AmplifyPolicy(**parts, cameras=names, optional=("wrist",))
    both = replace(one, images=torch.cat([one.images, one.images.flip(2)], dim=1), cameras=names)
    features = policy.features(one)
    assert features.present.tolist() == [[True, False]]
    assert torch.equal(features.vision[:, 0], policy.features(both).vision[:, 0])
    assert not features.vision[:, 1].any()
    alone, together = policy.plan(one).actions.actions, policy.plan(both).actions.actions
    assert alone.isfinite().all()
    assert (alone - together).abs().max() > 1e-6
    with pytest.raises(DataError, match="other cameras"):
        AmplifyPolicy(**parts, cameras=names).plan(one)
    with pytest.raises(DataError, match="other cameras"):
        policy.plan(replace(one, cameras=("wrist",)))
