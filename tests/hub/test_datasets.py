import json
import shutil

import pyarrow.parquet as pq
import pytest
import yaml
from tests.data.episodes import LENGTHS, VIDEO_SPEC, write
from tests.data.sidecars import FEATURES, TRACKS, extract
from tests.hub.standin import File

from amplify.cli import run
from amplify.data.dataset import Dataset
from amplify.data.sidecar import read_episode, read_text
from amplify.errors import AmplifyError, DataError, HubError, SidecarError, UnknownNameError, UsageError
from amplify.hub.pull import pull
from amplify.hub.push import push
from amplify.hub.subset import parse_episodes

SIDECARS = [FEATURES, "scene", "text-minilm", TRACKS]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    root = write(tmp_path_factory.mktemp("recorded") / "drawers", scene=True)
    extract(Dataset.open(root))
    return root


@pytest.fixture
def root(recorded, tmp_path):
    return shutil.copytree(recorded, tmp_path / "drawers")


def files(folder, *, without=("hub.json", "README.md")):
    found = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    return {path: content for path, content in found.items() if path not in without}


def card(standin):
    return standin.repository("ann/drawers", "dataset").files()["README.md"].content.decode()


def test_round_trip_with_all_sidecars(standin, root, tmp_path):
    pushed = push(root, "ann/drawers", sidecars="all")
    assert pushed["sidecars"] == SIDECARS
    pulled = pull("ann/drawers", tmp_path / "got")
    assert files(tmp_path / "got") == files(root)
    assert pulled["episodes"] == len(LENGTHS)
    repository = standin.repository("ann/drawers", "dataset")
    # lerobot's loader asks for this tag.
    assert repository.tags == {"v3.0": pushed["commit"]}
    assert push(root, "ann/drawers", sidecars="all")["uploaded"] == 0


def test_the_card_says_what_is_in_it(standin, root):
    push(root, "ann/drawers", sidecars=f"{TRACKS}, text-minilm", licence="cc-by-4.0")
    front = yaml.safe_load(card(standin).split("---")[1])
    assert "LeRobot" in front["tags"]
    assert front["license"] == "cc-by-4.0"
    assert front["configs"] == [{"config_name": "default", "data_files": "data/*/*.parquet"}]
    assert front["task_categories"] == ["robotics"]
    frames = sum(LENGTHS)
    for said in (
        f"4 episodes, {frames} frames at 10 a second",
        "front (48×32), wrist (48×32)",
        "| open the drawer | 2 |",
        "- task: drawer-open",
        "- seed: 0 to 3",
        f"| `{TRACKS}` | tracks | drift 1 | grid 3, horizon 4, step 0.01 |",
        "Data: cc-by-4.0.",
    ):
        assert said in card(standin)
    assert FEATURES not in card(standin)


def test_sidecars_stay_here_unless_asked_for(standin, root, tmp_path):
    pushed = push(root, "ann/drawers")
    assert pushed["sidecars_left_out"] == SIDECARS
    pull("ann/drawers", tmp_path / "got")
    assert not (tmp_path / "got" / "sidecars").exists()
    with pytest.raises(UnknownNameError, match="did you mean"):
        push(root, "ann/drawers", sidecars="features-gray")


def test_sidecars_alone_join_a_dataset(standin, root, tmp_path):
    push(root, "ann/drawers")
    pull("ann/drawers", tmp_path / "got")
    pushed = push(root, "ann/drawers", kind="sidecars", sidecars=TRACKS)
    assert (pushed["uploaded"], pushed["removed"]) == (6, 0)  # four episodes, what was set aside, the card
    assert "| open the drawer | 2 |" in card(standin)
    pulled = pull("ann/drawers", tmp_path / "got", kind="sidecars")
    assert pulled["sidecars"] == [TRACKS]
    assert read_episode(Dataset.open(tmp_path / "got"), TRACKS, 0)
    assert pull("ann/drawers", tmp_path / "got", kind="sidecars")["already_there"] == [TRACKS]
    push(root, "ann/drawers", kind="sidecars", sidecars=FEATURES)
    assert f"`{TRACKS}`" in card(standin), "those that came before are still named"
    target = tmp_path / "got" / "sidecars" / TRACKS / "episode-000000.safetensors"
    target.write_bytes(target.read_bytes()[:-1])
    with pytest.raises(HubError, match="there already"):
        pull("ann/drawers", tmp_path / "got", kind="sidecars")


