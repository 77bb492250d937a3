import importlib
import inspect
import json
import subprocess
import sys

import pytest

from amplify import cli
from amplify.cli import COMMANDS, run
from amplify.errors import DataError, UsageError


def test_every_command_exists_and_has_help(capsys):
    for name, (module, _) in COMMANDS.items():
        function = getattr(importlib.import_module(module), name.split()[-1].replace("-", "_"))
        assert inspect.getdoc(function)
        assert run([*name.split(), "--help"]) == 0
    assert "usage" in capsys.readouterr().out


def test_overview_lists_every_command(capsys):
    assert run([]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in COMMANDS)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["trak"], "did you mean 'track'"),
        (["train"], "needs one more word"),
        (["train", "tokeniser"], "train tokenizer"),
        (["quickstart", "--out", "x", "--preset", "smok"], "smoke"),
        (["quickstart", "--out", "x", "--tracker", "flwo"], "did you mean 'flow'"),
        (["train", "tokenizer", "x", "--out", "y", "--tracks", "t", "--model.window", "4"], "must be odd"),
        (["train", "forward", "x", "--out", "y", "--tokenizer", "z"], "has no tracks sidecar"),
        (["evaluate", "policy", "nowhere", "--tasks", "door-open"], "no bundle"),
        (["track", "nowhere"], "nowhere"),
        (["record", "metaworld", "--tasks", "dor-open", "--out", "x"], "door-open"),
        (["record", "metaworld", "--tasks", "door-open", "--camera", "corner22", "--out", "x"], "corner2"),
    ],
)
def test_mistakes_get_one_clear_error(arguments, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(arguments) in (1, 2)
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err
    assert not (tmp_path / "x").exists() or not any((tmp_path / "x").iterdir())


def test_a_missing_option_is_bad_usage(capsys):
    assert run(["quickstart"]) == 2
    assert "out" in capsys.readouterr().err


@pytest.mark.parametrize(("error", "code"), [(DataError("bad", remedy="mend it"), 1), (UsageError("wrong"), 2)])
def test_exit_codes(monkeypatch, capsys, error, code):
    def fail(arguments):
        raise error

    monkeypatch.setattr(cli, "_call", fail)
    assert run(["doctor"]) == code
    assert error.what in capsys.readouterr().err


def test_an_interrupt_says_how_to_go_on(monkeypatch, capsys):
    def interrupt(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_call", interrupt)
    assert run(["doctor"]) == 130
    assert "same command again" in capsys.readouterr().err


def test_json_is_the_last_line(monkeypatch, capsys):
    monkeypatch.setattr(cli, "_call", lambda arguments: {"a": {"b": 1.5}, "path": "x"})
    assert run(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"a": {"b": 1.5}, "path": "x"}
    assert run(["doctor"]) == 0
    assert capsys.readouterr().out.splitlines() == ["a:", "  b: 1.5", "path: x"]


def test_a_reader_that_has_seen_enough_is_no_failure():
    script = "import sys; from amplify.cli import run; sys.exit(run(['record', 'metaworld', '--help']))"
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.close()
    assert (process.wait(), process.stderr.read()) == (0, "")
