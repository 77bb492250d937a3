import itertools
import json

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from amplify.config import Config
from amplify.errors import AmplifyError, BundleError, UsageError
from amplify.train.log import read_metrics
from amplify.train.loop import TrainConfig, batches_ahead, fit, trained_on
from amplify.train.recipes import InverseTraining
from amplify.types import Sample


class Line:
    """Fits y = 3x with dropout, so that every source of randomness counts."""

    name = "line"

    def __init__(self, *, stop_at=None, poison_at=None):
        torch.manual_seed(0)
        self.module = nn.Sequential(nn.Linear(1, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 1))
        self.stop_at, self.poison_at = stop_at, poison_at

    def batch(self, step, generator, size):
        if step == self.stop_at:
            raise KeyboardInterrupt
        x = torch.from_numpy(generator.normal(size=(size, 1)).astype(np.float32))
        return Sample(proprio=x * (float("nan") if step == self.poison_at else 1.0))

    def loss(self, batch, *, generator):
        noise = torch.randn(batch.proprio.shape, generator=generator, device=batch.proprio.device) * 0.01
        loss = (self.module(batch.proprio) - 3 * batch.proprio + noise).square().mean()
        return loss, {"absolute": loss.detach().sqrt()}

    def validate(self):
        return {"loss": 1.5}


def config(**changes):
    settings = {"steps": 40, "batch_size": 8, "warmup_steps": 4, "log_every": 5, "checkpoint_every": 10, "ema": 0.9}
    return TrainConfig(**{**settings, **changes})


def flat(stage):
    return torch.cat([p.detach().flatten() for p in stage.module.parameters()])


@pytest.mark.parametrize("stop_at", [3, 10, 17, 39])
def test_resumed_equals_uninterrupted(tmp_path, stop_at):
    whole, broken, resumed = Line(), Line(stop_at=stop_at), Line()
    fit(whole, config(), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        fit(broken, config(), tmp_path / "broken")
    fit(resumed, config(), tmp_path / "broken")
    assert torch.equal(flat(whole), flat(resumed))
    assert read_metrics(tmp_path / "whole") == read_metrics(tmp_path / "broken")


def test_a_finished_run_is_not_trained_again(tmp_path):
    first = Line()
    fit(first, config(), tmp_path)
    second = Line(stop_at=0)
    fit(second, config(), tmp_path)
    assert torch.equal(flat(first), flat(second))


def test_parts_learn_at_rates_of_their_own(tmp_path):
    plain, slow = Line(), Line()
    start = {name: p.detach().clone() for name, p in plain.module.named_parameters()}
    one = config(steps=1, warmup_steps=0, ema=0.0, weight_decay=0.0, clip=1e9)
    fit(plain, one, tmp_path / "plain")
    fit(slow, one, tmp_path / "slow", rates={"0.": 0.1, "3.bias": 0.0})
    for name, p in slow.module.named_parameters():
        moved, expected = p.detach() - start[name], plain.module.get_parameter(name).detach() - start[name]
        factor = 0.1 if name.startswith("0.") else 0.0 if name == "3.bias" else 1.0
        torch.testing.assert_close(moved, factor * expected, atol=1e-6, rtol=1e-3)
        assert expected.abs().max() > 1e-4


def test_it_learns(tmp_path):
    fit(Line(), config(steps=300, learning_rate=1e-2, ema=0.0), tmp_path)
    losses = [line["line/train/loss"] for line in read_metrics(tmp_path) if "line/train/loss" in line]
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"learning_rate": 1e-2},
        {"ema": 0.0},
        {"weight_decay": 1.0},
        {"clip": 0.01},
        {"batch_size": 4},
        {"precision": "bfloat16"},
    ],
)
def test_every_setting_has_an_effect(tmp_path, change):
    ours, theirs = Line(), Line()
    fit(ours, config(), tmp_path / "a")
    fit(theirs, config(**change), tmp_path / "b")
    assert not torch.equal(flat(ours), flat(theirs))


def test_other_settings_are_refused(tmp_path):
    fit(Line(), config(), tmp_path)
    with pytest.raises(BundleError, match="steps=50"):
        fit(Line(), config(steps=50), tmp_path)


def test_a_damaged_checkpoint_is_refused(tmp_path):
    fit(Line(), config(), tmp_path)
    file = tmp_path / "resume.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(BundleError, match="cannot be read"):
        fit(Line(), config(), tmp_path)


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    fit(Line(), config(), tmp_path)
    other = Line()
    other.module = nn.Linear(1, 1)
    with pytest.raises(BundleError, match="another model"):
        fit(other, config(), tmp_path)


def test_a_loss_that_is_not_finite_stops(tmp_path):
    with pytest.raises(AmplifyError, match="step 7 is not finite"):
        fit(Line(poison_at=7), config(), tmp_path)


