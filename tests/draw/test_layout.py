import numpy as np
import pytest

from amplify.draw.layout import label


@pytest.mark.parametrize("corner", ["top left", "bottom right"])
def test_a_long_label_stays_within_the_image(corner):
    image = np.full((384, 384, 3), 200, np.uint8)
    for text in ("pick the ketchup and place it in the basket", "and then " * 40):
        drawn = label(image, text, corner=corner)
        touched = np.flatnonzero((drawn != image).any(axis=(0, 2)))
        assert 0 < touched.min() < touched.max() < 383
    short, long = (label(image, text) for text in ("open", "and then " * 40))
    assert (long != image).sum() > 3 * (short != image).sum()
