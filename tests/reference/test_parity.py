import json

import numpy as np
import pytest
import torch
from tests.reference.folder import FOLDER, copied

from amplify.cli import run
from amplify.errors import UsageError
from amplify.reference.parity import check_folder
from amplify.reference.parity import folder as module
from amplify.reference.parity.comparison import Value, compare, lead, sure_so_far

IO = "official_small_io.npz"


@pytest.fixture(scope="module")
def report():
    return check_folder(FOLDER)


def rewritten(folder, name, changes):
    """The folder with arrays of one file replaced; None takes one out."""
    arrays = dict(np.load(folder / name)) | changes
    np.savez(folder / name, **{k: v for k, v in arrays.items() if v is not None})
    return folder


def test_every_array_agrees_and_none_is_left_out(report):
    stored = {(path.name, name) for path in FOLDER.glob("*.npz") for name in np.load(path).files}
    assert {(row.file, row.name) for row in report.rows} == stored
    assert len(report.rows) == len(stored) == report.summary["arrays"] == 149
    assert [row.name for row in report.rows if not row.passed] == []
    assert report.passed
    assert {row.role for row in report.rows} == {"compared", "input"}
    assert report.summary["compared"] == 131


def test_deviations_are_measured(report):
    by_name = {row.name: row for row in report.rows}
    assert all(row.deviation is not None for row in report.rows if row.role == "compared")
    assert 0 < by_name["tf_logits"].deviation < 1e-5 == by_name["tf_logits"].tolerance
    assert by_name["diffusion_sample_seed11"].tolerance == by_name["fd_grad_norms_json"].tolerance == 1e-4
    assert by_name["tok_grad_norms_json"].note.startswith("43 figures")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("tf_logits", lambda a: a + 1e-3 * np.abs(a).max()),
        ("ar_indices", lambda a: a + 1),
        ("tok_rel_targets_prev_to_next", lambda a: a[:, ::-1]),
        ("predict_traj", lambda a: a[:, :, 1:]),
        ("actions_end_to_end", lambda a: np.full_like(a, np.nan)),
        ("tok_loss", lambda a: a * 1.0001),
        ("metrics_json", lambda a: np.array(str(a).replace('"mse": 0.15', '"mse": 0.16'))),
        ("fd_grad_norms_json", lambda a: np.array(str(a).replace("sos_token", "eos_token"))),
        ("margins_json", lambda a: np.array(str(a).replace("0.0040", "0.0041"))),
        ("codebook_probe_idx", lambda a: (a + 1) % 1900),
    ],
)
def test_one_wrong_array_fails(tmp_path, name, change):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "official_small.pt").symlink_to(FOLDER / "official_small.pt")
    arrays = dict(np.load(FOLDER / IO))
    np.savez(folder / IO, **arrays | {name: change(arrays[name])})
    failed = [row.name for row in check_folder(folder).rows if not row.passed]
    assert failed == (["codebook_probe_codes"] if name == "codebook_probe_idx" else [name])


def test_what_nothing_computes_is_not_covered(tmp_path):
    folder = rewritten(copied(tmp_path), IO, {"tok_something": np.ones(3), "tf_targets": None})
    (folder / "stage_inverse_dynamics_flow.pt").unlink()
    report = check_folder(folder)
    by_name = {row.name: row for row in report.rows}
    assert by_name["tok_something"].role == "uncovered"
    assert by_name["flow_v"].role == "uncovered"
    assert "tf_targets is missing" in by_name["tf_logits"].note
    assert not report.passed
    assert {"official_small_io.npz/tok_something", "official_small_io.npz/tf_loss"} <= set(report.summary["failed"])


def test_stages_serve_where_there_is_no_bundle_and_broken_files_are_named(tmp_path):
    folder = copied(tmp_path)
    (folder / "official_small.pt").write_bytes(b"broken")
    (folder / "broken.npz").write_bytes(b"broken")
    report = check_folder(folder)
    assert all(row.passed for row in report.rows)
    assert report.broken == ["official_small.pt", "broken.npz"]
    assert not report.passed


def test_the_loaders_arrays_need_its_data(tmp_path):
    folder = copied(tmp_path)
    (folder / "data").rename(tmp_path / "elsewhere")
    report = check_folder(folder)
    assert {row.role for row in report.rows if row.file == "official_loader_io.npz"} == {"uncovered"}
    assert not report.passed


def test_a_close_choice_is_not_compared():
    stored, ours = np.array([3, 4, 5]), torch.tensor([3, 9, 5])
    close = torch.tensor([True, False, True])
    assert not compare("f", "n", stored, Value(ours=ours)).passed
    row = compare("f", "n", stored, Value(ours=ours, sure=close))
    assert row.passed
    assert row.note == "1 of 3 hang on a choice that was too close"
    assert not compare("f", "n", stored, Value(ours=torch.tensor([4, 4, 5]), sure=close)).passed


def test_margins():
    assert lead(torch.tensor([[1.0, 5.0, 4.5]])).tolist() == [0.5]
    assert sure_so_far(torch.tensor([True, True, False, True])).tolist() == [True, True, False, False]


def test_the_command_exits_by_the_verdict(tmp_path, capsys):
    assert run(["parity", str(FOLDER), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert summary["arrays"] == len(summary["rows"]) == 149
    assert {"name", "deviation", "tolerance", "passed"} <= set(summary["rows"][0])
    folder = rewritten(copied(tmp_path), IO, {"unheard_of": np.ones(1)})
    assert run(["parity", str(folder)]) == 1
    out = capsys.readouterr().out
    assert "unheard_of  uncovered" in out
    assert run(["parity", str(tmp_path / "nowhere")]) == 1
    (tmp_path / "empty").mkdir()
    assert run(["parity", str(tmp_path / "empty")]) == 1
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("plain_index", "nonsense"),
        ("plain_index", "[]"),
        ("plain_index", "[1]"),
        ("metrics_json", "[]"),
        ("metrics_json", "{}"),
        ("margins_json", "3"),
        ("metrics_json", "nonsense"),
    ],
)
def test_a_damaged_text_fails_and_the_rest_is_compared(tmp_path, name, text):
    file = "official_loader_io.npz" if name.endswith("_index") else IO
    rows = check_folder(rewritten(copied(tmp_path), file, {name: np.array(text)})).rows
    assert len(rows) == 149
    by_name = {row.name: row for row in rows}
    assert not by_name[name].passed
    assert by_name[name].note
    assert by_name["tf_logits"].passed
    assert by_name["tok_loss"].passed


def test_a_part_that_cannot_be_built_is_blamed_even_where_the_reason_names_no_file(tmp_path, monkeypatch):
    def refuse(parts):
        raise UsageError("something is wrong with it")

    monkeypatch.setattr(module, "convert", refuse)
    report = check_folder(copied(tmp_path))
    assert "official_small.pt" in report.broken
    assert "something is wrong" in report.checkpoints["official_small.pt"]
