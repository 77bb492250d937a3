"""Mixtures and fine-tuning, through the recipes and the command line."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from amplify.cli import run
from amplify.data.dataset import Dataset, DatasetSpec
from amplify.data.windows import Source
from amplify.errors import BundleError
from amplify.policy.bundle import load_bundle
from amplify.policy.info import info_of
from amplify.train import recipes
from amplify.train.fine_tuning import FineTuning
from amplify.train.recipes import InverseTraining, TrainingData
from amplify.train.stages import known_tokens
from amplify.types import MotionTokens, TrackWindow
from data import episodes, sidecars
from train import moving
from train.test_recipes import FORWARD, INVERSE, LOOP, TOKENIZER, data, motion, weights

TRAINING = InverseTraining(loop=LOOP)


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    """Videos, demonstrations, and a policy learned from them."""
    root = tmp_path_factory.mktemp("mixtures")
    moving.write(root / "videos", actions=False)
    moving.write(root / "demos", actions=True, first=3)
    motion(root, data(root / "videos"))
    recipes.train_inverse(
        root / "inverse", parent=root / "forward", data=data(root / "demos"), model=INVERSE, train=TRAINING
    )
    recipes.train_behaviour_cloning(root / "cloning", data=data(root / "demos"), model=INVERSE, train=LOOP)
    return root


def train(stage, ready, run_folder, *, init=None, model=None, source=None, loop=LOOP):
    given = source or data(ready / ("videos" if stage in ("tokenizer", "forward") else "demos"))
    if stage == "tokenizer":
        return recipes.train_tokenizer(run_folder, data=given, model=model or TOKENIZER, train=loop, init=init)
    if stage == "forward":
        parent = ready / "tokenizer"
        return recipes.train_forward(
            run_folder, parent=parent, data=given, model=model or FORWARD, train=loop, init=init
        )
    if stage == "inverse":
        return recipes.train_inverse(
            run_folder,
            parent=ready / "forward",
            data=given,
            model=model or INVERSE,
            train=TRAINING.model_copy(update={"loop": loop}),
            init=init,
        )
    return recipes.train_behaviour_cloning(run_folder, data=given, model=model or INVERSE, train=loop, init=init)


STAGES = [
    ("tokenizer", "tokenizer", "velocity_scale_px"),
    ("forward", "forward", "vision.0.mean"),
    ("inverse", "inverse", "decoder.action_scaler.half_range"),
    ("cloning", "behaviour_cloning", "decoder.action_scaler.half_range"),
]
UNTRAINED = LOOP.model_copy(update={"steps": 0})


@pytest.mark.parametrize(("stage", "name", "statistic"), STAGES)
def test_a_stage_begins_with_a_bundles_weights_and_statistics(ready, tmp_path, stage, name, statistic):
    """Without a step, what comes out is what was taken over."""
    before = weights(ready / stage)
    new = ready / "videos" if stage in ("tokenizer", "forward") else ready / "demos"
    other = data(new).model_copy(update={"sources": (Source(path=new, episodes=(1,)),)})
    for kept in ("kept", "refitted"):
        init = FineTuning(bundle=ready / stage, statistics=kept)
        train(stage, ready, tmp_path / kept, init=init, loop=UNTRAINED, source=other)
        after = weights(tmp_path / kept)
        same = {key: torch.equal(after[key], value) for key, value in before.items() if key.startswith(f"{name}.")}
        assert same.pop(f"{name}.{statistic}") is (kept == "kept")
        trained = [here for key, here in same.items() if key.endswith(("weight", "bias"))]
        assert trained
        assert all(trained)
    parents = load_bundle(tmp_path / "kept" / "bundle").parents
    assert str(ready / stage / "bundle") in parents


def test_another_beginning_is_another_run(ready, tmp_path):
    init = FineTuning(bundle=ready / "tokenizer")
    train("tokenizer", ready, tmp_path / "run", init=init)
    assert not torch.equal(
        weights(tmp_path / "run")["tokenizer.encoder.out.weight"],
        weights(ready / "tokenizer")["tokenizer.encoder.out.weight"],
    )
    train("tokenizer", ready, tmp_path / "run", init=init)
    for other in (None, FineTuning(bundle=ready / "tokenizer", statistics="refitted")):
        with pytest.raises(BundleError, match="init="):
            train("tokenizer", ready, tmp_path / "run", init=other)


@pytest.mark.parametrize(
    ("stage", "changes", "said"),
    [
        ("tokenizer", {"width": 32}, r"\(32"),
        ("tokenizer", {"levels": (2, 8)}, r"levels \(2, 8\) \(bundle: \(4, 4\)\)"),
        ("forward", {"layers": 2}, r"absent"),
        ("inverse", {"action_horizon": 3}, r"\(3, 16\) \(bundle: \(4, 16\)\)"),
    ],
)
def test_weights_of_other_sizes_are_refused(ready, tmp_path, stage, changes, said):
    model = {"tokenizer": TOKENIZER, "forward": FORWARD, "inverse": INVERSE}[stage].model_copy(update=changes)
    source = data(ready / ("demos" if stage == "inverse" else "videos"))
    source = source.model_copy(update={"action_horizon": changes.get("action_horizon", 4)})
    with pytest.raises(BundleError, match=said):
        train(stage, ready, tmp_path / "run", init=FineTuning(bundle=ready / stage), model=model, source=source)


def test_a_bundle_without_the_stages_model(ready, tmp_path):
    with pytest.raises(BundleError, match="no behaviour_cloning model"):
        train("cloning", ready, tmp_path / "run", init=FineTuning(bundle=ready / "inverse"))


def test_actions_beyond_the_kept_range_warn(ready, tmp_path, caplog):
    few = data(ready / "demos").model_copy(update={"sources": (Source(path=ready / "demos", episodes=(1,)),)})
    train("cloning", ready, tmp_path / "few", source=few)
    assert "outside of the range" not in caplog.text
    train("cloning", ready, tmp_path / "all", init=FineTuning(bundle=tmp_path / "few"))
    assert "outside of the range" in caplog.text


# --- mixtures


def test_roles_decide_which_sources_a_stage_sees(ready, tmp_path):
    """The same mixture trains every stage: videos never meet inverse dynamics, nor play forward dynamics."""
    sources = (Source(path=ready / "videos", role="video"), Source(path=ready / "demos", role="actions"))
    mixture = data(ready / "videos").model_copy(update={"sources": sources})
    train("tokenizer", ready, tmp_path / "t", source=mixture)
    alone = weights(ready / "tokenizer")
    assert all(torch.equal(value, alone[key]) for key, value in weights(tmp_path / "t").items())
    train("inverse", ready, tmp_path / "i", source=mixture)
    alone = weights(ready / "inverse")
    assert all(torch.equal(value, alone[key]) for key, value in weights(tmp_path / "i").items())


def test_a_fraction_that_is_held_back_is_validated_on_by_every_stage(ready, tmp_path):
    for stage, figure in (
        ("tokenizer", "cross_entropy"),
        ("forward", "cross_entropy"),
        ("inverse", "action_error"),
        ("cloning", "action_error"),
    ):
        source = data(ready / ("videos" if stage in ("tokenizer", "forward") else "demos"))
        held = source.model_copy(update={"validation_fraction": 0.3})
        figures = train(stage, ready, tmp_path / stage, source=held)
        assert figures[figure] > 0
        assert figure not in train(stage, ready, tmp_path / f"{stage}-all", source=source)
        assert any(
            not torch.equal(value, weights(tmp_path / f"{stage}-all")[key])
            for key, value in weights(tmp_path / stage).items()
        ), "held-back episodes are not trained on"


def test_tokens_that_stand_for_nothing_do_not_count():
    valid = torch.tensor([[[True, True, False], [True, True, True]], [[False] * 3, [False] * 3]])
    points = torch.zeros(2, 2, 3, 4, 2)
    tracks = TrackWindow(points=points, visible=torch.ones(2, 2, 3, 4, dtype=torch.bool), valid=valid)
    joint = known_tokens(tracks, MotionTokens(indices=torch.zeros(2, 2, dtype=torch.long)))
    assert joint.tolist() == [[True, True], [False, False]]
    each = known_tokens(tracks, MotionTokens(indices=torch.zeros(2, 4, dtype=torch.long)))
    assert each.tolist() == [[True, False, True, True], [False] * 4]


def test_one_and_two_views_train_together_and_a_robot_with_one_of_them_acts(tmp_path):
    """What stands in the missing view's place never reaches a model."""
    two = episodes.VIDEO_SPEC
    one = DatasetSpec.model_validate({**dict(episodes.SPEC), "cameras": ("wrist",)})
    sidecars.extract(Dataset.open(episodes.write(tmp_path / "two", two)))
    sidecars.extract(Dataset.open(episodes.write(tmp_path / "one", one)))
    given = TrainingData(
        sources=(Source(path=tmp_path / "two", role="video"), Source(path=tmp_path / "one")),
        views=("front", "wrist"),
        tracks=sidecars.TRACKS,
        features=sidecars.FEATURES,
        horizon=sidecars.HORIZON,
        action_horizon=4,
    )
    model = TOKENIZER.model_copy(update={"views": 2, "points": sidecars.GRID**2, "steps": sidecars.HORIZON - 1})
    recipes.train_tokenizer(tmp_path / "t", data=given, model=model, train=LOOP)
    recipes.train_forward(tmp_path / "f", parent=tmp_path / "t", data=given, model=FORWARD, train=LOOP)
    alone = given.model_copy(update={"sources": given.sources[1:], "views": ()})
    recipes.train_inverse(tmp_path / "i", parent=tmp_path / "f", data=alone, model=INVERSE, train=TRAINING)
    bundle = load_bundle(recipes.bundle_of(tmp_path / "i"))
    assert info_of(bundle).cameras == ("front", "wrist"), "the parent's views, of which the robot has one"
    assert info_of(bundle).optional_cameras == ("front",), "so the robot acts without it"
    assert bundle.models["inverse"].dimensions["views"] == 2
    assert all(value.isfinite().all() for value in load_file(bundle.path / "weights.safetensors").values())


