"""What is particular to learned trackers: where code and weights come from, precision, batches, shared features."""

import json
import logging
import pickle

import numpy as np
import pytest
import torch

from amplify.cli import run
from amplify.errors import DataError, MissingDependencyError, UsageError
from amplify.tracks import TRACKERS
from amplify.tracks.learned import tracker as tracker_module
from amplify.tracks.learned.code import from_clone, imported
from amplify.tracks.learned.tapir import TapirNetwork
from amplify.tracks.learned.weights import read_weights
from amplify.tracks.queries import uniform_grid
from data.episodes import write

from ..scenes import moving_sprite
from .standins import LEARNED, clones, kernel, options, write_cotracker

every_learned = pytest.mark.parametrize("name", LEARNED)


def track(name, **changes):
    clip = moving_sprite((2.0, 1.0), frames=6, size=(64, 64), start=(8.0, 8.0), seed=4)
    return TRACKERS[name](**options(name, **changes)).track(clip, uniform_grid(4), horizon=4)


@every_learned
def test_the_number_of_windows_in_a_batch_changes_nothing(name):
    one, many = track(name, batch=1), track(name, batch=5)
    torch.testing.assert_close(one.points, many.points)
    assert torch.equal(one.visible, many.visible)


@every_learned
def test_half_precision_is_used_and_hardly_matters(name):
    full, half = track(name), track(name, precision="bfloat16")
    tracker = TRACKERS[name](**options(name, precision="bfloat16"))
    network = tracker_module._network(type(tracker), tracker.config)
    model = network._predictor.model if hasattr(network, "_predictor") else network._model.matcher
    assert set(model.dtypes) == {torch.bfloat16}
    near = ((half.points - full.points).abs() * 64 < 1.5).all(dim=-1)
    assert near.float().mean() > 0.9
    assert half.points.dtype == torch.float32


@every_learned
def test_settings_name_code_weights_and_precision(name, tmp_path):
    first = TRACKERS[name](**options(name)).settings
    other = tmp_path / "other.pt"
    other.write_bytes(b"something else")
    second = TRACKERS[name](**options(name, weights=other, precision="bfloat16")).settings
    assert first["weights_sha256"] != second["weights_sha256"]
    assert (first["precision"], second["precision"]) == ("float32", "bfloat16")
    assert first["code"] == second["code"]
    assert TRACKERS[name](**options(name, batch=7)).settings == first


def test_features_of_a_frame_are_computed_once_a_batch():
    path = clones() / "bootstapir.pt"
    model = imported("tapnet.torch.tapir_model", clones() / "tapnet").TAPIR(pyramid_level=1)
    model.load_state_dict(read_weights(path))
    frames = torch.from_numpy(moving_sprite(frames=5, size=(64, 64), start=(8.0, 8.0)).frames)
    TapirNetwork(model, 64).follow(frames, torch.tensor([[0, 1, 2], [1, 2, 3], [2, 3, 4]]), uniform_grid(2))
    assert model.frames_encoded == [5]


def test_the_licence_is_told_once(caplog):
    tracker_module._say_once.cache_clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            TRACKERS["cotracker2"](**options("cotracker2"))
    assert sum("CC-BY-NC" in record.getMessage() for record in caplog.records) == 1


def test_weights_in_numpy_form_are_converted_by_the_authors_code(tmp_path):
    path = tmp_path / "bootstapnext.npz"
    np.savez(path, **{"conv/kernel": kernel().permute(2, 3, 1, 0).numpy()})
    torch.testing.assert_close(track("tapnext", weights=path).points, track("tapnext").points)
    np.savez(path, other=np.zeros(3))
    with pytest.raises(DataError, match="TAPNext's arrays"):
        track("tapnext", weights=path, batch=3)


class Evil:
    def __reduce__(self):
        return print, ("this must never run",)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 truncated", pickle.dumps(Evil())])
