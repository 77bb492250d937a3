import pytest
import torch

from amplify.bench.control import ControlStep, Forgetful, PlainControlStep, bench_act, bench_predict, plain_sampling
from amplify.bench.models import BenchInputs, BenchModels, BenchSizes
from amplify.bench.settings import BenchSettings

CPU = torch.device("cpu")
QUICK = BenchSettings(preset="tiny", rounds=1)


def build(head):
    models = BenchModels.build(BenchSizes.named("tiny", head=head), seed=0, device=CPU)
    return models, BenchInputs.random(models.sizes, 1, seed=0, device=CPU)


def test_actions_and_tracks_are_those_of_the_plain_formulation():
    models, inputs = build("gaussian")
    ours, plain = ControlStep(models, inputs), PlainControlStep(models, inputs)
    draft = ours.tokens()
    for acted in (ours.act(), ours.act(draft)):
        torch.testing.assert_close(acted.actions, plain.act().actions, rtol=1e-4, atol=1e-5)
    for foreseen in (ours.predict(), ours.predict(draft)):
        torch.testing.assert_close(foreseen.points, plain.predict().points)


@pytest.mark.parametrize("head", ["flow", "diffusion"])
def test_a_context_that_is_read_anew_gives_the_same_actions(head):
    models, _ = build(head)
    context = torch.randn(2, models.forward.dimensions["patches"] * 2 + 16, 64)
    plain = plain_sampling(models.inverse).decoder.head
    fresh = plain.sample(context)
    assert isinstance(plain.denoiser, Forgetful)
    plain.denoiser = plain.denoiser.denoiser
    torch.testing.assert_close(fresh, plain.sample(context), rtol=1e-4, atol=1e-5)


def test_act_reports_every_part():
    report = bench_act(QUICK.model_copy(update={"against": "reference-style"}), head="gaussian")
    for name in ("act_fp32_no_draft", "act_fp32_draft_all", "act_int8_no_draft", "act_best", "gaussian_head"):
        assert report[name]["median_ms"] > 0
        assert report[name]["ratio"] > 0
    assert report["act_best"]["median_ms"] == report[f"act_{report['act_best']['mode']}"]["median_ms"]
    assert report["act_reference_style"]["ratio"] is None
    assert 0 <= report["agreement"]["int8"]["equal_tokens"] <= 1
    assert report["agreement"]["bf16"]["largest_action_deviation"] < 0.5
    assert report["machine"]["preset"] == "tiny"


@pytest.mark.parametrize(("head", "evaluations"), [("flow", 200), ("diffusion", 100)])
def test_a_head_in_reference_style_asks_its_network_as_often(head, evaluations):
    models, _ = build(head)
    asked = []
    plain = plain_sampling(models.inverse).decoder.head
    plain.denoiser.register_forward_hook(lambda *_: asked.append(1))
    plain.sample(torch.randn(1, models.forward.dimensions["patches"] * 2 + 16, 64))
    assert len(asked) == evaluations


def test_without_a_comparison_there_are_no_ratios():
    report = bench_predict(QUICK)
    assert report["predict_fp32"]["ratio"] is None
    assert "predict_reference_style" not in report
    compared = bench_predict(QUICK.model_copy(update={"against": "reference-style"}))
    assert compared["predict_fp32_draft_all"]["ratio"] > 0
