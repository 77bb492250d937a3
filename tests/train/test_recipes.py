from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from amplify.data.sidecar import episode_path, write_set_aside
from amplify.data.windows import Source
from amplify.errors import BundleError, DataError
from amplify.forward.dynamics import ForwardConfig
from amplify.inverse.action_decoder import InverseConfig
from amplify.policy.bundle import load_bundle
from amplify.policy.info import info_of
from amplify.tokens.tokenizer import TokenizerConfig
from amplify.train import recipes
from amplify.train.loop import TrainConfig
from amplify.train.recipes import InverseTraining, TrainingData
from train import moving

SIZE = {"width": 16, "heads": 2}
TOKENIZER = TokenizerConfig.quickstart(points=4, steps=5, decoder_hidden=16, levels=(4, 4), subset_points=2, **SIZE)
FORWARD = ForwardConfig.quickstart(layers=1, **SIZE)
INVERSE = InverseConfig.quickstart(layers=1, action_horizon=4, **SIZE)
LOOP = TrainConfig(steps=12, batch_size=8, warmup_steps=2, log_every=4, checkpoint_every=5)


def data(*roots: Path, held_out: tuple[Path, ...] = ()) -> TrainingData:
    return TrainingData(
        sources=tuple(Source(path=root) for root in roots),
        held_out=tuple(Source(path=root) for root in held_out),
        tracks=moving.TRACKS,
        features=moving.FEATURES,
        text=moving.TEXT,
        horizon=moving.HORIZON,
        action_horizon=4,
    )


def motion(run: Path, source: TrainingData) -> Path:
    recipes.train_tokenizer(run / "tokenizer", data=source, model=TOKENIZER, train=LOOP)
    recipes.train_forward(run / "forward", parent=run / "tokenizer", data=source, model=FORWARD, train=LOOP)
    return run / "forward"


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(recipes.bundle_of(run) / "weights.safetensors")


