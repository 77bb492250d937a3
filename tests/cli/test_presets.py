import json

import pytest

from amplify.cli import presets, run, train
from amplify.data.windows import Source
from amplify.encoders import VISION_ENCODERS
from amplify.policy.bundle import load_bundle
from amplify.policy.info import info_of
from amplify.train import recipes
from train import moving

NAMES = ("quickstart", "tiny", "small", "paper")


@pytest.fixture
def asked(monkeypatch):
    """What the recipes are asked to train."""
    seen = {}

    def record(name):
        def recipe(out, **given):
            seen.update(given)
            return {}

        monkeypatch.setattr(recipes, name, recipe)

    for name in ("train_tokenizer", "train_forward", "train_inverse", "train_behaviour_cloning"):
        record(name)
    return seen


@pytest.fixture(scope="module")
def demos(tmp_path_factory):
    return moving.write(tmp_path_factory.mktemp("presets") / "demos", actions=True)


def amplify(*arguments):
    assert run(["train", *map(str, arguments), "--out", "unused"]) == 0


@pytest.mark.parametrize("preset", NAMES)
@pytest.mark.parametrize(
    ("stage", "table"),
    [
        (["tokenizer"], presets.TOKENIZER),
        (["forward", "--tokenizer", "t"], presets.FORWARD),
        (["inverse", "--forward", "f"], presets.INVERSE),
        (["behaviour-cloning"], presets.CLONING),
    ],
)
def test_a_preset_sets_sizes_and_budget(asked, demos, stage, table, preset):
    amplify(stage[0], demos, *stage[1:], "--preset", preset)
    expected = table[preset]()
    assert asked["train"] == expected["train"]
    derived = {"views", "points", "steps", "view_weights"} if stage == ["tokenizer"] else set()
    assert asked["model"].model_dump(exclude=derived) == expected["model"].model_dump(exclude=derived)


def test_without_a_preset_it_is_the_quick_starts(asked, demos):
    amplify("forward", demos, "--tokenizer", "t")
    assert asked["model"] == presets.FORWARD["quickstart"]()["model"]
    assert asked["train"].learning_rate == 3e-3


def test_single_options_still_count(asked, demos):
    amplify("inverse", demos, "--forward", "f", "--preset=small", "--model.layers", 1, "--train.loop.steps", 7)
    small = presets.INVERSE["small"]()
    assert asked["model"] == small["model"].model_copy(update={"layers": 1})
    assert asked["train"].loop == small["train"].loop.model_copy(update={"steps": 7})
    quickstart = presets.INVERSE["quickstart"]()["model"]
    amplify("inverse", demos, "--forward", "f", "--preset", "paper", "--model.layers", quickstart.layers)
    assert asked["model"].layers == quickstart.layers


def test_the_tokenizers_sizes_are_the_sidecars(asked, demos):
    amplify("tokenizer", demos, "--preset", "paper")
    model = asked["model"]
    assert (model.views, model.points, model.steps, model.view_weights) == (1, 4, 5, ())
    assert asked["data"].horizon == moving.HORIZON
    assert asked["data"].sources == (Source(path=demos),)


def test_sizes_that_the_tracks_do_not_have(demos, capsys):
    assert run(["train", "tokenizer", str(demos), "--out", "unused", "--model.points", "9"]) == 2
    assert "points that the tracks do not have" in capsys.readouterr().err


def test_a_preset_that_does_not_exist(demos, capsys):
    assert run(["train", "tokenizer", str(demos), "--out", "unused", "--preset", "papr"]) == 2
    assert "paper" in capsys.readouterr().err


def test_sight_reaches_the_data(asked, demos):
    amplify("behaviour-cloning", demos, "--sight.fine-tune", 0.1, "--sight.shift", 0.02, "--model.action-horizon", 5)
    assert (asked["data"].sight.fine_tune, asked["data"].sight.shift) == (0.1, 0.02)
    assert asked["data"].action_horizon == 5


def test_commands_without_presets_are_left_alone():
    assert presets.applied(train._only, ["--preset", "paper"]) is train._only


def test_fine_tuned_eyes_from_images_to_features(tmp_path, capsys):
    """Encode, fine-tune with forward dynamics, encode anew with the tuned eyes, train inverse dynamics on that."""
    demos = moving.write(tmp_path / "demos", actions=True)
    eyes = {"input_px": 32, "grid": 1}

    def done(*arguments):
        assert run([*map(str, arguments), "--json"]) == 0
        return json.loads(capsys.readouterr().out.splitlines()[-1])

    first = done("encode", demos, "--input-px", 32, "--grid", 1, "--workers", 0)
    name = VISION_ENCODERS["efficientnet-lite0"](eyes).name
    assert (first["sidecar"], first["text"]) == (f"features-{name}", "text-minilm")
    budget = ("--train.steps", 3, "--train.batch-size", 4)
    size = ("--model.width", 16, "--model.heads", 2)
    done("train", "tokenizer", demos, "--out", tmp_path / "t", *budget, *size)
    sidecars = ("--features", f"features-{name}", "--text", "text-minilm", "--tracks", moving.TRACKS)
    given = ("--tokenizer", tmp_path / "t", "--sight.fine-tune", 0.5, "--sight.colour", 0.2)
    done("train", "forward", demos, "--out", tmp_path / "f", *sidecars, *given, *budget, *size, "--model.layers", 1)
    tuned = done("encode", demos, "--bundle", tmp_path / "f", "--workers", 0)["sidecar"]
    assert tuned == f"features-{info_of(load_bundle(tmp_path / 'f' / 'bundle')).vision_encoder.name}"
    inverse = ("--forward", tmp_path / "f", "--features", tuned, "--text", "text-minilm", "--tracks", moving.TRACKS)
    budget = ("--train.loop.steps", 3, "--train.loop.batch-size", 4)
    done("train", "inverse", demos, "--out", tmp_path / "i", *inverse, *budget, *size, "--model.layers", 1)
    bundle = load_bundle(tmp_path / "i" / "bundle")
    assert set(bundle.models) == {"tokenizer", "forward", "inverse", "vision_encoder"}
    assert info_of(bundle).text_encoder.name == "minilm"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--vision", "dino"], "dinov2"),
        (["--text", "t6"], "t5"),
        (["--input-px", "100"], "multiple of 32"),
        (["--weights", "./nowhere"], "no such folder"),
        (["--bundle", "nowhere"], "no bundle"),
    ],
)
def test_encoders_that_cannot_be_had(demos, arguments, said, capsys):
    assert run(["encode", str(demos), *arguments]) in (1, 2)
    assert said in capsys.readouterr().err