def test_the_callers_random_state_is_left_alone(tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    stage = Line()
    torch.manual_seed(5)
    fit(stage, config(), tmp_path)
    assert torch.equal(torch.rand(3), expected)


def test_schedule():
    settings = config(learning_rate=1.0, final_fraction=0.1)
    rates = [settings.learning_rate_at(step) for step in range(settings.steps)]
    assert rates[0] == pytest.approx(0.25)
    assert max(rates) == pytest.approx(1.0)
    assert rates[-1] == pytest.approx(0.1, abs=0.01)
    assert all(a >= b for a, b in itertools.pairwise(rates[4:]))


def test_metrics_have_stage_split_and_name(tmp_path):
    fit(Line(), config(validate_every=20), tmp_path)
    names = {name for line in read_metrics(tmp_path) for name in line}
    assert {"line/train/loss", "line/train/absolute", "line/held_out/loss", "line/train/learning_rate"} <= names
    assert list((tmp_path / "tensorboard").glob("events*"))


def test_a_metric_line_cut_short_is_left_out(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(json.dumps({"step": 1, "a": 2}) + '\n{"step": 2, "a"')
    assert read_metrics(tmp_path) == [{"step": 1, "a": 2}]


@pytest.mark.parametrize(
    "wrong", [{"batch_size": 0}, {"log_every": 0}, {"checkpoint_every": 0}, {"ema": 1.0}, {"clip": 0.0}, {"steps": -1}]
)
def test_budgets_that_mean_nothing_are_refused(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        TrainConfig(**{"steps": 1, **wrong})


def test_no_such_device(tmp_path):
    for name in ("gpu", "mps", "cuda:99"):
        with pytest.raises(UsageError, match="device"):
            fit(Line(), config(device=name), tmp_path)
    with pytest.raises(UsageError, match="device"):
        trained_on(config(), "gpu")


def test_where_it_is_trained_is_no_part_of_what_is_trained():
    one, other = config(), config(device="cuda:3")
    assert one.fingerprint == other.fingerprint
    assert "device" not in other.model_dump()
    assert "precision" not in other.model_dump(), "older results were made without"
    assert config(precision="bfloat16").model_dump()["precision"] == "bfloat16"


def test_every_training_in_settings_moves():
    class Study(Config):
        first: TrainConfig
        second: InverseTraining
        other: int = 3

    moved = trained_on(Study(first=config(), second=InverseTraining(loop=config(seed=5))), "cpu")
    assert (moved.first.device, moved.second.loop.device) == ("cpu", "cpu")
    study = Study(first=config(device="cuda:3"), second=InverseTraining(loop=config(seed=5, device="cuda:3")))
    moved = trained_on(study, "cpu")
    assert (moved.first.device, moved.second.loop.device, moved.second.loop.seed) == ("cpu", "cpu", 5)


class Counted(Line):
    def batch(self, step, generator, size):
        if step == self.stop_at:
            raise AmplifyError("no such batch")
        return Sample(proprio=torch.zeros(step + 1, int(generator.integers(1, 9))))


def test_batches_are_read_ahead_in_order(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)  # there is no such memory without a GPU
    ahead = [batch.proprio.shape for batch in batches_ahead(Counted(), config(), 5, torch.device("meta"))]
    assert ahead == [batch.proprio.shape for batch in batches_ahead(Counted(), config(), 5, torch.device("cpu"))]
    assert [shape[0] for shape in ahead] == list(range(6, 41))
    seen = []
    broken = batches_ahead(Counted(stop_at=9), config(), 5, torch.device("meta"))
    with pytest.raises(AmplifyError, match="no such batch"):
        seen.extend(len(batch.proprio) for batch in broken)
    assert seen == [6, 7, 8, 9]


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_gpu_learns_the_same_and_resumes(tmp_path, precision):
    settings = {"steps": 300, "learning_rate": 1e-2, "ema": 0.0, "precision": precision}
    fit(Line(), config(**settings, device="cuda"), tmp_path / "gpu")
    fit(Line(), config(**settings), tmp_path / "cpu")
    rows = {name: read_metrics(tmp_path / name) for name in ("gpu", "cpu")}
    ends = {
        name: np.mean([line["line/train/loss"] for line in lines if "line/train/loss" in line][-5:])
        for name, lines in rows.items()
    }
    assert ends["gpu"] == pytest.approx(ends["cpu"], rel=0.7)
    broken = Line(stop_at=20)
    with pytest.raises(KeyboardInterrupt):
        fit(broken, config(device="cuda"), tmp_path / "broken")
    fit(Line(), config(device="cpu"), tmp_path / "broken")
    fit(Line(), config(device="cuda"), tmp_path / "broken")
    with pytest.raises(AmplifyError, match="step 7 is not finite"):
        fit(Line(poison_at=7), config(device="cuda"), tmp_path / "poisoned")
    assert not (tmp_path / "poisoned/resume.safetensors").exists()
