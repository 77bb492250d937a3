import cv2
import numpy as np
import pytest
import torch

from amplify import draw
from amplify.errors import UsageError
from amplify.metrics.statistics import Interval

GREY = np.full((64, 96, 3), 90, np.uint8)


def right_and_rest() -> torch.Tensor:
    """Point 0 goes right along the middle, point 1 rests in the lower left."""
    x = torch.linspace(-0.5, 0.5, 6)
    return torch.stack([torch.stack([x, 0 * x], -1), torch.stack([0 * x - 0.8, 0 * x + 0.8], -1)], dim=1)


def decoded(data: bytes) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image[..., ::-1]


def test_tracks_are_drawn_where_the_points_are():
    picture = draw.draw_tracks(GREY, right_and_rest(), scale=4)
    assert picture.shape == (256, 384, 3)
    changed = (picture != 90).any(axis=-1)
    assert changed[128, 200:288].all()
    assert not changed[:110].any()
    assert changed[225:235, 34:44].any()


def test_tails_fade_towards_the_past():
    picture = draw.draw_tracks(GREY, right_and_rest(), scale=4).astype(int)
    strength = np.abs(picture - 90).sum(axis=-1)[128]
    assert strength[110] < strength[180] < strength[270]


def test_input_is_left_alone():
    image, points = GREY.copy(), right_and_rest()
    draw.draw_tracks(image, points, dim=0.5)
    draw.label(image, "text")
    draw.title(image, "text")
    draw.sheet([image, image], columns=1)
    assert np.array_equal(image, GREY)
    assert torch.equal(points, right_and_rest())


def test_direction_colours_differ_by_direction():
    right = draw.draw_tracks(GREY, right_and_rest())
    left = draw.draw_tracks(GREY, right_and_rest().flip(0))
    assert right[32, 60, 0] > right[32, 60, 2]
    assert left[32, 36, 2] > left[32, 36, 0]


def test_speed_and_fixed_colours():
    slow, fast = right_and_rest() * torch.tensor([0.2, 1.0]), right_and_rest()
    a, b = (draw.draw_tracks(GREY, p, colour="speed") for p in (slow, fast))
    assert not np.array_equal(a[32, 50], b[32, 50])
    blue = draw.draw_tracks(GREY, fast, colour=(0, 0, 255))
    assert blue[32, 70].argmax() == 2


def test_invisible_segments_are_fainter():
    visible = torch.ones(6, 2, dtype=torch.bool)
    visible[:, 0] = False
    seen = np.abs(draw.draw_tracks(GREY, right_and_rest(), colour=(255, 0, 0)).astype(int) - 90).sum()
    hidden = np.abs(
        draw.draw_tracks(GREY, right_and_rest(), visible=visible, colour=(255, 0, 0)).astype(int) - 90
    ).sum()
    assert hidden < 0.6 * seen


def test_dimming_takes_brightness():
    assert draw.draw_tracks(GREY, right_and_rest(), dim=0.5)[2, 2, 0] == 45


@pytest.mark.parametrize("steps", [1, 2])
def test_short_and_far_away_tracks(steps):
    points = torch.tensor([[[0.0, 0.0], [1e6, -1e6]]]).repeat(steps, 1, 1)
    points[-1] += 0.3
    assert draw.draw_tracks(GREY, points).shape == GREY.shape


def test_track_video_shows_the_past_of_each_frame():
    frames = np.repeat(GREY[None], 6, axis=0)
    video = draw.draw_track_video(frames, right_and_rest(), tail=2, scale=2)
    assert video.shape == (6, 128, 192, 3)
    drawn = [np.flatnonzero((frame[64] != 90).any(axis=-1)) for frame in video]
    assert drawn[5].min() > drawn[2].min()
    assert drawn[5].max() > drawn[2].max()


