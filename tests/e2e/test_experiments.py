"""Every study at the smoke budget, in one folder, through the command line."""

import json
from pathlib import Path

import pytest

from amplify.cli import run
from amplify.experiments.engine.store import RESULT, Store
from amplify.experiments.few_shot import FewShot
from amplify.experiments.lab import lab_config
from amplify.experiments.studies import STUDIES

pytestmark = pytest.mark.xdist_group("experiments")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("experiments")


def results(out: Path) -> dict[str, float]:
    return {path.parent.name: path.stat().st_mtime for path in out.glob(f"cells/*/{RESULT}")}


# Those in LIBERO need its package, and but for the smallest minutes.
MARKS = {
    "libero-smoke": pytest.mark.libero,
    **dict.fromkeys(("libero-object", "libero-zero-shot", "libero-spatial-zero-shot"), pytest.mark.slow),
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=MARKS.get(name, ())) for name in sorted(STUDIES)])
def test_a_study_runs_and_shows_its_evidence(name: str, out: Path, capsys: pytest.CaptureFixture[str]):
    earlier = results(out)
    arguments = ["experiment", name, "--budget", "smoke", "--out", str(out), "--workers", "0", "--json"]
    assert run(arguments) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert summary["verdict"].startswith("A smoke run")
    report = json.loads((out / name / "report.json").read_text(), parse_constant=pytest.fail)
    assert report["verdict"] == summary["verdict"]
    assert report["figures"]
    page = (out / name / "report.html").read_text()
    assert "data:image/png" in page
    assert report["question"] in page
    done = results(out)
    assert earlier.items() <= done.items(), "a finished cell was computed again"
    assert done
    assert run(arguments) == 0
    assert results(out) == done


def test_an_interrupted_study_goes_on(out: Path):
    """The cell that was not finished is computed again, the others are not."""
    command = ["experiment", "few-shot", "--budget", "smoke", "--out", str(out), "--workers", "0"]
    assert run(command) == 0
    key = FewShot(lab_config("smoke")).goals()[0].key
    before = Store(out).result(key)
    (out / "cells" / key / RESULT).unlink()
    done = results(out)
    assert run(command) == 0
    after = results(out)
    assert done.items() <= after.items()
    assert after.keys() - done.keys() == {key}
    assert Store(out).result(key) == before, "the same cell has another result"


def test_unknown_names_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run(["experiment", "zero-shot", "--budget", "laptob", "--out", str(tmp_path)]) == 2
    assert "laptop" in capsys.readouterr().err
    assert run(["experiment", "zero-shot", "--tracker", "flo", "--out", str(tmp_path)]) == 2
    assert "flow" in capsys.readouterr().err
    assert run(["experiment", "few-shots", "--out", str(tmp_path)]) == 2
    assert "few-shot" in capsys.readouterr().err