# --- the command line

SIZES = ("--model.width", "16", "--model.heads", "2", "--train.steps", "3", "--train.batch-size", "4")


def amplify(capsys, *arguments, code=0):
    assert run([*map(str, arguments), "--json"]) == code
    return capsys.readouterr()


def test_a_mixture_of_flags_and_a_file_trains_the_same(ready, tmp_path, capsys):
    given = ("train", "tokenizer", *SIZES)
    held = ("--validation-fraction", "0.3")
    extra = f"path={ready / 'demos'},weight=3,count=2"
    result = amplify(capsys, *given, ready / "videos", "--source", extra, *held, "--out", tmp_path / "a")
    assert "2 of 3" in result.err
    assert "held out" in result.err
    assert json.loads(result.out.splitlines()[-1])["cross_entropy"] > 0
    file = tmp_path / "mixture.json"
    sources = [str(ready / "videos"), {"path": str(ready / "demos"), "weight": 3, "count": 2}]
    file.write_text(json.dumps({"sources": sources, "validation_fraction": 0.3}))
    amplify(capsys, *given, "--mixture", file, "--out", tmp_path / "b")
    assert all(torch.equal(v, weights(tmp_path / "b")[k]) for k, v in weights(tmp_path / "a").items())
    amplify(capsys, *given, "--mixture", file, "--sampling", "by-source", "--out", tmp_path / "c")
    assert any(not torch.equal(v, weights(tmp_path / "c")[k]) for k, v in weights(tmp_path / "a").items())


