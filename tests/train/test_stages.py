import numpy as np
import pytest
import torch
from pydantic import ValidationError

from amplify import rng
from amplify.data.dataset import Dataset
from amplify.data.extract import track_dataset
from amplify.data.windows import Source, WindowSet
from amplify.errors import UnknownNameError
from amplify.inverse.dynamics import InverseDynamics
from amplify.tokens import MotionTokenizer, TokenizerConfig, camera_motion
from amplify.tokens.weights import known_velocities
from amplify.train import stages
from amplify.train.loop import TrainConfig
from amplify.train.recipes import InverseTraining
from amplify.train.stages import TokenizerStage
from train import moving


@pytest.fixture
def windows(tmp_path):
    root = moving.write(tmp_path / "videos", actions=False)
    track_dataset(Dataset.open(root), moving.Drift(), grid=5, horizon=moving.HORIZON, workers=0)
    return WindowSet(
        [Source(path=root)], tracks="tracks-drift-5x5-h6", features=None, actions=False, horizon=moving.HORIZON
    )


def tokenizer(**changes):
    torch.manual_seed(0)
    sizes = {"views": 1, "points": 25, "steps": 5, "width": 16, "heads": 2, "decoder_hidden": 16}
    return MotionTokenizer(TokenizerConfig(**{**sizes, **changes}))


def test_the_cameras_motion_is_estimated_once_a_window(windows, monkeypatch):
    """Training on windows that were stabilised before is training as the tokenizer does it itself."""
    model = tokenizer(camera_motion="removed")
    stage = TokenizerStage(model, windows)
    estimated = []
    estimate = camera_motion.estimate

    def counted(window):
        estimated.append(len(window.points))
        return estimate(window)

    monkeypatch.setattr(camera_motion, "estimate", counted)
    losses = []
    for _ in range(2):
        batch = stage.batch(0, rng.numpy_generator(0, "batch"), 8)
        losses.append(stage.loss(batch, generator=torch.Generator())[0])
    assert len(estimated) == 1, "the second visit needs no estimate"
    raw = windows.batch(rng.numpy_generator(0, "batch").integers(len(windows), size=8))
    expected = model.loss(raw.tracks, generator=torch.Generator())[0]
    torch.testing.assert_close(losses[0], expected)
    torch.testing.assert_close(losses[1], expected)
    # All of the toy's points move alike, so all of its motion is the camera's.
    still, moved = known_velocities(batch.tracks).abs().max(), known_velocities(raw.tracks).abs().max()
    assert still < 1e-3 < moved


def test_few_cameras_are_kept(windows, monkeypatch):
    monkeypatch.setattr("amplify.train.stages.CAMERAS_KEPT", 3)
    stage = TokenizerStage(tokenizer(camera_motion="removed"), windows)
    first, again = (stage.batch(0, rng.numpy_generator(0, "batch"), 8) for _ in range(2))
    assert len(stage._camera) <= 3
    assert torch.equal(first.tracks.points, again.tracks.points)


def test_a_camera_that_is_kept_costs_nothing(windows):
    stage = TokenizerStage(tokenizer(), windows)
    batch = stage.batch(0, rng.numpy_generator(0, "batch"), 8)
    chosen = rng.numpy_generator(0, "batch").integers(len(windows), size=8)
    torch.testing.assert_close(batch.tracks.points, windows.batch(np.asarray(chosen)).tracks.points)


def test_zoomed_tokens_are_of_other_motion_and_drawn_with_a_seed(windows):
    model = tokenizer()
    zoom = {"most": 3.0, "views": (), "seed": 0}
    plain = stages.tokens_of_tracks(model, windows, label="tokens")
    found = stages.tokens_zoomed(model, windows, 0, **zoom)
    assert found.shape == plain.shape
    assert not torch.equal(found, plain)
    assert torch.equal(found, stages.tokens_zoomed(model, windows, 0, **zoom))
    assert not torch.equal(found, stages.tokens_zoomed(model, windows, 1, **zoom))
    with pytest.raises(UnknownNameError, match="side"):
        stages.tokens_zoomed(model, windows, 0, **{**zoom, "views": ("side",)})


def test_zooms_change_no_fingerprint_where_there_are_none():
    plain = InverseTraining(loop=TrainConfig(steps=1))
    assert set(plain.model_dump()) == {"loop", "predicted_from", "predicted_samples", "temperature"}
    zoomed = InverseTraining(loop=TrainConfig(steps=1), zooms=2, zoom_views=("front",))
    assert InverseTraining.model_validate_json(zoomed.model_dump_json()) == zoomed
    assert zoomed.fingerprint != plain.fingerprint


@pytest.mark.parametrize("changes", [{"zoom_views": ("front",)}, {"zoom_most": 3.0}])
def test_how_to_zoom_without_zooms_is_a_mistake(changes):
    with pytest.raises(ValidationError, match="give zooms as well"):
        InverseTraining(loop=TrainConfig(steps=1), **changes)


def test_inverse_dynamics_meets_every_variant_of_a_window(windows):
    real = torch.stack([torch.zeros(len(windows), 3), torch.ones(len(windows), 3)]).long()
    nobody = InverseDynamics.__new__(InverseDynamics)  # batches are made without it
    stage = stages.InverseStage(nobody, windows, tokenizer=tokenizer(), real=real, predicted=None, predicted_from=9)
    seen = stage.batch(0, np.random.default_rng(0), 64).tokens.indices
    assert set(seen[:, 0].tolist()) == {0, 1}
    assert (seen == seen[:, :1]).all()
