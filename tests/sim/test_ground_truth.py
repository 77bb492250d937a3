import numpy as np
import pytest
import torch
from tests.sim.scenes import clip_of, posed, sliding_box

from amplify.coords import pixels_to_points
from amplify.errors import DataError, UnknownNameError, UsageError
from amplify.protocols import Tracker
from amplify.sim.geometry import Pinhole, Scene
from amplify.sim.ground_truth import GroundTruthTracker
from amplify.sim.metaworld.body import BODIES
from amplify.sim.metaworld.config import CAMERAS, MetaWorldConfig
from amplify.sim.metaworld.episode import perform
from amplify.sim.metaworld.experts import ScriptedExpert
from amplify.sim.metaworld.simulation import Simulation
from amplify.sim.renderer import OffscreenRenderer, RenderSettings
from amplify.types import Clip

STEP_M = 0.1
SHIFT = STEP_M / 1.9
"""Normalised: the box's top is 1.9 m below a camera that sees ±1.9 m there."""


def tracker_for(model) -> GroundTruthTracker:
    return GroundTruthTracker({"toy": lambda scene: model})


def slide(frames: int = 5, *, turned: bool = False, roof_x: float | None = None, size=(32, 32)):
    model = sliding_box()
    roof = {} if roof_x is None else {"roof": (roof_x, 0.0, 0.5)}
    states = [posed(model, {"box": (STEP_M * t, 0.0, 0.0), **roof}) for t in range(frames)]
    return model, clip_of(model, states, turned=turned, size=size)


CENTRE_AND_CORNER = torch.tensor([[0.01, 0.02], [-0.9, -0.9]])


def test_it_is_a_tracker_with_named_settings():
    tracker = GroundTruthTracker()
    assert isinstance(tracker, Tracker)
    assert (tracker.name, dict(tracker.settings)) == ("ground-truth", {"tolerance_m": 0.002})