def test_the_command_line_fine_tunes_at_the_bundles_sizes(ready, tmp_path, capsys):
    given = ("train", "tokenizer", ready / "videos", "--init", ready / "tokenizer", "--train.steps", "2")
    amplify(capsys, *given, "--out", tmp_path / "run")
    assert load_bundle(tmp_path / "run" / "bundle").models["tokenizer"].config == TOKENIZER
    error = amplify(capsys, *given, "--out", tmp_path / "wide", "--model.width", "64", code=1).err
    assert "cannot be fine-tuned" in error
    assert "leave out --preset" in error
    error = amplify(capsys, *given, "--out", tmp_path / "preset", "--preset", "tiny", code=1).err
    assert "cannot be fine-tuned" in error
    shutil.rmtree(tmp_path / "run")
    amplify(capsys, *given, "--out", tmp_path / "run", "--init-statistics", "refitted")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--source", "path=nowhere,wieght=1"), "did you mean 'weight'"),
        (("--mixture", "nowhere.json"), "no mixture can be read"),
        (("--init", "nowhere"), "no bundle in nowhere"),
        ((), "no dataset given"),
        (("--source", "nowhere", "--held-out", "a", "--validation-fraction", "0.1"), "not both"),
    ],
)
def test_wrong_flags(tmp_path, capsys, flags, said):
    code = run(["train", "tokenizer", *flags, "--out", str(tmp_path / "run")])
    assert code in (1, 2)
    assert said in capsys.readouterr().err