def test_sidecars_of_another_recording_are_refused(standin, root, tmp_path):
    push(root, "ann/drawers")
    other = write(tmp_path / "other", count=3)
    extract(Dataset.open(other))
    with pytest.raises(HubError, match="another recording"):
        push(other, "ann/drawers", kind="sidecars")
    with pytest.raises(HubError, match="no dataset ann/unknown"):
        push(root, "ann/unknown", kind="sidecars")
    # Nor are they pulled into it.
    push(root, "ann/drawers", kind="sidecars", sidecars=TRACKS)
    longer = write(tmp_path / "longer", VIDEO_SPEC.model_copy(update={"width": 64}))
    with pytest.raises(SidecarError, match="another recording"):
        pull("ann/drawers", longer, kind="sidecars")
    assert not (longer / "sidecars").exists()


def test_a_smaller_recording_leaves_nothing_of_the_larger_one(standin, root, tmp_path):
    push(root, "ann/drawers", sidecars="all")
    smaller = write(tmp_path / "smaller", count=2)
    pushed = push(smaller, "ann/drawers")
    there = standin.repository("ann/drawers", "dataset").files()
    assert pushed["removed"] == 2 * 3
    assert not [path for path in there if "file-002" in path and not path.startswith("sidecars")]
    assert standin.repository("ann/drawers", "dataset").tags["v3.0"] == pushed["commit"]


def test_chosen_episodes_keep_their_numbers(standin, root, tmp_path):
    push(root, "ann/drawers", sidecars="all")
    standin.log.clear()
    pulled = pull("ann/drawers", tmp_path / "got", episodes="1,3", sidecars=f"{TRACKS},text-minilm")
    assert pulled["episodes"] == 2
    assert not standin.requests(r"resolve/.*(file-000\.mp4|file-002|features|episode-000000)")
    dataset, whole = Dataset.open(tmp_path / "got", strict=True), Dataset.open(root)
    assert [episode.index for episode in dataset.episodes] == [1, 3]
    assert [e.info for e in dataset.episodes] == [whole.episodes[1].info, whole.episodes[3].info]
    assert (dataset.actions(3) == whole.actions(3)).all()
    assert read_episode(dataset, TRACKS, 3).header.length == LENGTHS[3]
    assert read_text(dataset.root, "text-minilm", [dataset.episodes[0].instruction]).shape[0] == 1
    info = json.loads((tmp_path / "got" / "meta" / "info.json").read_text())
    assert (info["total_episodes"], info["total_frames"]) == (2, LENGTHS[1] + LENGTHS[3])
    stats = json.loads((tmp_path / "got" / "meta" / "stats.json").read_text())
    assert stats["action"]["count"] == [LENGTHS[1] + LENGTHS[3]]
    largest = [max(float(whole.actions(i)[:, d].max()) for i in (1, 3)) for d in range(2)]
    assert stats["action"]["max"] == pytest.approx(largest)
    rows = pq.read_table(tmp_path / "got" / "meta" / "episodes" / "chunk-000" / "file-000.parquet")
    assert rows["episode_index"].to_pylist() == [1, 3]
    # The same choice again is nothing to do, another one is a new download.
    assert (
        pull("ann/drawers", tmp_path / "got", episodes="1,3", sidecars=f"{TRACKS},text-minilm")["downloaded_bytes"] == 0
    )
    assert pull("ann/drawers", tmp_path / "got", episodes="0-2", sidecars="none")["episodes"] == 3


@pytest.mark.parametrize(("text", "numbers"), [("3", (3,)), ("0-2,7", (0, 1, 2, 7)), (" 5, 1-2 ", (1, 2, 5))])
def test_numbers_of_episodes(text, numbers):
    assert parse_episodes(text) == numbers


