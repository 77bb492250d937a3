import cv2
import numpy as np

from amplify.draw.histograms import plot_histogram, plot_small_histograms


def decoded(png):
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)


def test_bars_stand_on_nothing_and_lines_are_drawn():
    plain = decoded(plot_histogram([0, 1, 2], [1, 3], x="x", y="y"))
    assert plain.shape[2] == 4
    assert plain[0, 0, 3] == 0
    assert (plain[..., 3] == 255).any()
    lined = decoded(plot_histogram([0, 1, 2], [1, 3], x="x", y="y", lines={"limit": 1.5}))
    assert (plain != lined).any()
    logarithmic = decoded(plot_histogram([1, 2, 64], [1, 3], x="x", y="y", log_x=True))
    assert (decoded(plot_histogram([1, 2, 64], [1, 3], x="x", y="y")) != logarithmic).any()


def test_many_small_histograms_make_rows():
    values = {str(i): np.arange(10.0) for i in range(5)}
    two_rows, three_rows = (decoded(plot_small_histograms(values, columns=c)) for c in (3, 2))
    assert three_rows.shape[0] > two_rows.shape[0]
    assert three_rows.shape[1] < two_rows.shape[1]
