import pytest
import torch

from amplify.encoders.augment import augmented
from amplify.rng import torch_generator

from .pictures import picture

IMAGES = torch.stack([picture(32, 48, seed) for seed in range(6)]).unflatten(0, (3, 2))


def made(seed=0, *, shift=0.0, colour=0.0, images=IMAGES):
    return augmented(images, shift=shift, colour=colour, generator=torch_generator(seed, "augment"))


def test_nothing_asked_for_changes_nothing():
    assert torch.equal(made(), IMAGES)


@pytest.mark.parametrize("how", [{"shift": 0.1}, {"colour": 0.3}, {"shift": 0.1, "colour": 0.3}])
def test_seeds_and_images_differ(how):
    once = made(**how)
    assert once.dtype == torch.uint8
    assert torch.equal(once, made(**how))
    assert not torch.equal(once, made(1, **how))
    same = IMAGES[:1, :1].expand(3, 2, -1, -1, -1)
    assert len({image.numpy().tobytes() for image in made(images=same, **how).flatten(0, 1)}) > 3


def test_a_shift_moves_every_pixel_alike_and_repeats_edges():
    rows, columns = torch.arange(32).to(torch.uint8), torch.arange(48).to(torch.uint8)
    image = torch.stack(
        [rows[:, None].expand(32, 48), columns.expand(32, 48), torch.zeros(32, 48, dtype=torch.uint8)], -1
    )
    moved = made(shift=0.125, images=image.expand(50, 32, 48, 3)).long()
    down = (moved[:, 16, 24, 0] - 16).unique()
    right = (moved[:, 16, 24, 1] - 24).unique()
    assert down.tolist() == list(range(-4, 5))
    assert right.tolist() == list(range(-6, 7))
    expected = (torch.arange(32) + (moved[:, 16, 24, 0] - 16)[:, None]).clamp(0, 31)
    assert torch.equal(moved[:, :, 0, 0], expected)


def test_light_stays_within_its_strength():
    grey = torch.full((200, 4, 4, 3), 100, dtype=torch.uint8)
    levels = made(colour=0.2, images=grey).float().mean((1, 2, 3))
    assert 80 <= levels.min() < 90 < 110 < levels.max() <= 120
    red = torch.zeros(200, 4, 4, 3, dtype=torch.uint8)
    red[:, :2, :, 0], red[:, 2:] = 200, 100
    lit = made(colour=0.2, images=red).float()
    saturation = (lit[:, 0, 0, 0] - lit[:, 0, 0, 1]) / lit.mean((1, 2, 3))
    contrast = (lit[:, 3, 0].mean(-1) - lit[:, 0, 0].mean(-1)) / lit.mean((1, 2, 3))
    assert saturation.std() > 0.05
    assert contrast.std() > 0.01
