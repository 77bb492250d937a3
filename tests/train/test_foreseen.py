import os
from dataclasses import replace

import pytest
import torch

from amplify.data.dataset import Dataset
from amplify.data.windows import Source, WindowSet
from amplify.train import foreseen, recipes
from amplify.train.foreseen import computed_once
from amplify.train.recipes import InverseTraining
from train import moving
from train.test_recipes import FORWARD, INVERSE, LOOP, data, motion, weights

TOKENS = torch.arange(12).reshape(1, 4, 3)


@pytest.fixture
def windows(tmp_path):
    def make(name="demos", **source):
        root = tmp_path / name
        if not root.exists():
            moving.write(root, actions=True)
        return WindowSet([Source(path=root, **source)], tracks=None, features=None, actions=True)

    return make


class Counted:
    def __init__(self):
        self.times = 0

    def __call__(self):
        self.times += 1
        return TOKENS + self.times


def test_computed_once_for_the_same_key_and_episodes(windows):
    compute = Counted()
    first = computed_once(windows(), {"parent": "a"}, compute)
    again = computed_once(windows(), {"parent": "a"}, compute)
    assert compute.times == 1
    assert again.dtype == torch.int64
    assert torch.equal(first, again)
    for other in (
        lambda: computed_once(windows(), {"parent": "b"}, compute),
        lambda: computed_once(windows(episodes=(0, 1)), {"parent": "a"}, compute),
        lambda: computed_once(windows("others"), {"parent": "a"}, compute),
    ):
        before = compute.times
        assert torch.equal(other(), TOKENS + before + 1)
        assert torch.equal(other(), TOKENS + before + 1)
        assert compute.times == before + 1


def test_a_recording_made_anew_is_another_one(windows, tmp_path):
    compute = Counted()
    computed_once(windows(), {}, compute)
    video = sorted((tmp_path / "demos" / "videos").rglob("*.mp4"))[0]
    fingerprint = Dataset.open(tmp_path / "demos").fingerprint(0)
    video.write_bytes(video.read_bytes() + b"\0" * 8)
    assert Dataset.open(tmp_path / "demos").fingerprint(0) != fingerprint
    computed_once(windows(), {}, compute)
    assert compute.times == 2


def test_other_words_are_another_condition(windows, monkeypatch):
    compute = Counted()
    computed_once(windows(), {}, compute)
    told = windows()
    said = tuple((number, replace(info, instruction="shut it")) for number, info in told.episodes)
    monkeypatch.setattr(WindowSet, "episodes", said)
    computed_once(told, {}, compute)
    assert compute.times == 2


@pytest.mark.parametrize("content", [b"", b"broken", None])
def test_a_damaged_file_is_made_again(windows, tmp_path, content):
    compute = Counted()
    computed_once(windows(), {}, compute)
    (file,) = (tmp_path / "demos/sidecars/foreseen").iterdir()
    file.write_bytes(file.read_bytes()[:-5] if content is None else content)
    assert torch.equal(computed_once(windows(), {}, compute), TOKENS + 2)
    assert torch.equal(computed_once(windows(), {}, compute), TOKENS + 2)


def test_where_nothing_can_be_written_it_goes_on(windows, tmp_path, caplog):
    found = windows()
    (tmp_path / "demos" / "sidecars" / "foreseen").write_text("a file in the folder's place")
    assert torch.equal(computed_once(found, {}, Counted()), TOKENS + 1)
    assert "cannot be kept" in caplog.text
    assert not [name for name in os.listdir(tmp_path / "demos" / "sidecars") if name.endswith(".tmp")]


def test_a_second_run_foresees_nothing_anew_until_its_parent_changes(tmp_path, monkeypatch):
    demos = moving.write(tmp_path / "demos", actions=True)
    source = data(demos)
    forward = motion(tmp_path, source)
    asked = []
    original = foreseen.tokens_predicted

    def watched(model, windows, chosen, **settings):
        asked.append(len(chosen))
        return original(model, windows, chosen, **settings)

    monkeypatch.setattr(foreseen, "tokens_predicted", watched)

    def inverse(name, *, parent=forward, seed=0, **changes):
        training = InverseTraining(loop=LOOP.model_copy(update={"seed": seed}), predicted_from=0.5, **changes)
        recipes.train_inverse(tmp_path / name, parent=parent, data=source, model=INVERSE, train=training)
        return weights(tmp_path / name)

    first = inverse("one")
    second = inverse("two")
    assert asked == [30]
    assert all(torch.equal(first[key], second[key]) for key in first)
    inverse("other-seed", seed=1)
    assert len(asked) == 1, "without random futures the seed does not matter"
    inverse("random", predicted_samples=1)
    assert len(asked) == 2
    inverse("random-other-seed", predicted_samples=1, seed=1)
    assert len(asked) == 3
    longer = LOOP.model_copy(update={"steps": 13})
    other = tmp_path / "other-forward"
    recipes.train_forward(other, parent=tmp_path / "tokenizer", data=source, model=FORWARD, train=longer)
    inverse("child", parent=other)
    assert len(asked) == 4
    assert set(asked) == {30}