def test_without_any_action_tokenizer_and_forward_weights_are_bit_identical(tmp_path):
    labelled = motion(tmp_path / "a", data(moving.write(tmp_path / "labelled", actions=True)))
    action_free = motion(tmp_path / "b", data(moving.write(tmp_path / "videos", actions=False)))
    ours, theirs = weights(labelled), weights(action_free)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_broken_actions_do_not_matter_to_forward_dynamics(tmp_path):
    root = moving.write(tmp_path / "labelled", actions=True)
    before = weights(motion(tmp_path / "a", data(root)))
    for file in (root / "data").rglob("*.parquet"):
        file.write_bytes(b"not a table")
    after = weights(motion(tmp_path / "b", data(root)))
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_another_video_changes_the_weights(tmp_path):
    ours = weights(motion(tmp_path / "a", data(moving.write(tmp_path / "one", actions=False))))
    theirs = weights(motion(tmp_path / "b", data(moving.write(tmp_path / "two", actions=False, first=1))))
    assert any(not torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_whole_policy_and_what_its_bundle_says(tmp_path):
    videos = moving.write(tmp_path / "videos", actions=False)
    held_out = moving.write(tmp_path / "held-out", actions=False, first=3, episodes=1)
    demos = moving.write(tmp_path / "demos", actions=True, episodes=2)
    forward = motion(tmp_path, data(videos, held_out=(held_out,)))
    training = InverseTraining(loop=LOOP, predicted_from=0.5, predicted_samples=1)
    recipes.train_inverse(tmp_path / "inverse", parent=forward, data=data(demos), model=INVERSE, train=training)
    bundle = load_bundle(recipes.bundle_of(tmp_path / "inverse"))
    info = info_of(bundle)
    assert set(bundle.models) == {"tokenizer", "forward", "inverse"}
    assert info.vision_encoder is not None
    assert info.vision_encoder.name == "levels"
    assert (info.grid, info.horizon, info.tracker["name"]) == (2, 6, "drift")
    assert (info.action_names, info.proprio_names, info.cameras) == (("dx",), ("x", "y"), ("front",))
    assert set(bundle.stats["codebook"]) == {"size", "used", "perplexity"}
    assert len(bundle.parents) == 1
    assert torch.equal(
        weights(tmp_path / "inverse")["forward.classifier.weight"], weights(forward)["forward.classifier.weight"]
    )


def test_the_source_of_tokens_has_an_effect(tmp_path):
    demos = moving.write(tmp_path / "demos", actions=True)
    forward = motion(tmp_path, data(demos))
    runs = {}
    for name, share in (("real", 1.0), ("foreseen", 0.0)):
        recipes.train_inverse(
            tmp_path / name,
            parent=forward,
            data=data(demos),
            model=INVERSE,
            train=InverseTraining(loop=LOOP, predicted_from=share, predicted_samples=2, temperature=3.0),
        )
        runs[name] = weights(tmp_path / name)
    assert not torch.equal(
        runs["real"]["inverse.decoder.guide.weight"], runs["foreseen"]["inverse.decoder.guide.weight"]
    )


def test_nothing_is_foreseen_where_the_instruction_is_unknown(tmp_path):
    """Play asks for nothing: its tokens are those of its real tracks, whatever the share of foreseen ones."""
    videos = moving.write(tmp_path / "videos", actions=False, episodes=1)  # "open" alone
    forward = motion(tmp_path, data(videos))
    shares = {"real": 1.0, "foreseen": 0.0}
    for name, first in (("play", 1), ("mixed", 0)):
        demos = moving.write(tmp_path / name, actions=True, episodes=1 + (name == "mixed"), first=first)
        for share, value in shares.items():
            training = InverseTraining(loop=LOOP, predicted_from=value, predicted_samples=2, temperature=3.0)
            recipes.train_inverse(
                tmp_path / f"{name}-{share}", parent=forward, data=data(demos), model=INVERSE, train=training
            )
    guide = "inverse.decoder.guide.weight"
    assert torch.equal(weights(tmp_path / "play-real")[guide], weights(tmp_path / "play-foreseen")[guide])
    assert not torch.equal(weights(tmp_path / "mixed-real")[guide], weights(tmp_path / "mixed-foreseen")[guide])


@pytest.mark.parametrize(("motion_seen", "width"), [("codes", 2), ("steps", 16), ("none", 2)])
def test_what_inverse_dynamics_sees_of_tokens(tmp_path, motion_seen, width):
    demos = moving.write(tmp_path / "demos", actions=True, episodes=1)
    forward = motion(tmp_path, data(demos))
    model = INVERSE.model_copy(update={"motion": motion_seen})
    training = InverseTraining(loop=LOOP, predicted_samples=0)
    recipes.train_inverse(tmp_path / "inverse", parent=forward, data=data(demos), model=model, train=training)
    assert weights(tmp_path / "inverse")["inverse.decoder.guide.weight"].shape[1] == width


def test_a_run_of_other_data_model_or_parent_is_refused(tmp_path):
    one = data(moving.write(tmp_path / "one", actions=True))
    two = data(moving.write(tmp_path / "two", actions=True, first=1))
    forward = motion(tmp_path / "a", one)
    other = motion(tmp_path / "b", two)
    with pytest.raises(BundleError, match="data="):
        recipes.train_tokenizer(tmp_path / "a" / "tokenizer", data=two, model=TOKENIZER, train=LOOP)
    changed = TOKENIZER.model_copy(update={"centre_bias": 1.0})
    with pytest.raises(BundleError, match="model="):
        recipes.train_tokenizer(tmp_path / "a" / "tokenizer", data=one, model=changed, train=LOOP)
    with pytest.raises(BundleError, match="parent="):
        recipes.train_forward(forward, parent=tmp_path / "b" / "tokenizer", data=one, model=FORWARD, train=LOOP)
    training = InverseTraining(loop=LOOP)
    recipes.train_inverse(tmp_path / "i", parent=forward, data=one, model=INVERSE, train=training)
    sooner = training.model_copy(update={"predicted_from": 0.1})
    with pytest.raises(BundleError, match="tokens="):
        recipes.train_inverse(tmp_path / "i", parent=forward, data=one, model=INVERSE, train=sooner)
    with pytest.raises(BundleError, match="parent="):
        recipes.train_inverse(tmp_path / "i", parent=other, data=one, model=INVERSE, train=training)


def test_a_finished_run_gives_the_same_weights_again(tmp_path):
    source = data(moving.write(tmp_path / "videos", actions=False))
    before = weights(motion(tmp_path / "run", source))
    after = weights(motion(tmp_path / "run", source))
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_broken_episodes_are_left_out_and_counted(tmp_path):
    videos = moving.write(tmp_path / "videos", actions=False)
    broken = sorted((videos / "videos").rglob("*.mp4"))[1]
    broken.write_bytes(broken.read_bytes()[:500])
    figures = recipes.train_tokenizer(tmp_path / "run", data=data(videos), model=TOKENIZER, train=LOOP)
    assert figures["episodes_set_aside"] == 1


def test_behaviour_cloning_needs_no_tracks(tmp_path):
    demos = moving.write(tmp_path / "demos", actions=True)
    plain = data(demos).model_copy(update={"tracks": None})
    figures = recipes.train_behaviour_cloning(tmp_path / "bc", data=plain, model=INVERSE, train=LOOP)
    assert "behaviour_cloning" in load_bundle(recipes.bundle_of(tmp_path / "bc")).models
    assert figures["steps_per_second"] > 0


@pytest.mark.parametrize("changes", [{"points": 9}, {"steps": 4}, {"views": 2}])
def test_a_tokenizer_of_other_sizes_than_the_tracks(tmp_path, changes):
    videos = data(moving.write(tmp_path / "videos", actions=False, episodes=1))
    with pytest.raises(DataError, match=r"other sizes(.|\n)*1 views, 5 steps, 4 points"):
        recipes.train_tokenizer(tmp_path / "run", data=videos, model=TOKENIZER.model_copy(update=changes), train=LOOP)


def test_action_free_video_cannot_teach_actions(tmp_path):
    videos = moving.write(tmp_path / "videos", actions=False)
    with pytest.raises(DataError, match="action-free"):
        recipes.train_behaviour_cloning(tmp_path / "bc", data=data(videos), model=INVERSE, train=LOOP)


def test_a_parent_that_is_no_bundle(tmp_path):
    with pytest.raises(BundleError, match="no bundle in"):
        recipes.train_forward(
            tmp_path / "run", parent=tmp_path / "nothing", data=data(tmp_path), model=FORWARD, train=LOOP
        )


def test_a_first_episode_that_was_set_aside_does_not_matter(tmp_path):
    root = moving.write(tmp_path / "demos", actions=True)
    write_set_aside(root, moving.TRACKS, {0: "lost"})
    episode_path(root, moving.TRACKS, 0).unlink()
    assert data(root).header(moving.TRACKS).settings["horizon"] == moving.HORIZON


@pytest.mark.parametrize("wrong", [{"predicted_samples": -1}, {"predicted_from": 1.5}, {"temperature": 0.0}])
def test_budgets_that_mean_nothing_are_refused(wrong):
    with pytest.raises(ValidationError):
        InverseTraining(loop=LOOP, **wrong)
