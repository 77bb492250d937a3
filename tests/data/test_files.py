"""Files that appear whole or not at all, and what a killed process leaves."""

import signal
import subprocess
import sys

import pytest

from amplify.data.files import write_json, written_aside

KILLED = """
import os, signal, sys
from pathlib import Path
from amplify.data.files import written_aside
with written_aside(Path(sys.argv[1])) as aside:
    aside.write_text("half")
    if sys.argv[2] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    print("writing", flush=True)
    sys.stdin.readline()
"""


def begun(path, how):
    return subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path), how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_an_error_leaves_neither_the_file_nor_anything_beside_it(tmp_path):
    def fail() -> None:
        with written_aside(tmp_path / "a.json") as aside:
            aside.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_goes_when_the_folder_is_written_to(tmp_path):
    process = begun(tmp_path / "episode-1.safetensors", "killed")
    assert process.wait(60) == -signal.SIGKILL
    assert [path.suffix for path in tmp_path.iterdir()] == [".tmp"]
    write_json(tmp_path / "other.json", {})
    assert [path.name for path in tmp_path.iterdir()] == ["other.json"]


def test_what_others_are_writing_stays(tmp_path):
    elsewhere = tmp_path / f".a.json.another_machine-{2**22 + 1}.tmp"
    elsewhere.write_text("half")
    with begun(tmp_path / "episode-1.safetensors", "alive") as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "writing\n"
        write_json(tmp_path / "other.json", {})
        assert len(list(tmp_path.glob(".episode-1*.tmp"))) == 1
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.wait(60) == 0
    assert {path.name for path in tmp_path.iterdir()} == {elsewhere.name, "episode-1.safetensors", "other.json"}