def test_a_checkpoint_that_is_damaged_or_would_run_code_is_refused(tmp_path, content, capsys):
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    with pytest.raises(DataError, match="no file of plain tensors"):
        track("bootstapir", weights=path)
    torch.save({"state_dict": Evil()}, path)
    with pytest.raises(DataError, match="no file of plain tensors"):
        read_weights(path)
    assert "never run" not in capsys.readouterr().out


def test_weights_of_another_network_are_told(tmp_path):
    path = tmp_path / "weights.pt"
    torch.save({"layer.weight": torch.zeros(3)}, path)
    with pytest.raises(DataError, match="another network"):
        track("cotracker3", weights=path)


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("cotracker3", {"code": None}, "--allow-code"),
        ("cotracker3", {"weights": None}, "no --weights"),
        ("bootstapir", {"weights": None}, "bootstapir_checkpoint_v2.pt"),
        ("tapnext", {"allow_code": True}, "not downloaded"),
        ("bootstapir", {"weights": "/nowhere.pt"}, "/nowhere.pt"),
        ("cotracker2", {"code": "/nowhere"}, "/nowhere"),
        ("cotracker2", {"device": "cuda:99"}, "no such CUDA device"),
        ("cotracker2", {"device": "meta"}, "no such device"),
        ("cotracker2", {"device": "abacus"}, "no such device"),
        ("cotracker2", {"precision": "float16"}, "half precision on a processor"),
        ("bootstapir", {"side_px": 100}, "--side-px"),
        ("bootstapir", {"batch": 0}, "--batch"),
    ],
)
def test_what_cannot_work_is_refused_at_once(name, changes, said):
    with pytest.raises(UsageError, match=said):
        TRACKERS[name](**options(name, **changes))


def test_a_folder_that_is_no_clone_or_lacks_a_package_is_told(tmp_path):
    with pytest.raises(DataError, match=r"no hubconf\.py"):
        from_clone(tmp_path, "cotracker2")
    write_cotracker(tmp_path / "clone")
    with pytest.raises(DataError, match="cannot make 'cotracker9'"):
        from_clone(tmp_path / "clone", "cotracker9")
    with pytest.raises(DataError, match="another place"):
        imported("json", tmp_path)
    (tmp_path / "needy.py").write_text("import a_package_that_nobody_has\n")
    with pytest.raises(MissingDependencyError, match="a_package_that_nobody_has"):
        imported("needy", tmp_path)


def test_the_command_line_hands_options_on_and_refuses_what_a_tracker_lacks(tmp_path, capsys):
    dataset = write(tmp_path / "dataset")
    chosen = options("cotracker3")
    arguments = ["track", str(dataset), "--tracker", "cotracker3", "--grid", "2", "--horizon", "3", "--batch", "2"]
    arguments += [
        "--code",
        str(chosen["code"]),
        "--weights",
        str(chosen["weights"]),
        "--precision",
        "bfloat16",
        "--json",
    ]
    assert run(arguments) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["sidecar"] == "tracks-cotracker3-2x2-h3"
    assert run(["track", str(dataset), "--tracker", "flow", "--weights", "x.pt"]) == 2
    assert "the tracker 'flow' has no --weights" in capsys.readouterr().err
    assert run(["track", str(dataset), "--tracker", "ground-truth", "--side-px", "64"]) == 2
    assert "--side-px" in capsys.readouterr().err


@pytest.mark.network
@pytest.mark.parametrize("name", ["cotracker3", "cotracker2"])
def test_the_real_one_follows_a_moving_square(name):
    clip = moving_sprite((2.0, 1.0), start=(44.0, 44.0), frames=8, seed=3)
    window = TRACKERS[name](allow_code=True).track(clip, uniform_grid(8), horizon=6)
    middle = 8 * 3 + 4
    moved_px = (window.points[0, 0, 5] - window.points[0, 0, 0])[middle] * 64
    torch.testing.assert_close(moved_px, torch.tensor([10.0, 5.0]), atol=1.0, rtol=0)
