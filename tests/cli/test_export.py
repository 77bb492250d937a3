import json

from tests.export.bundles import tiny

from amplify.cli import run


def test_a_bundle_is_exported_and_the_deviation_shown(tmp_path, capsys):
    tiny(tmp_path / "run" / "bundle", names=("inverse", "tokenizer"))
    arguments = ["export", "torch", str(tmp_path / "run"), "--out", str(tmp_path / "out"), "--json"]
    assert run(arguments) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report["largest_deviation"] <= report["tolerance"]
    assert (tmp_path / "out" / "inverse.pt2").is_file()


def test_mistakes_get_one_clear_error(tmp_path, capsys):
    tiny(tmp_path / "bundle", names=("inverse", "tokenizer"))
    out = ["--out", str(tmp_path / "out")]
    assert run(["export", "torch", str(tmp_path / "bundle"), *out, "--tolerance", "-1"]) == 1
    assert "does not compute what PyTorch does" in capsys.readouterr().err
    assert run(["export", "onnx", str(tmp_path / "nowhere"), *out]) == 1
    assert "no bundle" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert run(["export", "torch", str(tmp_path / "bundle")]) == 2
    assert run(["export", "onnx", str(tmp_path / "bundle"), *out, "--batch", "0"]) == 2
