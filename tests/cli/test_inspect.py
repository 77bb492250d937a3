import json

from tests.evaluate.scenes import recording, write

from amplify.cli import run


def test_a_dataset_is_shown_and_a_page_written(tmp_path, capsys):
    root = write(tmp_path / "d", [recording(number) for number in range(12)])
    page = tmp_path / "page.html"
    arguments = ["inspect", str(root), "--followed", "0", "--workers", "0", "--out", str(page)]
    assert run(arguments) == 0
    shown = capsys.readouterr().out
    assert "push the block" in shown
    assert "1. note, no_tracks" in shown
    assert "histogram" not in shown
    assert page.read_text().startswith("<!doctype html>")
    assert run([*arguments, "--json", "--seen", "3"]) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said["looked_at"]["seen_episodes"] == 3
    assert {"dataset", "lengths", "tasks", "motion", "findings", "verdict", "page", "usable", "passed"} <= set(said)


def test_exit_codes(tmp_path, capsys):
    root = write(tmp_path / "d", [recording(number) for number in range(2)])
    arguments = ["inspect", str(root), "--followed", "0", "--workers", "0"]
    videos = sorted((root / "videos").rglob("*.mp4"))
    videos[0].unlink()
    assert run(arguments) == 0
    assert run([*arguments, "--strict"]) == 1
    videos[1].unlink()
    capsys.readouterr()
    assert run(arguments) == 1
    assert "Unusable: None of 2 checked episodes can be used." in capsys.readouterr().out


def test_mistakes_get_one_clear_error(tmp_path, capsys):
    root = write(tmp_path / "d", [recording(0)])
    for arguments, code, said in (
        ([str(tmp_path / "nowhere")], 1, "no dataset"),
        ([str(root), "--window", "8"], 2, "must be odd"),
        ([str(root), "--tracks", "tracks-flow-9x9-h16"], 2, "no tracks of this name"),
        ([str(root), "--out", str(tmp_path / "page.pdf")], 2, "HTML"),
        ([str(root), "--checked", "-1"], 2, "checked"),
    ):
        assert run(["inspect", *arguments]) == code
        assert said in capsys.readouterr().err
    assert not (tmp_path / "page.pdf").exists()
