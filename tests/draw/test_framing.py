import numpy as np
import pytest
import torch

from amplify.draw.framing import SURROUND, Framing, resized
from amplify.errors import UnknownNameError

SIZES = [(40, 60), (60, 40), (41, 60), (60, 41), (50, 50)]


def noise(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_there_and_back(size, fit):
    image = noise(*size)
    framing = Framing.of(image, fit)
    square = framing.square(image)
    side = min(size) if fit == "crop" else max(size)
    assert square.shape == (side, side, 3)
    back = framing.put_back(image, square)
    assert back.shape == image.shape
    same = (back == image).all(axis=-1)
    assert same.mean() > 0.99 if fit == "pad" else same.sum() >= side * side


def test_the_crop_is_the_middle_and_the_rest_is_darker():
    image = noise(40, 60)
    framing = Framing.of(image, "crop")
    assert np.array_equal(framing.square(image), image[:, 10:50])
    back = framing.put_back(image, framing.square(image))
    assert np.array_equal(back[:, 10:50], image[:, 10:50])
    assert np.array_equal(back[:, :10], np.rint(image[:, :10] * SURROUND).astype(np.uint8))
    assert np.array_equal(back[:, 50:], np.rint(image[:, 50:] * SURROUND).astype(np.uint8))


def test_padding_repeats_the_edges():
    image = noise(40, 61)
    square = Framing.of(image, "pad").square(image)
    top = 61 - 40 - (61 - 40) // 2
    assert np.array_equal(square[top : top + 40], image)
    assert (square[:top] == image[0]).all()
    assert (square[top + 40 :] == image[-1]).all()


@pytest.mark.parametrize("size", SIZES)
def test_points_lie_where_their_pixels_are(size):
    """A marked pixel is found at the same normalised place of the square, and put back where it was."""
    for fit in ("crop", "pad"):
        image = np.zeros((*size, 3), np.uint8)
        image[size[0] // 2, size[1] // 2] = 255
        framing = Framing.of(image, fit)
        square = framing.square(image)
        assert (square[..., 0] == 255).sum() == 1
        assert np.array_equal(framing.put_back(image, square), image)


def test_points_on_the_repeated_edges_are_known():
    wide = Framing(width=80, height=40, fit="pad")
    points = torch.tensor([[0.0, 0.0], [0.9, 0.45], [0.0, 0.55], [0.0, -0.55]])
    assert wide.on_image(points).tolist() == [True, True, False, False]
    assert Framing(width=40, height=80, fit="pad").on_image(points.flip(-1)).tolist() == [True, True, False, False]
    assert Framing(width=80, height=40, fit="crop").on_image(points).all()


def test_unknown_fit():
    with pytest.raises(UnknownNameError, match="fit"):
        Framing.of(noise(4, 4), "stretch")


def test_resizing():
    image = noise(32, 32)
    assert np.array_equal(resized(image, 32), image)
    assert resized(image, 8).shape == (8, 8, 3)
    assert abs(resized(image, 8).mean() - image.mean()) < 1  # averaged, not picked
    assert resized(image, 8).std() < 0.5 * image.std()
    assert resized(image, 64).shape == (64, 64, 3)
