import pytest
import torch
from pydantic import ValidationError

from amplify.baselines import TrackDiffusion, TrackDiffusionConfig
from amplify.baselines.track_diffusion import squared_cosine
from amplify.metrics.tracks import no_motion, track_metrics
from amplify.protocols import TrackPredictor
from baselines.windows import SIZES, make_windows, train


def make_model(**changes) -> TrackDiffusion:
    torch.manual_seed(0)
    small = {"width": 32, "layers": 2, "heads": 2, "dropout": 0.0, "points": 12, "sampling_steps": 5}
    return TrackDiffusion(TrackDiffusionConfig.quickstart(**{**small, **changes}), **SIZES)


def test_overfits_four_windows():
    model, (features, tracks) = make_model(), make_windows()
    train(model, features, tracks, steps=250)
    error = track_metrics(model.predict(features, tracks.points[:, :, 0]), tracks).moving.error_px
    assert error < 0.3 * track_metrics(no_motion(tracks), tracks).moving.error_px


def test_without_a_generator_it_is_deterministic_and_with_one_it_draws():
    model, (features, tracks) = make_model().eval(), make_windows()
    with torch.no_grad():
        model.out.weight.normal_()
    assert isinstance(model, TrackPredictor)
    queries = tracks.points[:1, :, 0]
    one, again = (model.predict(features, queries).points for _ in range(2))
    assert one.shape == (4, 1, 6, 36, 2)
    assert torch.equal(one, again)
    alone = model.predict(features.map(lambda x: x[2:3]), queries).points
    assert torch.allclose(one[2:3], alone, atol=1e-4)
    drawn = [model.predict(features, queries, generator=torch.Generator().manual_seed(s)).points for s in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.allclose(drawn[0], drawn[2])
    assert not torch.allclose(drawn[0], one)


def test_the_schedule_goes_from_signal_to_noise():
    signal = squared_cosine(100)
    assert (signal.diff() < 0).all()
    assert signal[0] > 0.99
    assert signal[-1] < 0.01


def test_more_sampling_steps_than_levels_are_refused():
    with pytest.raises(ValidationError, match="sampling_steps"):
        TrackDiffusionConfig.quickstart(levels=4, sampling_steps=5)
