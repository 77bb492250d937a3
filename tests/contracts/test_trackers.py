"""One suite over every tracker; the learned ones run on clones in miniature (tests/tracks/learned/standins.py)."""

import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from amplify.coords import displacements_to_pixels
from amplify.errors import AmplifyError, DataError, UsageError
from amplify.protocols import Tracker
from amplify.sim.ground_truth import GroundTruthTracker
from amplify.tracks import TRACKERS
from amplify.tracks.queries import uniform_grid
from amplify.types import Clip
from sim.scenes import clip_of, posed, sliding_box
from tracks.learned.standins import LEARNED, options
from tracks.scenes import SPRITE_PX, moving_sprite

START = (44.0, 44.0)
BOX_TOP_M = 1.9  # from the camera, whose view is as wide on both sides


def sprite(velocity_px: tuple[float, float], frames: int, size: tuple[int, int]) -> Clip:
    return moving_sprite(velocity_px, start=START, frames=frames, size=size, seed=3)


def box(velocity_px: tuple[float, float], frames: int, size: tuple[int, int]) -> Clip:
    model = sliding_box()
    to_m = [2 / side * BOX_TOP_M * sign for side, sign in zip((128, 128), (1, -1))]
    states = [
        posed(model, {"box": (velocity_px[0] * t * to_m[0], velocity_px[1] * t * to_m[1], 0)}) for t in range(frames)
    ]
    return clip_of(model, states, size=size)


@dataclass(frozen=True)
class Case:
    name: str
    make: Callable[[], Tracker]
    clip: Callable[[tuple[float, float], int, tuple[int, int]], Clip] = sprite
    error_px: float = 0.75

    @property
    def queries(self) -> torch.Tensor:
        """Some of them on what moves."""
        return uniform_grid(15 if self.clip is box else 8)

    def moving(self, points: torch.Tensor) -> torch.Tensor:
        """Which normalised points lie well within what moves in the first frame."""
        if self.clip is box:
            return (points.abs() < 0.08).all(dim=-1)
        px = (points + 1) * 64 - 0.5
        return ((px > START[0] + 8) & (px < START[0] + SPRITE_PX - 9)).all(dim=-1)


CASES = [
    Case("flow", TRACKERS["flow"], error_px=1.5),
    Case("dis", TRACKERS["dis"]),
    Case("lucas-kanade", TRACKERS["lucas-kanade"]),
    *(Case(name, lambda name=name: TRACKERS[name](**options(name))) for name in LEARNED),
    Case("ground-truth", lambda: GroundTruthTracker({"toy": lambda _: sliding_box()}), box, 0.01),
]
every_tracker = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def test_every_tracker_of_the_registry_is_here():
    assert {case.name for case in CASES} == {*TRACKERS, "ground-truth"}


@every_tracker
def test_windows_of_every_frame_have_the_promised_form(case):
    tracker, queries = case.make(), uniform_grid(5)
    assert isinstance(tracker, Tracker)
    assert tracker.name == case.name
    frames, horizon = 6, 4
    window = tracker.track(case.clip((2.0, 1.0), frames, (128, 128)), queries, horizon=horizon)
    assert window.points.shape == (frames, 1, horizon, 25, 2)
    assert window.points.dtype == torch.float32
    assert window.visible.shape == (frames, 1, horizon, 25)
    assert window.points.isfinite().all()
    assert window.error_px is None or not window.error_px.isnan().any()
    ends = torch.tensor([4, 4, 4, 3, 2, 1])
    assert torch.equal(window.valid[:, 0].sum(dim=-1), ends)
    assert not window.visible[~window.valid].any()
    for start, end in enumerate(ends):
        held = window.points[start, 0, end - 1 :]
        assert torch.equal(held, held[:1].expand_as(held)), "past the end the last position is repeated"


@every_tracker
def test_the_query_frame_shows_the_queries(case):
    queries = torch.cat([uniform_grid(4) * 0.97 + 0.01, torch.tensor([[1.5, 0.0], [0.0, -1.2]])])
    window = case.make().track(case.clip((1.0, 1.0), 4, (128, 128)), queries, horizon=3)
    torch.testing.assert_close(window.points[:, 0, 0], queries.expand(4, -1, -1), atol=1e-5, rtol=0)
    assert not window.visible[:, 0, 0, -2:].any(), "outside the frame"
    assert window.visible[0, 0, 0, :-2].all()


