import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from amplify.errors import BundleError, UnknownNameError
from amplify.forward import ForwardDynamics
from amplify.policy import load_bundle, save_bundle
from amplify.tokens import MotionTokenizer

META = {"cameras": ["front"], "grid": 2, "tracker": {"name": "flow", "version": "1"}}


@pytest.fixture
def path(tmp_path, models):
    save_bundle(tmp_path / "bundle", models, META, {"loss": 0.5})
    return tmp_path / "bundle"


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_everything_returns_bit_identical(path, models):
    bundle = load_bundle(path)
    assert bundle.meta == META
    assert bundle.stats == {"loss": 0.5}
    assert bundle.models.keys() == models.keys()
    for name, model in models.items():
        loaded = bundle.models[name]
        assert type(loaded) is type(model)
        assert loaded.config == model.config
        assert loaded.dimensions == model.dimensions
        assert not loaded.training
        expected, got = model.state_dict(), loaded.state_dict()
        assert expected.keys() == got.keys()
        assert all(torch.equal(expected[key], got[key]) for key in expected)


def test_saving_a_loaded_bundle_gives_the_same_files(path, tmp_path):
    bundle = load_bundle(path)
    save_bundle(tmp_path / "again" / "bundle", bundle.models, bundle.meta, bundle.stats)
    for name in ("weights.safetensors", "config.json", "stats.json", "README.md"):
        assert (path / name).read_bytes() == (tmp_path / "again" / "bundle" / name).read_bytes()
    assert load_bundle(tmp_path / "again" / "bundle").hash == bundle.hash


def test_any_part_alone(tmp_path, models):
    save_bundle(tmp_path / "part", {"tokenizer": models["tokenizer"]})
    bundle = load_bundle(tmp_path / "part")
    assert bundle.module("tokenizer", MotionTokenizer).velocity_scale_px == 2.5
    with pytest.raises(BundleError, match="holds no forward model"):
        bundle.module("forward", ForwardDynamics)


def test_parents_are_named_by_hash(path, tmp_path, models):
    parent = load_bundle(path)
    save_bundle(tmp_path / "child", {"inverse": models["inverse"]}, parents=[parent])
    assert load_bundle(tmp_path / "child").parents == {str(path): parent.hash}
    with torch.no_grad():
        models["tokenizer"].velocity_scale_px.add_(1)
    save_bundle(path, models, META)
    assert load_bundle(path).hash != parent.hash


def test_the_card_says_what_it_holds(path):
    card = (path / "README.md").read_text()
    assert "tokenizer" in card
    assert "front" in card
    assert "loss: 0.5" in card


def test_a_failed_save_leaves_the_old_bundle(path, models, monkeypatch):
    def broken(*_):
        raise OSError("disk full")

    monkeypatch.setattr("amplify.policy.bundle.save_file", broken)
    before = load_bundle(path).hash
    with pytest.raises(OSError, match="disk full"):
        save_bundle(path, models, {"other": 1})
    assert load_bundle(path).hash == before


def test_nothing_is_left_beside_it(path):
    assert [p.name for p in path.parent.iterdir()] == ["bundle"]


def test_a_folder_that_is_no_bundle_is_not_overwritten(tmp_path, models):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(BundleError, match="not a bundle"):
        save_bundle(tmp_path / "mine", models)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "precious"


def test_unknown_model_names_are_refused(tmp_path, models):
    with pytest.raises(UnknownNameError, match="did you mean 'tokenizer'"):
        save_bundle(tmp_path / "b", {"tokeniser": models["tokenizer"]})


@pytest.mark.parametrize("name", ["weights.safetensors", "config.json", "stats.json", "parents.json", "README.md"])
def test_a_missing_file_is_named(path, name):
    (path / name).unlink()
    with pytest.raises(BundleError, match=f"no {name}"):
        load_bundle(path)


def test_no_folder_at_all(tmp_path):
    with pytest.raises(BundleError, match="no bundle at"):
        load_bundle(tmp_path / "nowhere")


@pytest.mark.parametrize("change", [{"kind": "pi0"}, {"schema": 99}])
def test_another_kind_or_schema_is_refused(path, change):
    edit(path / "config.json", lambda content: content.update(change))
    with pytest.raises(BundleError, match=r"not a bundle of this version"):
        load_bundle(path)


@pytest.mark.parametrize(
    "damage", ["truncated", "unknown option", "unknown model", "not JSON", "impossible size", "no names"]
)
def test_a_damaged_description_is_refused(path, damage):
    config = path / "config.json"
    if damage == "truncated":
        weights = path / "weights.safetensors"
        weights.write_bytes(weights.read_bytes()[:-100])
    elif damage == "unknown option":
        edit(config, lambda c: c["models"]["tokenizer"]["config"].update(temperature=1))
    elif damage == "unknown model":
        edit(config, lambda c: c["models"].update(oracle=c["models"].pop("forward")))
    elif damage == "impossible size":
        edit(config, lambda c: c["models"]["forward"]["dimensions"].update(patches=-1))
    elif damage == "no names":
        edit(config, lambda c: c.update(models=list(c["models"].values())))
    else:
        config.write_text("{")
    with pytest.raises((BundleError, UnknownNameError)) as caught:
        load_bundle(path)
    assert str(path) in str(caught.value) or "oracle" in str(caught.value)


def change_weights(path, change):
    weights = load_file(path / "weights.safetensors")
    change(weights)
    save_file(weights, path / "weights.safetensors")


def test_weights_that_do_not_fit_are_named(path):
    change_weights(path, lambda w: w.pop("forward.start_token"))
    with pytest.raises(BundleError, match=r"forward\.start_token is missing"):
        load_bundle(path)


def test_surplus_weights_are_named(path):
    change_weights(path, lambda w: w.update({"oracle.x": torch.zeros(1)}))
    with pytest.raises(BundleError, match=r"oracle\.x belongs to no model"):
        load_bundle(path)


def test_weights_of_another_shape_are_named(path):
    change_weights(path, lambda w: w.update({"forward.start_token": torch.zeros(3)}))
    with pytest.raises(BundleError, match=r"forward\.start_token has shape \(3,\) instead of \(16,\)"):
        load_bundle(path)
