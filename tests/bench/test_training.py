from dataclasses import replace

import pytest
import torch

from amplify.bench.models import BenchInputs, BenchModels, BenchSizes
from amplify.bench.reference_style import DroppingAttention
from amplify.bench.settings import BenchSettings
from amplify.bench.training import PlainTrainingSteps, TrainingSteps, bench_train

CPU = torch.device("cpu")
PLAIN_LOSS = {"regression_weight": 0.0, "path_weight": 0.0}


@pytest.fixture
def steps():
    sizes = BenchSizes.named("tiny")
    sizes = sizes.model_copy(
        update={
            "tokenizer": sizes.tokenizer.model_copy(update=PLAIN_LOSS),
            "forward": sizes.forward.model_copy(update={"dropout": 0.0}),
            "inverse": sizes.inverse.model_copy(update={"dropout": 0.0}),
        }
    )
    inputs = BenchInputs.random(sizes, 2, seed=0, device=CPU)
    models = BenchModels.build(sizes, seed=0, device=CPU)
    return TrainingSteps(models, inputs, subset_points=0), PlainTrainingSteps(models, inputs)


@pytest.mark.parametrize("stage", ["tokenizer", "forward", "inverse"])
def test_losses_are_those_of_the_plain_formulation_and_fall(steps, stage):
    ours, plain = (getattr(each, stage)() for each in steps)
    first = ours.step()
    torch.testing.assert_close(first, plain.step(), rtol=2e-5, atol=2e-5)
    for learner in (ours, plain):
        assert min(learner.step() for _ in range(3)) < first


def test_the_plain_step_drops_attention_weights_in_training():
    sizes = BenchSizes.named("tiny")
    models = BenchModels.build(sizes, seed=0, device=CPU)
    inputs = BenchInputs.random(sizes, 2, seed=0, device=CPU)
    trunk = PlainTrainingSteps(models, inputs).forward().module.trunk
    block, x = trunk.blocks[0], torch.randn(1, 5, sizes.forward.width)
    assert isinstance(block.attention, DroppingAttention)
    assert not torch.equal(block.attention(x), block.attention(x))
    block.eval()
    torch.testing.assert_close(block.attention(x), models.forward.trunk.blocks[0].attention(x))


def test_instructions_are_part_of_the_plain_step(steps):
    ours, plain = steps
    torch.testing.assert_close(ours.features.text, plain.models.read(plain.inputs.words))
    words = (plain.inputs.words + 1) % 64
    other = PlainTrainingSteps(plain.models, replace(plain.inputs, words=words))
    assert other.forward().step() != plain.forward().step()


def test_metrics_do_not_change_the_step(steps):
    _, plain = steps
    torch.testing.assert_close(plain.forward(metrics=True).step(), plain.forward(metrics=False).step())


def test_a_subset_of_points_has_another_loss(steps):
    ours, _ = steps
    few = TrainingSteps(ours.models, ours.inputs, subset_points=4)
    assert few.tokenizer().step() != ours.tokenizer().step()


def test_train_reports_every_stage():
    settings = BenchSettings(preset="tiny", rounds=1, against="reference-style")
    report = bench_train(settings, batch=2, subset_points=4, bfloat16=False)
    for name in ("tokenizer_step", "forward_step", "inverse_predicted_step"):
        assert report[name]["ratio"] > 0
        assert report["windows_per_s"][name] == pytest.approx(2e3 / report[name]["median_ms"])
        assert report["teraflops"][name] > 0
    assert report["forward_step_reference_style_without_metrics"]["ratio"] is None
    assert report["share_of_bf16_peak"] is None
    assert bench_train(settings.model_copy(update={"against": None}), batch=2, subset_points=4, bfloat16=True)[
        "bfloat16"
    ]
