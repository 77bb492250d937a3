import pytest
import torch

from amplify.baselines import TrackDiffusion, TrackDiffusionConfig, TrackTransformer, TrackTransformerConfig
from amplify.data.windows import Source, WindowSet
from amplify.errors import BundleError
from amplify.evaluate.loading import Loader
from amplify.policy.bundle import load_bundle
from amplify.policy.info import info_of
from amplify.tracks.queries import uniform_grid
from amplify.train import baseline_recipes, recipes
from amplify.train.baseline_stages import tracks_predicted
from train import moving
from train.test_recipes import INVERSE, LOOP, SIZE, data, motion, weights

TRANSFORMER = TrackTransformerConfig.quickstart(layers=1, points=2, **SIZE)
DIFFUSION = TrackDiffusionConfig.quickstart(layers=1, points=2, levels=10, sampling_steps=2, **SIZE)


def test_tracks_are_learned_from_video_and_scored_on_held_out_ones(tmp_path):
    videos = moving.write(tmp_path / "videos", actions=False)
    held_out = moving.write(tmp_path / "held-out", actions=False, first=3, episodes=1)
    source = data(videos, held_out=(held_out,))
    figures = baseline_recipes.train_track_transformer(tmp_path / "t", data=source, model=TRANSFORMER, train=LOOP)
    assert {"loss", "error_px", "steps_per_second", "episodes_set_aside"} <= set(figures)
    bundle = load_bundle(recipes.bundle_of(tmp_path / "t"))
    assert bundle.module("track_transformer", TrackTransformer).steps == moving.HORIZON - 1
    info = info_of(bundle)
    assert (info.grid, info.horizon, info.cameras) == (2, 6, ("front",))
    baseline_recipes.train_track_diffusion(tmp_path / "d", data=source, model=DIFFUSION, train=LOOP)
    load_bundle(recipes.bundle_of(tmp_path / "d")).module("track_diffusion", TrackDiffusion)


def test_actions_do_not_reach_track_prediction(tmp_path):
    runs = []
    for actions in (True, False):
        videos = moving.write(tmp_path / f"videos-{actions}", actions=actions)
        run = tmp_path / f"run-{actions}"
        baseline_recipes.train_track_transformer(run, data=data(videos), model=TRANSFORMER, train=LOOP)
        runs.append(weights(run))
    assert all(torch.equal(runs[0][name], runs[1][name]) for name in runs[0])


def test_a_policy_guided_by_the_tracks_of_its_parent(tmp_path):
    demos = moving.write(tmp_path / "demos", actions=True)
    source = data(demos)
    parent = tmp_path / "t"
    baseline_recipes.train_track_transformer(parent, data=source, model=TRANSFORMER, train=LOOP)
    run = tmp_path / "policy"
    baseline_recipes.train_track_policy(run, parent=parent, data=source, model=INVERSE, train=LOOP)
    bundle = load_bundle(recipes.bundle_of(run))
    assert set(bundle.models) == {"track_transformer", "track_policy"}
    assert info_of(bundle).action_names == ("dx",)
    before, after = weights(parent), weights(run)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert torch.equal(after["track_policy.queries"][0], uniform_grid(6))
    assert after["track_policy.path_scaler.half_range"].unique().numel() > 1
    other = INVERSE.model_copy(update={"image_dropout": 0.5})
    with pytest.raises(BundleError, match="model="):
        baseline_recipes.train_track_policy(run, parent=parent, data=source, model=other, train=LOOP)
    with pytest.raises(BundleError, match="holds no track_transformer model"):
        baseline_recipes.train_track_policy(
            tmp_path / "x", parent=motion(tmp_path, source), data=source, model=INVERSE, train=LOOP
        )
    with pytest.raises(BundleError, match="holds no track_policy model"):
        Loader().bundle(recipes.bundle_of(parent)).module("track_policy", torch.nn.Module)


def test_tracks_are_predicted_in_the_order_of_the_windows(tmp_path):
    demos = moving.write(tmp_path / "demos", actions=True)
    baseline_recipes.train_track_transformer(tmp_path / "t", data=data(demos), model=TRANSFORMER, train=LOOP)
    model = load_bundle(recipes.bundle_of(tmp_path / "t")).module("track_transformer", TrackTransformer)
    windows = WindowSet(
        [Source(path=demos)],
        tracks=None,
        features=moving.FEATURES,
        text=moving.TEXT,
        actions=True,
        horizon=moving.HORIZON,
        action_horizon=4,
    )
    queries = uniform_grid(3)[None]
    predicted = tracks_predicted(model, windows, queries, label="tracks")
    assert predicted.points.shape == (len(windows), 1, moving.HORIZON, 9, 2)
    some = torch.tensor([0, 11, 29])
    alone = model.predict(windows.batch(some.numpy()).features, queries[None])
    assert torch.allclose(predicted.points[some], alone.points, atol=1e-6)
