import shutil

import pytest
import torch

from amplify.data.dataset import Dataset
from amplify.data.sidecar import (
    SCHEMAS,
    Header,
    episode_path,
    features_folder,
    folders,
    read_episode,
    read_text,
    set_aside_episodes,
    text_folder,
    tracks_folder,
    write_set_aside,
    write_sidecar,
)
from amplify.data.track_store import write_tracks
from amplify.errors import SidecarError
from amplify.types import TrackWindow

from .episodes import LENGTHS, VIDEO_SPEC, dataset, write

FOLDER = tracks_folder("flow", 2, 4)


def header(found, index=0, **changes):
    values = {
        "kind": "tracks",
        "producer": "flow",
        "version": "1",
        "settings": {"grid": 2, "horizon": 4, "upsample": 2.0},
        "cameras": found.spec.cameras,
        "length": found.length(index),
        "origin": found.fingerprint(index),
    }
    return Header(**(values | changes))


@pytest.fixture
def found(tmp_path):
    return dataset(tmp_path / "d", VIDEO_SPEC)


def put(found, index=0, folder=FOLDER, **changes):
    made = header(found, index, **changes)
    points = torch.rand(made.length, 2, 4, 4, 2) * 2 - 1
    valid = torch.ones(made.length, 2, 4, dtype=torch.bool)
    windows = TrackWindow(points=points, visible=points[..., 0] > 0, valid=valid)
    write_tracks(episode_path(found.root, folder, index), made, windows)


def test_round_trip(found):
    made = header(found, kind="features", producer="grey")
    vision = torch.rand(made.length, 2, 3, 5).half()
    write_sidecar(episode_path(found.root, "features-grey", 0), made, {"vision": vision})
    sidecar = read_episode(found, "features-grey", 0)
    assert sidecar.header == made
    assert torch.equal(sidecar.tensors["vision"], vision)
    assert folders(found.root, "features") == ["features-grey"]


def test_folders_say_what_is_in_them():
    assert tracks_folder("flow", 10, 16) == "tracks-flow-10x10-h16"
    assert features_folder("efficientnet-lite0-128px") == "features-efficientnet-lite0-128px"
    assert text_folder("minilm") == "text-minilm"


def test_missing_ones_name_the_command_and_what_there_is(found):
    put(found)
    with pytest.raises(SidecarError) as caught:
        read_episode(found, "tracks-ground-truth-10x10-h16", 0)
    assert f"run 'amplify track {found.root} --tracker ground-truth --grid 10 --horizon 16'" in str(caught.value)
    assert FOLDER in str(caught.value)
    with pytest.raises(SidecarError, match="run 'amplify encode"):
        read_episode(found, "features-grey", 0)


@pytest.mark.parametrize("other", [tracks_folder("flow", 3, 4), tracks_folder("flow", 2, 8), tracks_folder("lk", 2, 4)])
def test_another_tracker_grid_or_horizon_than_the_folder_says(found, other):
    put(found)
    shutil.copytree(found.root / "sidecars" / FOLDER, found.root / "sidecars" / other)
    with pytest.raises(SidecarError, match=f"made otherwise(.|\n)*{FOLDER}(.|\n)*{other}(.|\n)*amplify track"):
        read_episode(found, other, 0)


def test_of_another_recording(found, tmp_path):
    put(found, 0, length=LENGTHS[1])
    with pytest.raises(SidecarError, match="another recording"):
        read_episode(found, FOLDER, 0)
    put(found, 0, cameras=("front",))
    with pytest.raises(SidecarError, match="another recording"):
        read_episode(found, FOLDER, 0)
    put(found, 0)
    again = Dataset.open(write(tmp_path / "again", VIDEO_SPEC.model_copy(update={"height": 48})))
    shutil.copytree(found.root / "sidecars", again.root / "sidecars")
    with pytest.raises(SidecarError, match="another recording"):
        read_episode(again, FOLDER, 0)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.95])
def test_truncated(found, share):
    put(found)
    path = episode_path(found.root, FOLDER, 0)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(SidecarError, match=r"damaged sidecar.*episode-000000(.|\n)*amplify track"):
        read_episode(found, FOLDER, 0)


def test_of_another_layout(found):
    put(found, schema_version=SCHEMAS["tracks"] + 1)
    with pytest.raises(SidecarError, match="another layout"):
        read_episode(found, FOLDER, 0)


def test_tracks_of_an_earlier_layout_name_the_command_that_makes_them_anew(found):
    made = header(found, schema_version=1)
    points = torch.zeros(made.length, 2, 4, 4, 2).half()
    write_sidecar(episode_path(found.root, FOLDER, 0), made, {"points": points, "visible": points[..., 0] > 0})
    with pytest.raises(
        SidecarError, match=r"another layout(.|\n)*schema 1(.|\n)*schema 2(.|\n)*amplify track .* --grid 2"
    ):
        read_episode(found, FOLDER, 0)


def test_text_by_sentence(found):
    sentences = ("open", "close")
    path = found.root / "sidecars" / "text-minilm" / "instructions.safetensors"
    made = Header(kind="text", producer="minilm", version="1", settings={}, length=2, origin="", sentences=sentences)
    values = torch.randn(2, 1, 5)
    with pytest.raises(SidecarError, match="no 'text-minilm'"):
        read_text(found.root, "text-minilm", sentences)
    write_sidecar(path, made, {"text": values})
    assert torch.equal(read_text(found.root, "text-minilm", ["close", "open", "close"]), values[[1, 0, 1]])
    with pytest.raises(SidecarError, match=r"no embedding of an instruction(.|\n)*'fold'(.|\n)*amplify encode"):
        read_text(found.root, "text-minilm", ["open", "fold"])


def test_what_could_not_be_made_is_remembered(found):
    assert set_aside_episodes(found.root, FOLDER) == {}
    write_set_aside(found.root, FOLDER, {3: "too dark"})
    assert set_aside_episodes(found.root, FOLDER) == {3: "too dark"}