@every_tracker
@pytest.mark.parametrize("velocity", [(3.0, 0.0), (0.0, -2.0), (-2.0, 1.0)])
def test_what_moves_is_followed_in_both_axes(case, velocity):
    queries = case.queries
    window = case.make().track(case.clip(velocity, 6, (128, 128)), queries, horizon=5)
    moving = case.moving(queries)
    assert moving.sum() >= 1
    moved_px = displacements_to_pixels(window.points[0, 0] - queries, 128)[:, moving]
    expected = torch.tensor(velocity) * torch.arange(5)[:, None, None]
    assert (moved_px - expected).norm(dim=-1).median(dim=-1).values.max() < case.error_px
    assert window.visible[0, 0][:, moving].float().mean() > 0.8


@every_tracker
def test_later_windows_start_anew(case):
    queries = case.queries
    window = case.make().track(case.clip((2.0, 0.0), 7, (128, 128)), queries, horizon=4)
    later = queries - torch.tensor([2 * 3 * 2 / 128, 0.0])  # where these points were in the first frame
    moving = case.moving(later)
    moved_px = displacements_to_pixels(window.points[3, 0, 3] - queries, 128)[moving]
    assert (moved_px - torch.tensor([6.0, 0.0])).norm(dim=-1).median() < case.error_px


@every_tracker
def test_the_same_again_and_the_clip_is_left_alone(case):
    clip, queries = case.clip((2.0, 1.0), 5, (128, 128)), uniform_grid(6)
    kept, asked = clip.frames.copy(), queries.clone()
    tracker = case.make()
    first, second = (tracker.track(clip, queries, horizon=4) for _ in range(2))
    assert torch.equal(first.points, second.points)
    assert torch.equal(first.visible, second.visible)
    np.testing.assert_array_equal(clip.frames, kept)
    assert torch.equal(queries, asked)
    clip.frames.setflags(write=False)
    assert torch.equal(tracker.track(clip, queries, horizon=4).points, first.points)


@every_tracker
@pytest.mark.parametrize("size", [(33, 47), (260, 140), (40, 40)])
def test_frames_of_any_size(case, size):
    clip = case.clip((1.0, 0.0), 3, size)
    assert clip.frames.shape[1:3] == size[::-1]
    window = case.make().track(clip, uniform_grid(3), horizon=3)
    assert window.points.shape == (3, 1, 3, 9, 2)
    assert window.points.isfinite().all()


@every_tracker
@pytest.mark.parametrize(("frames", "horizon"), [(1, 4), (3, 1), (2, 16)])
def test_short_clips_and_short_windows(case, frames, horizon):
    queries = uniform_grid(3)
    window = case.make().track(case.clip((1.0, 0.0), frames, (128, 128)), queries, horizon=horizon)
    assert window.points.shape == (frames, 1, horizon, 9, 2)
    assert window.valid[:, 0].sum() == sum(min(horizon, frames - t) for t in range(frames))


@every_tracker
def test_no_frames_and_no_horizon_are_refused(case):
    clip = case.clip((1.0, 0.0), 2, (128, 128))
    with pytest.raises(UsageError):
        case.make().track(clip, uniform_grid(3), horizon=0)
    with pytest.raises(DataError):
        case.make().track(replace(clip, frames=clip.frames[:0]), uniform_grid(3), horizon=2)


@every_tracker
def test_settings_are_plain_and_the_tracker_can_be_sent_to_another_process(case):
    if case.name == "ground-truth":
        case = replace(case, make=GroundTruthTracker)
    tracker = case.make()
    settings = dict(tracker.settings)
    assert json.loads(json.dumps(settings)) == settings
    assert all(isinstance(value, str | int | float | bool) for value in settings.values())
    sent = pickle.loads(pickle.dumps(tracker))
    assert (sent.name, sent.version, dict(sent.settings)) == (tracker.name, tracker.version, settings)


@pytest.mark.parametrize("name", sorted(TRACKERS))
def test_an_option_that_a_tracker_lacks_is_refused_by_name(name):
    with pytest.raises(UsageError, match="no --colour"):
        TRACKERS[name](colour="red")


def test_an_unknown_camera_is_told():
    clip = replace(box((1.0, 0.0), 2, (32, 32)), camera="behind")
    with pytest.raises(AmplifyError, match="behind"):
        GroundTruthTracker({"toy": lambda _: sliding_box()}).track(clip, uniform_grid(3), horizon=2)
