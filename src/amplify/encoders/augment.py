"""Images as they might have been: shifted by a few pixels, in another light."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

GREY = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in brightness.

Source: ITU-R recommendation BT.601.
"""


def augmented(
    images: UInt8[Tensor, "*b h w 3"], *, shift: float, colour: float, generator: torch.Generator
) -> UInt8[Tensor, "*b h w 3"]:
    """Every image with a shift and a light of its own; edges are repeated where a shift uncovers them.

    Source: shifts as in Kostrikov et al., Image Augmentation Is All You Need, ICLR 2021.

    Args:
        images: RGB.
        shift: Largest shift along each axis, as a share of the side.
        colour: Strength: brightness, contrast and saturation change by factors between 1 − colour and 1 + colour.
        generator: Source of randomness, on any device.
    """
    flat = images.reshape(-1, *images.shape[-3:])
    if shift:
        flat = _shifted(flat, shift, generator)
    if colour:
        flat = _recoloured(flat, colour, generator)
    return flat.reshape(images.shape)


def _shifted(images: UInt8[Tensor, "b h w 3"], shift: float, generator: torch.Generator) -> UInt8[Tensor, "b h w 3"]:
    count, height, width, _ = images.shape
    rows, columns = (_places(count, size, shift, generator).to(images.device) for size in (height, width))
    return images[torch.arange(count, device=images.device)[:, None, None], rows[:, :, None], columns[:, None, :]]


def _places(count: int, size: int, shift: float, generator: torch.Generator) -> Tensor:
    most = round(shift * size)
    offsets = torch.randint(-most, most + 1, (count, 1), generator=generator, device=generator.device)
    return (torch.arange(size, device=generator.device) + offsets).clamp(0, size - 1)


def _recoloured(
    images: UInt8[Tensor, "b h w 3"], colour: float, generator: torch.Generator
) -> UInt8[Tensor, "b h w 3"]:
    drawn = torch.rand((3, len(images), 1, 1, 1), generator=generator, device=generator.device)
    brightness, contrast, saturation = (1 + colour * (2 * drawn - 1)).to(images.device)
    x = images.float() * brightness
    x = _towards(x, _brightness(x).mean(dim=(1, 2), keepdim=True), contrast)
    x = _towards(x, _brightness(x), saturation)
    return x.clamp(0, 255).round().to(torch.uint8)


def _brightness(x: Float[Tensor, "b h w 3"]) -> Float[Tensor, "b h w 1"]:
    return (x * torch.tensor(GREY, device=x.device)).sum(dim=-1, keepdim=True)


def _towards(x: Tensor, grey: Tensor, factor: Tensor) -> Tensor:
    return grey + factor * (x - grey)
