import subprocess
import sys

import pytest
import torch

from amplify.errors import UsageError
from amplify.policy import AmplifyPolicy
from amplify.policy.compiled import compiled


@pytest.fixture
def parts(models, vision, text):
    return {name: models[name] for name in ("forward", "tokenizer", "inverse")} | {"vision": vision, "text": text}


def test_elsewhere_than_on_a_gpu_it_is_refused(parts):
    with pytest.raises(UsageError, match="CUDA"):
        compiled(lambda: None, torch.device("cpu"))
    with pytest.raises(UsageError, match="CUDA"):
        AmplifyPolicy(**parts, compile=True)


TRACED = """
import torch
from amplify.forward import ForwardConfig, ForwardDynamics
from amplify.inverse import InverseConfig, InverseDynamics
from amplify.policy import AmplifyPolicy
from amplify.tokens import MotionTokenizer, TokenizerConfig
from amplify.types import Features

torch.manual_seed(0)
small, sizes = {"width": 16, "heads": 2}, {"vision_width": 6, "patches": 4, "views": 1, "tokens": 3}
features = Features(vision=torch.randn(2, 1, 4, 6), text=torch.randn(2, 1, 5))
proprio = torch.randn(2, 3)
tokenizer = MotionTokenizer(TokenizerConfig.quickstart(points=4, steps=3, decoder_hidden=8, levels=(5, 4), **small))
acting = InverseConfig.quickstart(layers=1, **small)
inverse = InverseDynamics(
    acting, code_width=tokenizer.embedding_width(acting.motion), proprio_width=3, action_width=2, **sizes
)
for at_once in (0.75, 0.0):
    seeing = ForwardConfig.quickstart(layers=1, at_once=at_once, mean_code_weight=0.0, **small)
    forward = ForwardDynamics(seeing, levels=(5, 4), text_width=5, **sizes)
    policy = AmplifyPolicy(forward=forward, tokenizer=tokenizer, inverse=inverse, vision=None, text=None)
    traced = torch.compile(policy._likeliest, backend="eager", fullgraph=True)(features, proprio)
    plan = policy.plan_from_features(features, proprio)
    assert torch.equal(traced.tokens.indices, plan.tokens.indices)
    torch.testing.assert_close(traced.actions.actions, plan.actions.actions)
"""


def test_a_plan_is_traced_as_one_graph():
    # In a process of its own: the tracer cannot look into the shape checks that tests run with.
    done = subprocess.run([sys.executable, "-c", TRACED], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.gpu
def test_a_graph_plans_the_same(parts, observe):
    for name in ("forward", "tokenizer", "inverse"):
        parts[name].cuda()
    plain, fast = AmplifyPolicy(**parts), AmplifyPolicy(**parts, compile=True)
    observation = observe("open", "close")
    features, proprio = plain.features(observation).to("cuda"), observation.proprio.cuda()
    expected = plain.plan_from_features(features, proprio)
    for _ in range(3):
        plan = fast.plan_from_features(features, proprio)
        assert torch.equal(plan.tokens.indices, expected.tokens.indices)
        torch.testing.assert_close(plan.actions.actions, expected.actions.actions, rtol=0, atol=1e-4)
