import math
from dataclasses import replace

import pytest
import torch

from amplify.errors import UsageError
from amplify.policy import Controller, ControllerConfig
from amplify.types import ActionChunk, MotionTokens, Plan


class Counting:
    """The n-th plan says 100·n + age at every age; its tokens are n."""

    def __init__(self, horizon=3, valid=None):
        self.horizon, self.valid, self.batches, self.previous = horizon, valid, [], []

    def plan(self, observation, *, previous=None, generator=None):
        n, batch = len(self.batches), len(observation.instruction)
        self.batches.append(observation.instruction)
        self.previous.append(previous)
        actions = (100.0 * n + torch.arange(self.horizon)).view(1, -1, 1).repeat(batch, 1, 1)
        valid = torch.ones(batch, self.horizon, dtype=torch.bool) if self.valid is None else self.valid
        return Plan(
            actions=ActionChunk(actions=actions, valid=valid),
            tokens=MotionTokens(indices=torch.full((batch, 2), n)),
        )


def run(controller, observation, steps):
    return [controller.act(observation)[0, 0].item() for _ in range(steps)]


def test_newest_plan_alone(observe):
    controller = Controller(Counting(), ControllerConfig(ensemble=False))
    assert run(controller, observe("a"), 3) == [0, 100, 200]


def test_replanning_interval(observe):
    policy = Counting()
    controller = Controller(policy, ControllerConfig(ensemble=False, replan_every=2))
    assert run(controller, observe("a"), 5) == [0, 1, 100, 101, 200]
    assert len(policy.batches) == 3


@pytest.mark.parametrize("first", ["oldest", "newest"])
def test_ensemble_by_hand(first, observe):
    controller = Controller(Counting(), ControllerConfig(decay=0.5, first=first))
    # At decision 3 the plans made at 1, 2, 3 reach it, at ages 2, 1, 0; the plan made at 0 has ended.
    said = [102.0, 201.0, 300.0]
    weights = [math.exp(-0.5 * i) for i in (range(3) if first == "oldest" else (2, 1, 0))]
    expected = sum(w * a for w, a in zip(weights, said)) / sum(weights)
    assert run(controller, observe("a"), 4)[3] == pytest.approx(expected)


def test_ensemble_counts_plans_not_decisions(observe):
    controller = Controller(Counting(horizon=4), ControllerConfig(decay=1.0, replan_every=2))
    # Decision 3: plan 0 at age 3 (i = 0), plan 1 at age 1 (i = 1).
    expected = (3 + math.exp(-1) * 101) / (1 + math.exp(-1))
    assert run(controller, observe("a"), 4)[3] == pytest.approx(expected)


def test_no_decay_is_the_mean(observe):
    controller = Controller(Counting(), ControllerConfig(decay=0.0))
    assert run(controller, observe("a"), 2)[1] == pytest.approx((1 + 100) / 2)


def test_invalid_actions_of_a_plan_are_left_out(observe):
    valid = torch.tensor([[True, False, False]])
    controller = Controller(Counting(valid=valid), ControllerConfig())
    assert run(controller, observe("a"), 3) == [0, 100, 200]


def test_restarting_one_environment_forgets_its_plans_only(observe):
    controller = Controller(Counting(), ControllerConfig(decay=0.0))
    observation = observe("a", "b")
    controller.act(observation)
    controller.act(observation)
    controller.reset(2, mask=[True, False])
    actions = controller.act(observation)[:, 0]
    assert actions[0].item() == 200
    assert actions[1].item() == pytest.approx((2 + 101 + 200) / 3)
    controller.reset(2)
    assert controller.plan is None
    assert controller.act(observation)[1, 0].item() == 300


def test_finished_environments_cost_nothing(observe):
    policy = Counting()
    controller = Controller(policy, ControllerConfig())
    observation = observe("a", "b", "c")
    controller.act(observation)
    actions = controller.act(observation, active=[True, False, True])
    assert policy.batches == [("a", "b", "c"), ("a", "c")]
    assert actions[1].item() == 0
    assert controller.plan.tokens.indices[:, 0].tolist() == [1, 0, 1]
    assert controller.plan.actions.actions[:, 0, 0].tolist() == [100, 0, 100]


def test_the_policy_is_shown_the_newest_plans_and_their_age(observe):
    policy = Counting()
    controller = Controller(policy, ControllerConfig(replan_every=2))
    run(controller, observe("a"), 5)
    assert policy.previous[0] is None
    assert [p.tokens.indices.tolist() for p in policy.previous[1:]] == [[[0, 0]], [[1, 1]]]
    assert [p.age.tolist() for p in policy.previous[1:]] == [[2], [2]]
    assert policy.previous[2].actions.actions[0, :, 0].tolist() == [100, 101, 102]


def test_an_environment_without_a_plan_shows_none(observe):
    policy = Counting()
    controller = Controller(policy, ControllerConfig())
    observation = observe("a", "b", "c")
    controller.act(observation)
    controller.reset(3, mask=[False, True, False])
    controller.act(observation, active=[False, True, True])
    shown = policy.previous[1]
    assert shown.tokens.indices.tolist() == [[-1, -1], [0, 0]]
    assert shown.actions.valid.any(dim=1).tolist() == [False, True]
    assert shown.age.tolist() == [0, 1]
    controller.reset(3, mask=[True, True, True])
    controller.act(observation)
    assert policy.previous[2] is None


def test_goal_images_go_with_their_environments(observe):
    class Looking(Counting):
        def plan(self, observation, *, previous=None, generator=None):
            self.goal = observation.goal
            return super().plan(observation, previous=previous, generator=generator)

    policy, goal = Looking(), observe("a", "b", seed=5).images
    controller = Controller(policy, ControllerConfig())
    controller.act(replace(observe("a", "b"), goal=goal), active=[False, True])
    assert torch.equal(policy.goal, goal[1:])


def test_another_number_of_environments_starts_anew(observe):
    controller = Controller(Counting(), ControllerConfig())
    controller.act(observe("a", "b"))
    assert controller.act(observe("a"))[0, 0].item() == 100


def test_policies_without_tokens(models, vision, text, observe):
    from amplify.policy import BehaviourCloningPolicy

    policy = BehaviourCloningPolicy(model=models["behaviour_cloning"], vision=vision, text=text)
    controller = Controller(policy, ControllerConfig())
    assert controller.act(observe("open")).shape == (1, 2)
    assert controller.plan.tokens is None


def test_replanning_more_rarely_than_plans_last_is_refused(observe):
    with pytest.raises(UsageError, match="1 to 3"):
        Controller(Counting(), ControllerConfig(replan_every=4)).act(observe("a"))


def test_nobody_active_at_first_is_refused(observe):
    with pytest.raises(UsageError, match="active"):
        Controller(Counting(), ControllerConfig()).act(observe("a"), active=[False])


def test_the_callers_observation_is_left_alone(observe):
    observation = observe("a", "b")
    before = replace(observation, images=observation.images.clone())
    Controller(Counting(), ControllerConfig()).act(observation, active=[True, False])
    assert torch.equal(before.images, observation.images)
