import sys

from amplify.cli import run


def test_without_the_package_one_line_says_how(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "rerun", None)
    for name in [name for name in sys.modules if name.startswith("amplify.view.")]:
        monkeypatch.delitem(sys.modules, name)
    assert run(["export", "rrd", str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    assert "pip install 'amplify-robot[rerun]'" in capsys.readouterr().err
