import json

import pytest
from tests.hub.standin import File

from amplify.cli import run
from amplify.errors import BundleError, HubError, UsageError
from amplify.hub.pull import pull
from amplify.hub.push import push
from amplify.policy import load_bundle, save_bundle
from amplify.policy.bundle import FILES
from amplify.policy.card import BEGIN, END

FIGURES = {"loss": 0.25, "success": {"amplify": {"mean": 0.85, "ci95": [0.81, 0.89], "rollouts": 360}}}


@pytest.fixture
def bundle(bundle):
    made = load_bundle(bundle)
    save_bundle(bundle, made.models, made.meta, FIGURES)
    return bundle


def files(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_what_is_pulled_is_what_was_pushed(standin, bundle, tmp_path):
    pushed = push(bundle, "ann/policy")
    pulled = pull("ann/policy", tmp_path / "got")
    ours, theirs = files(bundle), files(tmp_path / "got")
    for name in FILES[:-1]:
        assert ours[name] == theirs[name]
    assert load_bundle(tmp_path / "got").hash == pushed["hash"]
    assert pushed["commit"] == pulled["commit"] == json.loads(theirs["hub.json"])["commit"]
    assert pushed["uploaded"] == 5
    assert not list(tmp_path.glob(".*"))
    # What was pulled can be pushed again: nothing differs, so nothing is sent.
    commits = len(standin.repository("ann/policy").commits)
    assert push(tmp_path / "got", "ann/policy")["uploaded"] == 0
    assert len(standin.repository("ann/policy").commits) == commits


def test_only_what_changed_is_sent(standin, bundle):
    push(bundle, "ann/policy")
    loaded = load_bundle(bundle)
    save_bundle(bundle, loaded.models, loaded.meta, {"loss": 0.125})
    standin.log.clear()
    assert push(bundle, "ann/policy")["uploaded"] == 2  # stats.json and the card
    assert not standin.requests("PUT")


def test_the_card_is_made_of_the_run_s_figures(standin, bundle, tmp_path):
    report = tmp_path / "report.json"
    row = {"mean": 0.5, "ci95": [0.25, 0.75], "rollouts": 12}
    tracks = {"moving": {"model": {"error_px": 4.4, "delta_auc": 0.8, "mse": 1.0}}}
    report.write_text(json.dumps({"success": {"behaviour_cloning": row}, "tracks": tracks}))
    push(bundle, "ann/policy", licence="apache-2.0", report=report)
    card = standin.repository("ann/policy").files()["README.md"].content.decode()
    for said in (
        "license: apache-2.0",
        "library_name: amplify-robot",
        "- loss: 0.25",
        "amplify: **0.85** [0.81, 0.89] (95 %), 360 rollouts",
        "behaviour_cloning: **0.5** [0.25, 0.75] (95 %), 12 rollouts",
        "error_px: 4.4",
        "cameras: front, wrist",
        'hub_bundle("hub:ann/policy")',
        "Weights: apache-2.0.",
        "## Limitations",
    ):
        assert said in card
    assert "mse" not in card
    push(bundle, "ann/policy")
    assert "Weights: apache-2.0." in standin.repository("ann/policy").files()["README.md"].content.decode()
    push(bundle, "ann/policy", licence="mit")
    card = standin.repository("ann/policy").files()["README.md"].content.decode()
    assert "license: mit" in card
    assert "apache" not in card


def test_what_a_user_wrote_stays(standin, bundle):
    push(bundle, "ann/policy")
    repository = standin.repository("ann/policy")
    card = repository.files()["README.md"].content.decode()
    edited = card.replace("# policy", "# My arm").replace("library_name: amplify-robot", "library_name: mine")
    edited = edited.replace("- loss: 0.25", "- loss: 0") + "\nWrite to me.\n"
    repository.commit({**repository.files(), "README.md": File(edited.encode(), False)})
    push(bundle, "ann/policy")
    card = repository.files()["README.md"].content.decode()
    assert "# My arm" in card
    assert "library_name: mine" in card
    assert card.endswith("\nWrite to me.\n")
    assert "- loss: 0.25" in card
    # A card without our marks gets our part at its end.
    repository.commit({**repository.files(), "README.md": File(b"Mine alone.\n", False)})
    push(bundle, "ann/policy")
    card = repository.files()["README.md"].content.decode()
    assert card.index("Mine alone.") < card.index(BEGIN) < card.index(END)


@pytest.mark.parametrize("broken", [BEGIN, f"{END} {BEGIN}", "---\na: [\n---\n", "---\n- a\n---\n", "---\na: 1\n"])
def test_a_broken_card_is_not_overwritten(standin, bundle, broken):
    standin.make("ann/policy", files={"README.md": File(broken.encode(), False)})
    with pytest.raises(HubError, match="card"):
        push(bundle, "ann/policy")
    assert standin.repository("ann/policy").files()["README.md"].content == broken.encode()


def test_private_and_branches(standin, bundle, tmp_path):
    push(bundle, "ann/policy", private=True, revision="trial", message="First try")
    repository = standin.repository("ann/policy")
    assert repository.private
    assert "weights.safetensors" not in repository.files()
    assert "weights.safetensors" in repository.files("trial")
    assert repository.messages[-1] == "First try"
    assert pull("ann/policy@trial", tmp_path / "got")["commit"] == repository.branches["trial"]
    assert pull("ann/policy", tmp_path / "again", revision="trial")["commit"] == repository.branches["trial"]
    standin.make("ann/open")
    with pytest.raises(HubError, match="is public"):
        push(bundle, "ann/open", private=True)


def test_a_broken_bundle_is_not_pushed(standin, bundle):
    (bundle / "weights.safetensors").write_bytes(b"\x80\x04junk")
    with pytest.raises(BundleError, match="damaged"):
        push(bundle, "ann/policy")
    assert not standin.log


def test_a_newer_commit_replaces_what_was_pulled_and_not_touched(standin, bundle, tmp_path):
    push(bundle, "ann/policy")
    pull("ann/policy", tmp_path / "got")
    standin.log.clear()
    assert pull("ann/policy", tmp_path / "got")["downloaded_bytes"] == 0
    assert not standin.requests("resolve")
    loaded = load_bundle(bundle)
    save_bundle(bundle, loaded.models, loaded.meta, {"loss": 0.125})
    push(bundle, "ann/policy")
    pull("ann/policy", tmp_path / "got")
    assert load_bundle(tmp_path / "got").stats == {"loss": 0.125}
    (tmp_path / "got" / "notes.md").write_text("mine")
    save_bundle(bundle, loaded.models, loaded.meta, {"loss": 0.5})
    push(bundle, "ann/policy")
    with pytest.raises(HubError, match=r"changed since it was pulled(.|\n)*notes\.md"):
        pull("ann/policy", tmp_path / "got")
    assert (tmp_path / "got" / "notes.md").read_text() == "mine"


def test_a_folder_of_something_else_is_left_alone(standin, bundle, tmp_path):
    push(bundle, "ann/policy")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(HubError, match="was not pulled from"):
        pull("ann/policy", tmp_path / "mine")
    assert files(tmp_path / "mine") == {"thesis.txt": b"precious"}


def test_commands(standin, bundle, tmp_path, capsys):
    assert run(["push", str(bundle), "ann/policy", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["kind"] == "bundle"
    assert run(["pull", "ann/policy", "--out", str(tmp_path / "got"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["models"] == ["tokenizer"]
    assert run(["pull", "nonsense", "--out", str(tmp_path / "x")]) == 2
    assert run(["pull", "ann/policy@main", "--revision", "dev", "--out", str(tmp_path / "x")]) == 2
    assert run(["pull", "ann/policy", "--episodes", "0-3", "--out", str(tmp_path / "x")]) == 2
    assert run(["push", str(bundle), "ann/policy", "--sidecars", "all"]) == 2
    assert run(["push", str(tmp_path), "ann/policy"]) == 1
    assert "Traceback" not in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_report_is_for_bundles_and_must_be_one(standin, bundle, tmp_path):
    (tmp_path / "report.json").write_text("[]")
    with pytest.raises(UsageError, match="no report of a run"):
        push(bundle, "ann/policy", report=tmp_path / "report.json")
