import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from amplify.errors import UsageError
from amplify.nn.cuda_graph import Graphed
from amplify.policy import AmplifyPolicy
from amplify.policy.compiled import CompiledPlanner
from amplify.types import MotionTokens, Plan


@pytest.fixture
def parts(models, vision, text):
    return {name: models[name] for name in ("forward", "tokenizer", "inverse")} | {"vision": vision, "text": text}


def tensors(result: Any) -> list[Tensor]:
    if isinstance(result, Plan):
        found: list[Tensor] = []
        result.map(lambda tensor: found.append(tensor) or tensor)
        return found
    return [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]


class Replayed:
    """What a CUDA graph does, on any device: the same tensors are filled anew."""

    def __init__(self, function: Callable[[], Any], result: Any):
        self.function, self.result, self.replays = function, result, 0

    def replay(self) -> None:
        self.replays += 1
        for kept, new in zip(tensors(self.result), tensors(self.function()), strict=True):
            kept.copy_(new)


def record(function: Callable[[], Any]) -> tuple[Replayed, Any]:
    function()
    result = function()
    return Replayed(function, result), result


def test_elsewhere_than_on_a_gpu_it_is_refused(parts):
    with pytest.raises(UsageError, match="CUDA"):
        AmplifyPolicy(**parts, compile=True)


@pytest.mark.parametrize("at_once", [0.0, 0.75])
def test_its_plans_are_those_of_the_policy(parts, observe, at_once):
    forward = parts["forward"]
    forward.config = forward.config.model_copy(update={"at_once": at_once})
    if at_once:
        forward.unknown = torch.nn.Parameter(torch.randn(forward.config.width))
    policy = AmplifyPolicy(**parts)
    planner = CompiledPlanner(policy.forward, policy._acted, record=record)
    observation = observe("open", "close", "open")
    features = policy.features(observation)
    expected = policy.plan_from_features(features, observation.proprio)
    right = expected.tokens
    wrong = MotionTokens(indices=(right.indices + 1) % forward.codebook.codebook_size)
    for draft in (None, right, wrong, replace(right, indices=torch.full_like(right.indices, -1))):
        plan = planner(features, observation.proprio, draft)
        assert torch.equal(plan.tokens.indices, right.indices)
        torch.testing.assert_close(plan.actions.actions, expected.actions.actions, rtol=0, atol=1e-5)
        assert planner.passes <= forward.tokens
        if draft is right or at_once:
            assert planner.passes == 1
    one = features.map(lambda tensor: tensor[1:2])
    plan = planner(one, observation.proprio[1:2])
    assert torch.equal(plan.tokens.indices, right.indices[1:2])
    assert len(planner._recordings) == 2, "batches of three and of one"


def test_what_it_returns_stays(parts, observe):
    policy = AmplifyPolicy(**parts)
    planner = CompiledPlanner(policy.forward, policy._acted, record=record)
    first, second = observe("open"), observe("close")
    plan = planner(policy.features(first), first.proprio)
    kept = plan.map(torch.clone)
    planner(policy.features(second), second.proprio + 1)
    assert torch.equal(plan.actions.actions, kept.actions.actions)
    assert torch.equal(plan.tokens.indices, kept.tokens.indices)


TRACED = """
import torch
from amplify.bench.control import ControlStep
from amplify.bench.models import BenchInputs, BenchModels, BenchSizes
from amplify.policy.compiled import CompiledPlanner

sizes, cpu = BenchSizes.named("tiny"), torch.device("cpu")
models, inputs = BenchModels.build(sizes, seed=0, device=cpu), BenchInputs.random(sizes, 2, seed=0, device=cpu)
step = ControlStep(models, inputs)
planner = CompiledPlanner(models.forward, step._acted)
traced = lambda f: torch.compile(f, backend="eager", fullgraph=True)
features = inputs.features(models.encoder.encode(inputs.images).clone())
with torch.no_grad():
    tokens = step.tokens().indices.clone()
    stores, string, sure = traced(planner._begin)(features, torch.full_like(tokens, -1))
    while int(sure.min()) < tokens.shape[1]:
        string, sure = traced(planner._advance)(stores, string, sure)
    assert torch.equal(string, tokens)
    actions = traced(planner._finish)(features, inputs.proprio, string).actions.actions
    torch.testing.assert_close(actions, step.act().actions)
"""


def test_its_parts_can_be_compiled_whole():
    # In a process of its own: the tracer cannot look into the shape checks that tests run with.
    done = subprocess.run([sys.executable, "-c", TRACED], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_graphs_plan_the_same(parts, observe, precision):
    for name in ("forward", "tokenizer", "inverse"):
        parts[name].cuda()
    plain, fast = (AmplifyPolicy(**parts, precision=precision) for _ in range(2))
    plain._graphs = None
    for observation in (observe("open", "close"), observe("close"), observe("open", "close", "open")):
        features, proprio = plain.features(observation).to("cuda"), observation.proprio.cuda()
        expected = plain.plan_from_features(features, proprio)
        for previous in (None, expected):
            plan = fast.plan_from_features(features, proprio, previous=previous)
            assert torch.equal(plan.tokens.indices, expected.tokens.indices)
            torch.testing.assert_close(plan.actions.actions, expected.actions.actions, rtol=0, atol=1e-4)


@pytest.mark.gpu
def test_a_function_as_graphs():
    weight = torch.randn(5, 3, device="cuda")
    graphed = Graphed(lambda x: (x @ weight).relu())
    for shape in ((2, 5), (4, 5), (2, 5)):
        x = torch.randn(shape)
        torch.testing.assert_close(graphed(x, "cuda").cpu(), (x @ weight.cpu()).relu(), rtol=0, atol=1e-4)
