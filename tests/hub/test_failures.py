import pytest
from huggingface_hub import constants, utils
from tests.hub.standin import File

from amplify.cli import run
from amplify.errors import HubError
from amplify.hub.pull import pull
from amplify.hub.push import push
from amplify.hub.resolve import hub_bundle, resolved
from amplify.policy import load_bundle


@pytest.fixture
def pushed(standin, bundle):
    push(bundle, "ann/policy")
    standin.log.clear()
    return standin.repository("ann/policy")


def refused(act, *said):
    with pytest.raises(HubError) as caught:
        act()
    for words in said:
        assert words in str(caught.value)


def test_nobody_is_logged_in(standin, bundle, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    refused(lambda: push(bundle, "ann/policy"), "not logged in", "hf auth login", "HF_TOKEN")
    assert not standin.repositories


def test_a_token_that_is_not_accepted(standin, bundle, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    refused(lambda: push(bundle, "ann/policy"), "does not accept the token", "HF_TOKEN")


def test_no_right_to_write(standin, pushed, bundle):
    refused(lambda: push(bundle, "bob/policy"), "may not do that", "bob/policy", "write permission")
    standin.may_write = False
    (bundle / "stats.json").write_text("{}")
    refused(lambda: push(bundle, "ann/policy"), "may not do that", "write permission")


def test_no_such_repository(standin, pushed, tmp_path):
    refused(lambda: pull("ann/polciy", tmp_path / "x"), "no model or dataset ann/polciy", "ann/policy", "HF_TOKEN")
    refused(lambda: pull("ann/policy", tmp_path / "x", kind="dataset"), "no dataset ann/policy", "there are ann/policy")


def test_no_such_revision(standin, pushed, tmp_path):
    refused(lambda: pull("ann/policy@v9", tmp_path / "x"), "no such revision", "v9", "/commits/main")


def test_private_repositories_need_the_token(standin, pushed, tmp_path, monkeypatch):
    pushed.private = True
    pull("ann/policy", tmp_path / "got")
    monkeypatch.delenv("HF_TOKEN")
    refused(lambda: pull("ann/policy", tmp_path / "x"), "that you can see", "private", "hf auth login")


def test_gated_repositories(standin, pushed, tmp_path):
    pushed.gated = True
    refused(lambda: pull("ann/policy", tmp_path / "x"), "granted first", f"{standin.endpoint}/ann/policy")
    refused(lambda: pull("ann/policy", tmp_path / "x", kind="bundle"), "granted first")


def test_too_many_requests(standin, pushed, tmp_path):
    standin.fail("GET /api/models/ann/policy$", times=20, status=429, headers={"Retry-After": "30"})
    refused(lambda: pull("ann/policy", tmp_path / "x", kind="bundle"), "fewer requests", "30 s", "goes on")


def test_a_hub_that_fails(standin, pushed, tmp_path):
    standin.fail("GET /api/models/ann/policy$", times=20, status=500)
    refused(lambda: pull("ann/policy", tmp_path / "x", kind="bundle"), "500", "injected")


def test_no_network(standin, pushed, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    refused(lambda: pull("ann/policy", tmp_path / "x"), "cannot reach http://127.0.0.1:9", "HF_ENDPOINT")
    assert run(["pull", "ann/policy", "--out", str(tmp_path / "x")]) == 1
    assert "Traceback" not in capsys.readouterr().err


def test_offline(standin, pushed, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    utils.close_session()
    try:
        refused(lambda: pull("ann/policy", tmp_path / "x"), "HF_HUB_OFFLINE")
    finally:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        utils.close_session()


def test_a_dropped_upload_is_tried_again(standin, bundle):
    standin.fail("PUT /lfs/part/.*/2", cut_after=1000)
    push(bundle, "ann/policy")
    assert load_bundle(hub_bundle("hub:ann/policy")).models


def test_an_upload_that_broke_goes_on(standin, bundle):
    standin.fail("POST .*/commit/", times=1, status=500)
    refused(lambda: push(bundle, "ann/policy"), "500", "run the same command again")
    standin.log.clear()
    push(bundle, "ann/policy")
    assert not standin.requests("PUT /lfs"), "weights that have arrived are not sent again"
    assert load_bundle(hub_bundle("hub:ann/policy")).models


def test_a_dropped_download_goes_on_where_it_was(standin, pushed, tmp_path):
    standin.fail("GET /cdn/", times=1, cut_after=30_000)
    pull("ann/policy", tmp_path / "got")
    assert standin.requests(r"^RANGE 30000$")
    assert load_bundle(tmp_path / "got").models


def test_a_download_that_broke_goes_on_in_another_process(standin, pushed, tmp_path, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", interrupt)  # before it tries again
    standin.fail("GET /cdn/", times=1, cut_after=30_000)
    with pytest.raises(KeyboardInterrupt):
        pull("ann/policy", tmp_path / "got")
    assert not (tmp_path / "got").exists()
    standin.log.clear()
    pull("ann/policy", tmp_path / "got")
    assert standin.requests(r"^RANGE 30000$")
    assert len(standin.requests("resolve/.*json")) == 0, "what is whole is not fetched again"
    assert load_bundle(tmp_path / "got").models
    assert not list(tmp_path.glob(".*"))


def test_a_server_that_cannot_resume_sends_all_again(standin, pushed, tmp_path):
    standin.ignore_ranges = True
    standin.fail("GET /cdn/", times=1, cut_after=30_000)
    pull("ann/policy", tmp_path / "got")
    assert load_bundle(tmp_path / "got").models


def test_content_that_is_not_what_the_repository_says(standin, pushed, tmp_path):
    good = pushed.files()["weights.safetensors"]
    other = bytearray(good.content)
    other[-1] ^= 1
    digest = good.sha256

    class Lying(File):
        @property
        def sha256(self):
            return digest

    pushed.commit({**pushed.files(), "weights.safetensors": Lying(bytes(other), True)})
    refused(lambda: pull("ann/policy", tmp_path / "got"), "weights.safetensors", "not what the repository says")
    assert not (tmp_path / "got").exists()


def test_content_that_is_larger_than_the_repository_says(standin, pushed, tmp_path):
    good = pushed.files()["weights.safetensors"]
    pushed.commit({**pushed.files(), "weights.safetensors": File(good.content, True, claimed_size=1000)})
    refused(lambda: pull("ann/policy", tmp_path / "got"), "larger than the repository says")
    assert not (tmp_path / "got").exists()


def test_more_than_the_disk_holds(standin, pushed, tmp_path):
    good = pushed.files()["weights.safetensors"]
    pushed.commit({**pushed.files(), "weights.safetensors": File(good.content, True, claimed_size=10**15)})
    refused(lambda: pull("ann/policy", tmp_path / "got"), "does not fit on the disk", "--out")


@pytest.mark.parametrize(
    "path", ["../evil.json", "a/../../evil.json", "/etc/evil.json", "a\\..\\evil.json", "C:/evil.json", "a//b.json"]
)
def test_paths_that_leave_the_folder(standin, pushed, tmp_path, path):
    pushed.commit({**pushed.files(), path: File(b"{}", False)})
    refused(lambda: pull("ann/policy", tmp_path / "got"), "not safe to write here", "do not use this repository")
    assert not (tmp_path / "got").exists()
    assert not standin.requests("resolve")


def test_names_that_are_one_file_elsewhere(standin, pushed, tmp_path):
    pushed.commit({**pushed.files(), "CONFIG.json": File(b"{}", False)})
    refused(lambda: pull("ann/policy", tmp_path / "got"), "CONFIG.json", "config.json")


def test_pickles_and_code_are_never_downloaded(standin, pushed, tmp_path):
    evil = {name: File(b"\x80\x04.", True) for name in ("model.pkl", "pytorch_model.bin", "setup.py", ".hidden.json")}
    pushed.commit({**pushed.files(), **evil})
    done = pull("ann/policy", tmp_path / "got")
    assert done["never_downloaded"] == ["model.pkl", "pytorch_model.bin"]
    assert not standin.requests("resolve/.*(pkl|bin|py|hidden)")
    assert not set(evil) & {p.name for p in (tmp_path / "got").rglob("*")}


def test_a_text_file_of_absurd_size(standin, pushed, tmp_path):
    pushed.commit({**pushed.files(), "stats.json": File(b"{}", False, claimed_size=10**9)})
    refused(lambda: pull("ann/policy", tmp_path / "got"), "too large for a text file")


def test_weights_that_are_a_pickle_in_disguise(standin, pushed, tmp_path, capsys):
    pushed.commit({**pushed.files(), "weights.safetensors": File(b"\x80\x04\x95" + bytes(64), True)})
    assert run(["pull", "ann/policy", "--out", str(tmp_path / "got")]) == 1
    assert "damaged" in capsys.readouterr().err
    assert not (tmp_path / "got").exists()


def test_a_repository_of_something_else(standin, tmp_path):
    standin.make("ann/other", files={"model.safetensors": b"x", "config.json": b"{}"})
    refused(lambda: pull("ann/other", tmp_path / "got"), "holds no bundle", "weights.safetensors")
    standin.make("ann/rows", "dataset", files={"data.parquet": b"x"})
    refused(lambda: pull("ann/rows", tmp_path / "got"), "holds no LeRobotDataset", "meta/info.json")


def test_bundles_of_the_hub_wherever_a_bundle_is_asked_for(standin, pushed, bundle, monkeypatch, capsys, caplog):
    folder = hub_bundle("hub:ann/policy")
    assert load_bundle(folder).hash == load_bundle(bundle).hash
    assert resolved("hub:ann/policy@main") == str(folder)
    assert resolved("--bundle=hub:ann/policy") == f"--bundle={folder}"
    assert resolved("--text=hub: open the drawer") == "--text=hub: open the drawer"
    assert run(["evaluate", "tracks", "hub:ann/policy", "nowhere"]) == 1
    assert "holds no forward dynamics" in capsys.readouterr().err, "the bundle was found and read"
    standin.log.clear()
    commit = pushed.branches["main"]
    assert hub_bundle(f"hub:ann/policy@{commit}") == folder
    assert not standin.log, "a commit that is here is not asked for"
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert hub_bundle("hub:ann/policy") == folder
    assert "as it was last seen" in caplog.text
    refused(lambda: hub_bundle("hub:ann/other"), "cannot reach")