@pytest.mark.parametrize(
    ("corner", "rows", "columns"),
    [
        ("top left", slice(0, 32), slice(0, 48)),
        ("bottom right", slice(32, 64), slice(48, 96)),
    ],
)
def test_labels_sit_in_their_corner(corner, rows, columns):
    changed = (draw.label(GREY, "öß →", corner=corner) != 90).any(axis=-1)
    assert changed[rows, columns].any()
    changed[rows, columns] = False
    assert not changed.any()


def test_title_goes_above():
    picture = draw.title(GREY, "flow")
    assert picture.shape[0] > 64
    assert np.array_equal(picture[-64:], GREY)
    assert picture[:-64].min() < 128 < picture[:-64].max()


def test_panels_take_the_height_of_the_first():
    small = np.zeros((32, 32, 3), np.uint8)
    picture = draw.panels([GREY, small], gap_px=4)
    assert picture.shape == (64, 96 + 4 + 64, 3)
    assert (picture[:, 96:100] == 255).all()
    assert (picture[:, 100:] == 0).all()


def test_sheet_goes_row_by_row_and_may_end_early():
    cells = [np.full((10, 10, 3), value, np.uint8) for value in (0, 50, 100)]
    picture = draw.sheet(cells, columns=2, gap_px=2)
    assert picture.shape == (22, 22, 3)
    assert [picture[5, 5, 0], picture[5, 17, 0], picture[17, 5, 0], picture[17, 17, 0]] == [0, 50, 100, 255]
    assert draw.sheet(cells, columns=3, titles=["a", "b", "c"]).shape[0] > 10


def test_sheet_refuses_nonsense():
    with pytest.raises(UsageError, match="title"):
        draw.sheet([GREY], columns=1, titles=["a", "b"])
    with pytest.raises(UsageError):
        draw.sheet([], columns=1)


def test_png_keeps_every_pixel():
    noise = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    assert np.array_equal(decoded(draw.png(noise)), noise)


def test_curves_show_every_series():
    both = {"train": ([0, 1, 2], [3.0, 2.0, 1.0]), "validation": ([0, 1, 2], [3.0, 2.5, 2.2])}
    one = decoded(draw.plot_curves({"train": both["train"]}, x="step", y="loss"))
    two = decoded(draw.plot_curves(both, x="step", y="loss", log_y=True))
    assert one.shape == two.shape == (480, 800, 3)
    orange = np.abs(two.astype(int) - [0xE8, 0x74, 0x3B]).sum(axis=-1) < 30
    assert orange.sum() > 50
    assert not (np.abs(one.astype(int) - [0xE8, 0x74, 0x3B]).sum(axis=-1) < 30).any()


def test_bars_with_intervals_and_dots():
    groups = {
        "drawer-open": {"AMPLIFY": Interval(0.8, 0.6, 0.9), "cloning": 0.5},
        "door-open": {"AMPLIFY": Interval(0.7, 0.5, 0.8)},
    }
    plain = decoded(draw.plot_bars(groups, y="success", limit=(0, 1)))
    dotted = decoded(draw.plot_bars(groups, y="success", limit=(0, 1), dots={"drawer-open": {"AMPLIFY": [0.7, 0.85]}}))
    assert plain.shape == dotted.shape
    assert not np.array_equal(plain, dotted)


def test_rows_mark_the_reference():
    rows = {"as it is": Interval(2.0, 1.5, 2.5), "a change with a long name": Interval(3.0, 2.0, 4.0)}
    plain = decoded(draw.plot_rows(rows, x="error, px"))
    marked = decoded(draw.plot_rows(rows, x="error, px", reference="as it is"))
    taller = decoded(draw.plot_rows({**rows, "third": Interval(1.0, 0.5, 1.5)}, x="error, px"))
    orange = np.abs(marked.astype(int) - [0xE8, 0x74, 0x3B]).sum(axis=-1) < 30
    assert orange.sum() > 500
    assert not (np.abs(plain.astype(int) - [0xE8, 0x74, 0x3B]).sum(axis=-1) < 30).any()
    assert taller.shape[0] > plain.shape[0]
