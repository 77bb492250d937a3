"""Which half of a policy fails."""

import json

import numpy as np
import pytest
import torch

from amplify.cli import run
from amplify.errors import BundleError, DataError
from amplify.evaluate import actions
from amplify.evaluate.actions import FORESEEN, MEAN, OTHER, POLICY, TRUE, score_actions
from amplify.policy.bundle import load_bundle
from amplify.train import recipes
from amplify.train.recipes import InverseTraining
from amplify.types import ActionChunk
from train import moving
from train.test_recipes import INVERSE, LOOP, data, motion

SIDECARS = {"tracks": moving.TRACKS, "features": moving.FEATURES, "text": moving.TEXT}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Inverse dynamics and behaviour cloning of the toy, and its demonstrations."""
    root = tmp_path_factory.mktemp("actions")
    demos = moving.write(root / "demos", actions=True)
    forward = motion(root, data(demos))
    train = InverseTraining(loop=LOOP)
    recipes.train_inverse(root / "inverse", parent=forward, data=data(demos), model=INVERSE, train=train)
    recipes.train_behaviour_cloning(root / "cloning", data=data(demos), model=INVERSE, train=LOOP)
    return root, demos


def loaded(root, name):
    return load_bundle(recipes.bundle_of(root / name))


def test_rows_of_both_kinds_of_policy(runs):
    root, demos = runs
    scores = score_actions(loaded(root, "inverse"), demos, **SIDECARS)
    assert list(scores["rows"]) == [TRUE, FORESEEN, OTHER, MEAN]
    assert (scores["windows"], scores["episodes"]) == (3 * moving.LENGTH, 3)
    for row in scores["rows"].values():
        assert row["error"]["low"] <= row["error"]["mean"] <= row["error"]["high"]
        assert list(row["actions"]) == ["dx"]
    assert scores["rows"][MEAN]["error"]["mean"] == pytest.approx(1)
    assert scores["rows"][MEAN]["actions"]["dx"]["slope"] is None
    assert list(score_actions(loaded(root, "cloning"), demos, **{**SIDECARS, "tracks": None})["rows"]) == [POLICY, MEAN]
    assert score_actions(loaded(root, "inverse"), demos, windows=7, **SIDECARS)["windows"] == 7


def test_figures_are_those_of_numpy(runs, monkeypatch):
    root, demos = runs
    kept = []

    def act(self, features, proprio, codes, **_):
        given = proprio[:, None, :1].expand(-1, 4, 1) * 0.5
        kept.append(given)
        return ActionChunk(actions=given, valid=torch.ones(given.shape[:2], dtype=torch.bool))

    monkeypatch.setattr(actions.InverseDynamics, "act", act)
    rows = score_actions(loaded(root, "inverse"), demos, **SIDECARS)["rows"]
    bundle = loaded(root, "inverse")
    found = actions.WindowSet(
        [actions.Source(path=demos)],
        tracks=moving.TRACKS,
        features=moving.FEATURES,
        text=moving.TEXT,
        actions=True,
        horizon=moving.HORIZON,
        action_horizon=4,
        views=actions.info_of(bundle).cameras,
    )
    chunk = found.batch(np.arange(len(found))).actions
    wanted, given = chunk.actions[chunk.valid].numpy()[:, 0], kept[0][chunk.valid].numpy()[:, 0]
    figures = rows[TRUE]["actions"]["dx"]
    assert figures["error"] == pytest.approx(np.abs(given - wanted).mean(), rel=1e-5)
    assert figures["bias"] == pytest.approx(given.mean() - wanted.mean(), rel=1e-5)
    assert figures["correlation"] == pytest.approx(np.corrcoef(given, wanted)[0, 1], rel=1e-4)
    assert figures["slope"] == pytest.approx(np.polyfit(given, wanted, 1)[0], rel=1e-4)
    share = np.abs(given - wanted).mean() / np.abs(wanted - wanted.mean()).mean()
    assert rows[TRUE]["error"]["mean"] == pytest.approx(share, rel=1e-5)


def test_the_motion_that_is_given_differs_by_row(runs, monkeypatch):
    """Tokens of the true tracks, foreseen ones, and the true ones of other moments."""
    root, demos = runs
    bundle = loaded(root, "inverse")
    tokenizer, seen = bundle.models["tokenizer"], []
    embed = type(tokenizer).embed

    def listen(self, tokens, motion):
        seen.append(tokens.indices)
        return embed(self, tokens, motion)

    monkeypatch.setattr(type(tokenizer), "embed", listen)
    score_actions(bundle, demos, **SIDECARS)
    true, foreseen, other = seen
    assert not torch.equal(true, other)
    assert sorted(map(tuple, true.tolist())) == sorted(map(tuple, other.tolist()))
    assert foreseen.shape == true.shape


def test_what_cannot_be_judged(runs, tmp_path):
    root, demos = runs
    with pytest.raises(BundleError, match="nothing that acts"):
        score_actions(loaded(root, "forward"), demos, **SIDECARS)
    videos = moving.write(tmp_path / "videos", actions=False)
    with pytest.raises(DataError):
        score_actions(loaded(root, "inverse"), videos, **SIDECARS)
    bundle = loaded(root, "inverse")
    bundle.meta["action_names"] = ["dy"]
    with pytest.raises(DataError, match=r"(?s)not those of the policy\b.*dx"):
        score_actions(bundle, demos, **SIDECARS)
    bundle = loaded(root, "inverse")
    bundle.models["inverse"].decoder.action_scaler.centre = torch.zeros(3)
    with pytest.raises(DataError, match=r"not those of the policy\b"):
        score_actions(bundle, demos, **SIDECARS)
    bundle.models["inverse_vision_encoder"] = torch.nn.Identity()
    with pytest.raises(BundleError, match="eyes of its own"):
        score_actions(bundle, demos, **SIDECARS)


def test_the_command_finds_what_the_bundle_was_trained_with(runs, capsys):
    root, demos = runs
    assert run(["evaluate", "actions", str(root / "inverse"), str(demos), "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["tracks"] == moving.TRACKS
    assert list(found["rows"]) == [TRUE, FORESEEN, OTHER, MEAN]
    assert run(["evaluate", "actions", str(root / "cloning"), str(demos), "--tracks", moving.TRACKS]) == 2
    assert "leave --tracks out" in capsys.readouterr().err
    assert run(["evaluate", "actions", str(root / "inverse"), str(demos), "--windows", "0"]) == 2
