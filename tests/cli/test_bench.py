import json

import pytest

from amplify.cli import run

QUICK = ["--config", "tiny", "--rounds", "1", "--against", "reference-style", "--json"]


def last_line(capsys):
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.mark.parametrize(
    ("command", "names"),
    [
        (["act"], ["act_fp32_no_draft", "act_fp32_draft_all", "act_best", "gaussian_head"]),
        (["act", "--head", "diffusion", "--head-training", "0"], ["diffusion_head"]),
        (["predict"], ["predict_fp32", "predict_fp32_draft_all"]),
        (["train", "--batch", "2"], ["tokenizer_step", "forward_step", "inverse_predicted_step"]),
    ],
)
def test_every_part_has_a_median_and_a_ratio(command, names, capsys):
    assert run(["bench", *command, *QUICK]) == 0
    report = last_line(capsys)
    for name in names:
        assert report[name]["median_ms"] > 0
        assert report[name]["ratio"] > 0


def test_the_cost_of_few_sampling_steps_is_measured_unless_left_out(capsys):
    quick = ["bench", "act", "--config", "tiny", "--rounds", "1", "--head", "flow", "--json"]
    assert run([*quick, "--head-training", "2"]) == 0
    report = last_line(capsys)
    assert report["flow_head"]["ratio"] is None
    assert report["agreement"]["sampling_error"]["few_steps"] > 0
    assert run([*quick, "--head-training", "0"]) == 0
    assert "sampling_error" not in last_line(capsys)["agreement"]


def test_tracking_is_timed(capsys):
    arguments = ["--frames", "5", "--grid", "3", "--horizon", "3", "--rounds", "1", "--against", "reference-style"]
    assert run(["bench", "track", *arguments, "--json"]) == 0
    assert last_line(capsys)["track_flow"]["ratio"] > 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["bench", "act", "--config", "huge"],
        ["bench", "act", "--against", "nothing"],
        ["bench", "act", "--config", "tiny", "--rounds", "0"],
        ["bench", "act", "--config", "tiny", "--device", "meta"],
        ["bench", "act", "--config", "tiny", "--trained", "x"],
        ["bench", "predict", "--threads", "-1"],
        ["bench", "train", "--config", "tiny", "--batch", "0"],
    ],
)
def test_mistakes_are_bad_usage(arguments, capsys):
    assert run(arguments) == 2
    assert "Traceback" not in capsys.readouterr().err
