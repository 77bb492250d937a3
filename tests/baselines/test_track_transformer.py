from dataclasses import replace

import pytest
import torch

from amplify.baselines import TrackTransformer, TrackTransformerConfig
from amplify.baselines.points import paths_px
from amplify.errors import DataError
from amplify.metrics.tracks import no_motion, track_metrics
from amplify.protocols import TrackPredictor
from baselines.windows import SIZES, make_windows, train


def make_model(**changes) -> TrackTransformer:
    torch.manual_seed(0)
    small = {"width": 32, "layers": 2, "heads": 2, "dropout": 0.0, "points": 12}
    return TrackTransformer(TrackTransformerConfig.quickstart(**{**small, **changes}), **SIZES)


@pytest.mark.parametrize("loss", ["mse", "smooth_l1"])
def test_overfits_four_windows(loss):
    model, (features, tracks) = make_model(loss=loss), make_windows()
    train(model, features, tracks, steps=150)
    error = track_metrics(model.predict(features, tracks.points[:, :, 0]), tracks).moving.error_px
    still = track_metrics(no_motion(tracks), tracks).moving.error_px
    assert error < 0.15 * still


def test_features_of_other_patches_are_refused():
    model, (features, tracks) = make_model(), make_windows()
    for patches in (1, 3):
        fewer = replace(features, vision=features.vision[:, :, :patches])
        with pytest.raises(DataError, match=f"{patches} patches"):
            model.predict(fewer, tracks.points[:, :, 0])


def test_a_view_that_is_not_present_is_not_looked_at():
    model, (features, tracks) = make_model().eval(), make_windows()
    with torch.no_grad():
        model.out.weight.normal_()
    queries = tracks.points[:, :, 0]
    absent = replace(features, present=torch.tensor([[True], [False], [False], [False]]))
    one, other = model.predict(absent, queries).points, model.predict(features, queries).points
    assert torch.equal(one[0], other[0])
    assert not torch.allclose(one[1:], other[1:])
    junk = features.vision.clone()
    junk[1:] = torch.nan
    assert torch.equal(model.predict(replace(absent, vision=junk), queries).points, one)


def test_predicts_any_points_from_features_alone():
    model, (features, _) = make_model().eval(), make_windows()
    with torch.no_grad():
        model.out.weight.normal_()
    assert isinstance(model, TrackPredictor)
    queries = torch.rand(1, 1, 50, 2, generator=torch.Generator().manual_seed(1)) * 3 - 1.5
    predicted = model.predict(features, queries)
    assert predicted.points.shape == (4, 1, 6, 50, 2)
    assert torch.equal(predicted.points[:, :, 0], queries.expand(4, -1, -1, -1))
    assert predicted.visible.all()
    assert predicted.valid.all()
    assert torch.equal(predicted.points, model.predict(features, queries).points)
    other = replace(features, text=features.text.roll(1, dims=0))
    assert not torch.allclose(predicted.points, model.predict(other, queries).points)


@pytest.mark.parametrize("attend", [True, False])
def test_whether_the_company_of_a_point_matters(attend):
    model, (features, tracks) = make_model(points=36, points_attend=attend).eval(), make_windows()
    with torch.no_grad():
        model.out.weight.normal_()
    queries = tracks.points[:, :, 0]
    alone, together = model.predict(features, queries[:, :, :1]), model.predict(features, queries)
    assert torch.allclose(alone.points, together.points[..., :1, :], atol=1e-4) != attend


def test_an_untrained_model_predicts_no_motion():
    model, (features, tracks) = make_model(), make_windows()
    assert torch.equal(model.predict(features, tracks.points[:, :, 0]).points, no_motion(tracks).points)


def test_the_loss_ignores_what_is_unknown():
    model, (features, tracks) = make_model(), make_windows()
    valid = tracks.valid.clone()
    valid[:, :, 4:] = False
    points = tracks.points.clone()
    points[:, :, 4:] = torch.nan
    losses = [
        model.loss(features, replace(tracks, points=p, valid=valid), torch.Generator().manual_seed(0))[0].item()
        for p in (points, tracks.points)
    ]
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    ("loss", "of_error"),
    [
        ("mse", lambda e: e.square().sum(-1)),
        ("euclidean", lambda e: e.norm(dim=-1)),
        ("smooth_l1", lambda e: torch.where(e.abs() < 1, e.square() / 2, e.abs() - 0.5).sum(-1)),
    ],
)
def test_the_loss_is_a_distance_in_pixels(loss, of_error):
    model, (features, tracks) = make_model(loss=loss, points=36), make_windows()
    error_px = paths_px(tracks.points)  # an untrained model predicts no motion, and all points are chosen
    value, logs = model.loss(features, tracks)
    assert value.item() == pytest.approx(of_error(error_px).mean().item(), rel=1e-3)
    assert logs["error_px"].item() == pytest.approx(error_px.norm(dim=-1).mean().item(), rel=1e-4)


def test_points_are_drawn_by_the_generator():
    model, (features, tracks) = make_model(), make_windows()
    losses = [model.loss(features, tracks, torch.Generator().manual_seed(s))[0].item() for s in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]


def test_presets_have_the_sizes_that_they_name():
    assert TrackTransformerConfig.paper().layers == 8
    model = TrackTransformer(
        TrackTransformerConfig.quickstart(), vision_width=1408, patches=16, views=1, text_width=384, steps=15
    )
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(1e6, rel=0.25)
