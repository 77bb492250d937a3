import json

import pytest
import torch

from amplify.cli import run
from amplify.data.dataset import Dataset
from amplify.data.windows import Source
from amplify.errors import DataError
from amplify.evaluate.loading import Loader
from amplify.experiments.own_videos.actions import units
from amplify.experiments.own_videos.config import configured
from amplify.experiments.own_videos.parts import Parts
from amplify.types import Observation

from . import squares


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    root = tmp_path_factory.mktemp("own")
    squares.write(root / "videos", count=4, actions=False)
    squares.write(root / "demos", count=4, actions=True, first=10)
    squares.write(root / "held-out", count=1, actions=True, first=20)
    return root


def parts(own, **changes):
    given = {"videos": (Source(path=own / "videos"),), "actions": (Source(path=own / "demos"),), **changes}
    return Parts(own / "run", configured("smoke", **given))


def episodes(sources):
    return {(source.path.name, index) for source in sources for index in source.episodes or ()}


def test_from_videos_and_demonstrations_to_a_policy_and_a_report(own, tmp_path, capsys):
    out = tmp_path / "run"
    given = ["quickstart", "--out", out, "--preset", "smoke", "--workers", 0, "--json"]
    given += ["--videos", own / "videos", f"path={own / 'demos'},weight=2", "--actions", own / "demos"]
    assert run(list(map(str, given))) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    moving = summary["tracks"]["own_tracker"]["moving"]
    assert moving["model"]["count"] > 100
    assert {"model", "tokenizer", "no_motion", "constant_velocity"} == moving.keys()
    assert moving["constant_velocity"]["error_px"] < moving["no_motion"]["error_px"], "squares keep their speed"
    rows = summary["actions"]["rows"]
    assert set(rows) == {"foreseen", "real", "hold", "mean"}
    assert set(rows["real"]["dimensions"]) == {"dx", "dy"}
    # Squares never change their speed, so that only the first action of an episode is not the one before.
    assert rows["hold"]["mean"] < 0.2 < rows["mean"]["mean"]
    report = json.loads((out / "report.json").read_text())
    assert [row["weight"] for row in report["data"]["motion"][:2]] == [1, 2]
    page = (out / "report.html").read_text()
    assert "data:video/mp4" in page
    assert "constant velocity" in page
    assert summary["verdict"].splitlines()[1] in page.replace("&#39;", "'")
    policy = Loader().policy(out / "bundle", "amplify")
    seen = Dataset.open(own / "demos").frames(0, "front", 0, 1)
    plan = policy.plan(
        Observation(
            images=torch.from_numpy(seen)[None],
            cameras=("front",),
            proprio=torch.zeros(1, 2),
            instruction=("push it right",),
        )
    )
    assert plan.actions.actions.shape == (1, 16, 2)


def test_what_is_held_back_is_held_back_from_motion_and_actions(own):
    """Named as both, a dataset loses the same episodes on either side."""
    found = parts(own, videos=(Source(path=own / "videos"), Source(path=own / "demos")), validation_fraction=0.25)
    assert not episodes(found.videos) & (episodes(found.held_out) | episodes(found.held_out_demos))
    assert episodes(found.demos).isdisjoint(episodes(found.held_out_demos))
    assert len(episodes(found.held_out)) == 2
    assert episodes(found.held_out_demos) <= episodes(found.held_out)
    other = parts(own, validation_fraction=0.5)
    assert len(episodes(other.held_out)) == 2


def test_held_out_datasets_judge_actions_where_they_have_them(own):
    held_out = (Source(path=own / "held-out"),)
    found = parts(own, held_out=held_out)
    assert (found.held_out, found.held_out_demos) == (held_out, held_out)
    assert found.demos[0].episodes is None
    silent = parts(own, held_out=(Source(path=own / "held-out", role="video"),))
    assert silent.held_out_demos[0].path == own / "demos"
    assert episodes(silent.demos).isdisjoint(episodes(silent.held_out_demos))
    with pytest.raises(DataError, match="among those of training"):
        parts(own, held_out=(Source(path=own / "videos"),))


def test_windows_are_as_long_as_the_pace_needs(own):
    found = parts(own, rate=5.0)  # of 10 frames a second
    assert set(found.windows.values()) == {31}
    found = parts(own, videos=(Source(path=own / "videos", stride=3),))
    assert found.windows == {own / "videos": 46, own / "demos": 16}


@pytest.mark.parametrize(
    ("flags", "said", "code"),
    [
        (("--videos", "a"), "your own data need --actions", 2),
        (("--actions", "a"), "your own data need --videos", 2),
        (("--rate", "5"), "--rate is for your own data", 2),
        (("--videos", "a", "--actions", "b", "--tracker", "flw"), "did you mean 'flow'", 2),
        (("--videos", "a", "--actions", "b", "--preset", "smok"), "did you mean 'smoke'", 2),
        (("--videos", "path=a,wieght=2", "--actions", "b"), "did you mean 'weight'", 2),
        (("--videos", "a", "--actions", "b", "--held-out", "c", "--validation-fraction", "0.2"), "not both", 2),
        (("--videos", "nowhere", "--actions", "nowhere"), "no dataset at nowhere", 1),
    ],
)
def test_wrong_flags(tmp_path, capsys, flags, said, code):
    assert run(["quickstart", "--out", str(tmp_path / "run"), *flags]) == code
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_demonstrations_without_actions_are_refused_before_anything_is_made(own, tmp_path, capsys):
    flags = ["--videos", own / "demos", "--actions", own / "videos"]
    assert run(list(map(str, ["quickstart", "--out", tmp_path / "run", *flags]))) == 1
    assert "action-free video" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_an_action_that_never_changes_is_measured_in_its_own_unit():
    actions = torch.tensor([[0.0, 3.0], [4.0, 3.0]])
    assert units(actions).tolist() == [2.0, 1.0]
