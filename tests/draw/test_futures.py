from itertools import pairwise

import numpy as np
import pytest
import torch

from amplify.draw.framing import Framing
from amplify.draw.futures import (
    FILM_FPS,
    HELD,
    LOOPS,
    PANEL_PX,
    SUBSTEPS,
    WIDEST_FILM_PX,
    WIDEST_PX,
    Panel,
    draw_futures,
    draw_futures_video,
)
from amplify.errors import UsageError


def right(length=0.8, steps=6):
    """One point goes right through the middle, one rests."""
    x = torch.linspace(-length / 2, length / 2, steps)
    return torch.stack([torch.stack([x, 0 * x], -1), torch.full((steps, 2), 0.8)], dim=1)


def panel(tracks=None, caption="one", views=1):
    return Panel(tracks=[right() if tracks is None else tracks] * views, caption=caption)


def grey(height, width):
    return np.full((height, width, 3), 90, np.uint8)


def drawn(*views, futures=1, fit="crop", **settings):
    panels = [panel(caption=f"{i}", views=len(views), **settings) for i in range(futures)]
    return draw_futures(views, [Framing.of(view, fit) for view in views], panels, heading="go")


def colourful(picture):
    return (picture.max(axis=-1).astype(int) - picture.min(axis=-1)) > 60


def test_small_images_are_enlarged_and_large_ones_keep_their_size():
    assert drawn(grey(64, 64)).shape[1] == PANEL_PX
    assert drawn(grey(900, 300)).shape[1] == PANEL_PX
    assert drawn(grey(600, 900)).shape[1] == 900
    many = drawn(grey(600, 2000), futures=3)
    assert abs(many.shape[1] - WIDEST_PX) < 40


@pytest.mark.parametrize(("futures", "columns", "rows"), [(1, 1, 1), (3, 3, 1), (4, 2, 2), (6, 3, 2)])
def test_panels_make_a_wide_grid(futures, columns, rows):
    height, width, _ = drawn(grey(480, 480), futures=futures).shape
    assert width == columns * 480 + (columns - 1) * 8
    assert rows * 480 < height < rows * 480 + 120


def test_views_stand_side_by_side():
    assert drawn(grey(480, 480), grey(240, 240)).shape[1] == 2 * 480 + 2


@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_tracks_lie_in_the_square(fit):
    picture = drawn(grey(480, 800), fit=fit)
    found = np.argwhere(colourful(picture))
    strip = picture.shape[0] - 480
    side = 480 if fit == "crop" else 800
    assert abs(found[:, 0].mean() - strip - 240) < 4
    assert 400 + 0.195 * side < found[:, 1].max() < 400 + 0.215 * side


def test_futures_differ_and_captions_are_drawn():
    view = grey(480, 480)
    panels = [panel(caption=""), panel(tracks=-right(), caption="")]
    picture = draw_futures([view], [Framing.of(view)], panels, heading="")
    assert not np.array_equal(picture[:, :480], picture[:, -480:])
    said = draw_futures([view], [Framing.of(view)], [panel(caption="log p −23.1")], heading="go")
    unsaid = draw_futures([view], [Framing.of(view)], [panel(caption="x")], heading="go")
    assert not np.array_equal(said, unsaid)


def test_a_long_sentence_fits_above_a_small_panel():
    view = grey(480, 480)
    picture = draw_futures([view], [Framing.of(view)], [panel()], heading="put " + "the red block and " * 5)
    strip = picture[: picture.shape[0] - 480]
    assert (strip[:, :4] == 255).all()
    assert (strip[:, -4:] == 255).all()
    assert strip.min() < 100


def test_the_film_lets_points_travel_and_repeats():
    view = grey(480, 480)
    film = draw_futures_video([view], [Framing.of(view)], [panel(caption="")], heading="")
    length = 1 + SUBSTEPS * 5
    assert len(film) == (length + HELD) * LOOPS
    assert FILM_FPS > 0
    heads = [np.argwhere(colourful(frame))[:, 1].max() for frame in film[1:length]]
    assert all(a < b for a, b in pairwise(heads))
    assert np.array_equal(film[0], film[len(film) // 2])
    assert np.array_equal(film[length - 1], film[-1])
    still = draw_futures([view], [Framing.of(view)], [panel(caption="")], heading="")
    assert abs(heads[-1] - np.argwhere(colourful(still))[:, 1].max()) <= 1


def test_films_stay_playable():
    view = grey(480, 480)
    film = draw_futures_video([view], [Framing.of(view)], [panel(right(steps=2))] * 5, heading="go")
    assert film.shape[2] <= WIDEST_FILM_PX + 20


def test_input_is_left_alone():
    view, tracks = grey(480, 480), right()
    draw_futures([view], [Framing.of(view)], [panel(tracks)], heading="go")
    assert np.array_equal(view, grey(480, 480))
    assert torch.equal(tracks, right())


def test_nothing_to_draw():
    with pytest.raises(UsageError, match="futures"):
        draw_futures([grey(9, 9)], [Framing.of(grey(9, 9))], [], heading="go")