@pytest.mark.parametrize(("turned", "sign"), [(False, 1), (True, -1)])
def test_points_move_exactly_with_the_box_and_the_background_stays(turned, sign):
    model, clip = slide(turned=turned)
    window = tracker_for(model).track(clip, CENTRE_AND_CORNER, horizon=3)
    assert window.points.shape == (5, 1, 3, 2, 2)
    on_box, background = window.points[0, 0, :, 0], window.points[0, 0, :, 1]
    expected = CENTRE_AND_CORNER[0] + torch.tensor([[sign * SHIFT * t, 0.0] for t in range(3)])
    torch.testing.assert_close(on_box, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(background, CENTRE_AND_CORNER[1].expand(3, 2), atol=1e-6, rtol=0)
    assert window.visible[0].all()


def test_the_horizontal_scale_follows_the_aspect_of_the_frame():
    model, clip = slide(size=(64, 32))
    window = tracker_for(model).track(clip, CENTRE_AND_CORNER, horizon=2)
    torch.testing.assert_close(window.velocities[0, 0, 0, 0], torch.tensor([SHIFT / 2, 0.0]), atol=1e-5, rtol=0)


def test_windows_start_at_the_queries_of_every_frame():
    model, clip = slide()
    window = tracker_for(model).track(clip, CENTRE_AND_CORNER, horizon=3)
    torch.testing.assert_close(window.points[:, 0, 0], CENTRE_AND_CORNER.expand(5, 2, 2), atol=1e-6, rtol=0)
    # At frame 4 the box has left its first place: the ray goes past it into the background.
    assert window.visible[:, 0, 0].all()


def test_past_the_end_the_last_position_is_repeated_and_invalid():
    model, clip = slide(frames=4)
    window = tracker_for(model).track(clip, CENTRE_AND_CORNER, horizon=3)
    assert window.valid[:, 0].tolist() == [[True] * 3, [True] * 3, [True, True, False], [True, False, False]]
    assert not (window.visible & ~window.valid[..., None]).any()
    torch.testing.assert_close(window.points[2, 0, 2], window.points[2, 0, 1])
    torch.testing.assert_close(window.points[3, 0, 1:], window.points[3, 0, :1].expand(2, 2, 2))


def test_a_point_is_hidden_exactly_while_the_roof_lies_before_it():
    # The roof, 1.5 m below the camera, covers image x = (0.4 ± 0.2) / 1.51; its underside bounds it further out.
    model, clip = slide(frames=12, roof_x=0.4)
    window = tracker_for(model).track(clip, torch.tensor([[0.0, 0.0]]), horizon=12)
    x = window.points[0, 0, :, 0, 0]
    hidden = (x > 0.2 / 1.51) & (x < 0.6 / 1.49)
    assert hidden.any()
    assert not hidden[-1]
    assert (window.visible[0, 0, :, 0] == ~hidden).all()


def test_a_resting_point_is_hidden_by_what_passes_before_it():
    model = sliding_box()
    states = [posed(model, {"roof": (x, 0.0, 0.5)}) for x in (-1.0, 0.0, 1.0)]
    window = tracker_for(model).track(clip_of(model, states), torch.tensor([[0.0, 0.0]]), horizon=3)
    assert window.visible[0, 0, :, 0].tolist() == [True, False, True]


def test_a_point_that_leaves_the_frame_is_kept_and_invisible():
    model = sliding_box()
    states = [posed(model, {"box": (x, 0.0, 0.0)}) for x in (1.7, 2.2)]
    window = tracker_for(model).track(clip_of(model, states), torch.tensor([[0.9, 0.0]]), horizon=2)
    assert window.visible[0, 0, :, 0].tolist() == [True, False]
    assert window.points[0, 0, 1, 0, 0].item() == pytest.approx(0.9 + 0.5 / 1.9, abs=1e-4)


def test_a_camera_that_moves_and_turns_is_taken_into_account():
    model = sliding_box('<body name="mount" mocap="true" pos="0 0 1"><camera name="eye" fovy="90"/></body>')
    near = posed(model, {"mount": (0.0, 0.0, 1.1)})
    far = posed(model, {"mount": (0.0, 0.0, 2.1)})
    queries = torch.tensor([[0.1, 0.0], [0.9, 0.0]])
    window = tracker_for(model).track(clip_of(model, [near, far], camera="eye"), queries, horizon=2)
    torch.testing.assert_close(window.points[0, 0, 1, 0], torch.tensor([0.05, 0.0]), atol=1e-5, rtol=0)
    torch.testing.assert_close(window.points[0, 0, 1, 1], queries[1], atol=1e-4, rtol=0)  # infinitely far: stays


def test_what_is_missing_is_named_with_a_remedy():
    model, clip = slide()
    queries = torch.zeros(1, 2)
    tracker = tracker_for(model)
    bare = Clip(frames=clip.frames, fps=clip.fps, camera=clip.camera)
    with pytest.raises(DataError, match="--tracker flow"):
        tracker.track(bare, queries, horizon=2)
    with pytest.raises(DataError, match="no pose of camera 'side'"):
        tracker.track(Clip(frames=clip.frames, fps=1.0, camera="side", scene=clip.scene), queries, horizon=2)
    with pytest.raises(DataError, match="do not fit the video"):
        tracker.track(Clip(frames=clip.frames[1:], fps=1.0, camera="above", scene=clip.scene), queries, horizon=2)
    with pytest.raises(UnknownNameError, match="unknown simulator"):
        GroundTruthTracker().track(clip, queries, horizon=2)
    with pytest.raises(UsageError, match="horizon 0"):
        tracker.track(clip, queries, horizon=0)


@pytest.fixture(scope="module", params=BODIES)
def performance(request):
    config = MetaWorldConfig(
        cameras=(CAMERAS["corner2"], CAMERAS["gripperPOV"]),
        render=RenderSettings(width_px=64, height_px=64),
        body=request.param,
    )
    simulation = Simulation("window-open", config)
    simulation.reset(3)
    generator = np.random.default_rng(0)
    performed = perform(
        simulation, ScriptedExpert("window-open"), noise=0.2, generator=generator, decisions=60, after_success=0
    )
    return simulation, performed


@pytest.mark.parametrize("camera", ["corner2", "gripperPOV"])
def test_rays_agree_with_the_rendered_segmentation(performance, camera):
    simulation, performed = performance
    settings = next(c for c in simulation.config.cameras if c.name == camera)
    model, frame = simulation.model, 15
    states = performed.scene
    scene = Scene(model, states.body_position.numpy(), states.body_quaternion.numpy())
    scene.show(frame)
    rows, columns = np.mgrid[0:64, 0:64]
    pixels = torch.from_numpy(np.stack([columns, rows], axis=-1).reshape(-1, 2)).double()
    pinhole = Pinhole(states.cameras[camera], aspect=1.0)
    directions = pinhole.directions(pixels_to_points(pixels, 64).numpy(), frame)
    hits = scene.cast(pinhole, frame, directions).body.reshape(64, 64)

    simulation.reset(3)
    generator = np.random.default_rng(0)
    perform(simulation, ScriptedExpert("window-open"), noise=0.2, generator=generator, decisions=frame, after_success=0)
    geometry = OffscreenRenderer(model, simulation.config.render).segment(model, simulation.data, settings)
    seen = np.where(geometry < 0, 0, model.geom_bodyid[geometry])
    # Panes are drawn faintly and looked through; a border may fall to either side of a pixel's centre.
    panes = np.isin(seen, [model.body(name).id for name in ("windowb_a", "windowb_b")])
    inner = np.ones_like(panes)
    for axis in (0, 1):
        border = np.diff(seen, axis=axis, prepend=-1) != 0
        inner &= ~border & ~np.roll(border, -1, axis=axis)
    compared = inner & ~panes
    assert compared.mean() > 0.5
    assert (hits == seen)[compared].mean() > 0.995


def test_tracked_points_keep_their_colour(performance):
    _, performed = performance
    clip = Clip(frames=performed.images[:, 0], fps=27.0, camera="corner2", scene=performed.scene)
    lines = torch.linspace(-0.9, 0.9, 10)
    queries = torch.cartesian_prod(lines, lines)
    window = GroundTruthTracker().track(clip, queries, horizon=8)
    path = window.velocities.norm(dim=-1).sum(dim=2)
    moving = (path > 4 / 64) & window.valid.all(dim=2)[..., None]
    assert 0.03 < moving.float().mean() < 0.4
    images = torch.from_numpy(clip.frames).float().permute(0, 3, 1, 2)
    kept = stayed = 0.0
    for start in range(len(clip.frames) - 8):
        chosen = moving[start, 0] & window.visible[start, 0, -1]

        def colour(frame, points):
            return torch.nn.functional.grid_sample(images[frame][None], points[None, None], align_corners=False)[
                0, :, 0
            ]

        before = colour(start, window.points[start, 0, 0, chosen])
        kept += (colour(start + 7, window.points[start, 0, -1, chosen]) - before).abs().mean(0).sum().item()
        stayed += (colour(start + 7, window.points[start, 0, 0, chosen]) - before).abs().mean(0).sum().item()
    assert kept < 0.6 * stayed