@pytest.mark.parametrize("text", ["", "a", "3-1", "-1", "1,,2", "0-99999999", "1e3"])
def test_no_numbers_of_episodes(text):
    with pytest.raises(UsageError):
        parse_episodes(text)


def test_episodes_that_are_not_there(standin, root, tmp_path):
    push(root, "ann/drawers")
    with pytest.raises(DataError, match=r"no such episodes(.|\n)*0 to 3"):
        pull("ann/drawers", tmp_path / "got", episodes="2-9")
    assert not (tmp_path / "got").exists()


def test_broken_datasets_and_sidecars_are_not_pushed(standin, root):
    video = root / "videos/observation.images.front/chunk-000/file-001.mp4"
    whole = video.read_bytes()
    video.write_bytes(whole[:100])
    with pytest.raises(DataError, match="1 of 4 episodes"):
        push(root, "ann/drawers")
    video.write_bytes(whole)
    (root / "sidecars" / TRACKS / "episode-000002.safetensors").unlink()
    with pytest.raises(SidecarError, match=f"no '{TRACKS}' for episode 2"):
        push(root, "ann/drawers", sidecars="all")
    scene = root / "sidecars/scene/episode-000001.safetensors"
    shutil.copy(root / "sidecars/scene/episode-000000.safetensors", scene)
    with pytest.raises(SidecarError, match="another recording"):
        push(root, "ann/drawers", sidecars="scene")
    (root / "data" / "link.parquet").symlink_to("/etc/passwd")
    with pytest.raises(HubError, match="a link"):
        push(root, "ann/drawers")
    assert not standin.repositories


def test_a_pulled_dataset_that_is_not_whole_never_appears(standin, root, tmp_path):
    push(root, "ann/drawers")
    repository = standin.repository("ann/drawers", "dataset")
    there = repository.files()
    lacking = {path: file for path, file in there.items() if "wrist/chunk-000/file-002" not in path}
    repository.commit(lacking)
    with pytest.raises(DataError, match="1 of 4 episodes"):
        pull("ann/drawers", tmp_path / "got")
    assert not (tmp_path / "got").exists()
    info = json.loads(there["meta/info.json"].content)
    for template in ("../../{video_key}.mp4", "/etc/passwd", "{video_key.__class__}", "{video_key:>99999999999}"):
        changed = json.dumps(info | {"video_path": template}).encode()
        repository.commit({**there, "meta/info.json": File(changed, False)})
        with pytest.raises(AmplifyError):
            pull("ann/drawers", tmp_path / "got")
        with pytest.raises(AmplifyError):
            pull("ann/drawers", tmp_path / "got", episodes="0")
    assert not (tmp_path / "got").exists()


def test_an_interrupted_push_goes_on_and_readers_see_the_old_state(standin, root, monkeypatch):
    monkeypatch.setattr("amplify.hub.push.FILES_A_COMMIT", 5)
    standin.fail("/commit/main", status=500, after=1)
    with pytest.raises(HubError, match="run the same command again"):
        push(root, "ann/drawers")
    repository = standin.repository("ann/drawers", "dataset")
    first = len([p for p in repository.files() if p.startswith(("data", "videos"))])
    assert first == 5
    assert "meta/info.json" not in repository.files()
    assert not repository.tags
    pushed = push(root, "ann/drawers")
    assert pushed["uploaded"] == pushed["files"] - first
    assert repository.tags == {"v3.0": pushed["commit"]}


def test_commands(standin, root, tmp_path, capsys):
    assert run(["push", str(root), "ann/drawers", "--sidecars", "all", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["kind"] == "dataset"
    assert run(["pull", "ann/drawers", "--out", str(tmp_path / "got"), "--episodes", "0-1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["episodes"] == 2
    assert run(["push", str(root), "ann/drawers", "--kind", "sidecars", "--sidecars", "none"]) == 2
    assert run(["push", str(root), "ann/drawers", "--report", "x.json"]) == 2
    assert run(["pull", "ann/drawers", "--kind", "sidecars", "--episodes", "1", "--out", str(tmp_path / "got")]) == 2
    assert "Traceback" not in capsys.readouterr().err
