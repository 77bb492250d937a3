import os
import pathlib
import pickle

import pytest
import torch
from tests.reference.folder import FOLDER, STAGES

from amplify.cli import run
from amplify.errors import BundleError, UsageError
from amplify.reference.reading import collect, load_checkpoint, read_parts


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_bundled_checkpoint_and_its_stages_hold_the_same_parts():
    bundled, stages = collect([FOLDER / "official_small.pt"]), collect(FOLDER / name for name in reversed(STAGES))
    assert set(bundled) == set(stages) == {"tokenizer", "forward", "inverse"}
    for kind, part in bundled.items():
        assert part.weights.keys() == stages[kind].weights.keys()


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_wrappers_of_names_are_taken_off(tmp_path, prefix):
    content = load_checkpoint(FOLDER / STAGES[1])
    content["model"] = {prefix + name: value for name, value in content["model"].items()}
    torch.save(content, tmp_path / "wrapped.pt")
    assert read_parts(tmp_path / "wrapped.pt")[0].weights.keys() == read_parts(FOLDER / STAGES[1])[0].weights.keys()


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_file_is_named_and_never_run(tmp_path, zipped):
    target = tmp_path / "made by the pickle"
    torch.save({"model": {}, "config": Evil(target)}, tmp_path / "evil.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(BundleError, match=r"asks for \w+\.mkdir"):
        read_parts(tmp_path / "evil.pt")
    assert not target.exists()


def test_a_plain_pickle_is_not_run_either(tmp_path):
    target = tmp_path / "made by the pickle"
    (tmp_path / "evil.pt").write_bytes(pickle.dumps({"model": Evil(target)}, protocol=2))
    with pytest.raises(BundleError):
        read_parts(tmp_path / "evil.pt")
    assert not target.exists()


def test_the_one_allowed_class_stays_refused_elsewhere(tmp_path):
    load_checkpoint(FOLDER / "official_small.pt")
    torch.save(pathlib.PosixPath("x"), tmp_path / "path.pt")
    assert load_checkpoint_type(tmp_path / "path.pt") == "PosixPath"
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "path.pt", weights_only=True)


def load_checkpoint_type(path) -> str:
    with pytest.raises(BundleError) as caught:
        load_checkpoint(path)
    return caught.value.got


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is no checkpoint file"),
        (b"hello world", "is no checkpoint file"),
        ((FOLDER / STAGES[1]).read_bytes()[:9000], "is no checkpoint file"),
    ],
)
def test_damaged_files_are_named(tmp_path, content, said):
    (tmp_path / "damaged.pt").write_bytes(content)
    with pytest.raises(BundleError, match=said):
        read_parts(tmp_path / "damaged.pt")


@pytest.mark.parametrize(
    "content", [{"state": 1}, {"model": {}, "config": {}}, {"model": {"x": torch.ones(1)}, "config": {"lr": 1.0}}]
)
def test_other_checkpoints_are_refused(tmp_path, content):
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(BundleError, match="not a checkpoint of the reference"):
        read_parts(tmp_path / "other.pt")


def test_two_files_with_the_same_part_are_bad_usage():
    with pytest.raises(UsageError, match="two files hold the forward"):
        collect([FOLDER / "official_small.pt", FOLDER / STAGES[1]])


def test_the_command_refuses_without_a_traceback(tmp_path, capsys):
    torch.save({"config": Evil(tmp_path / "made")}, tmp_path / "evil.pt")
    assert run(["import", "reference", str(tmp_path / "evil.pt"), "--out", str(tmp_path / "out")]) == 1
    assert run(["import", "reference", "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "mkdir" in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()
