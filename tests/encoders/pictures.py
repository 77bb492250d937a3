"""Pictures made by formula."""

import torch


def picture(height: int = 128, width: int = 128, seed: int = 0) -> torch.Tensor:
    """Smooth waves with a bright square: uint8 RGB."""
    y, x = torch.meshgrid(torch.linspace(0, 6, height), torch.linspace(0, 9, width), indexing="ij")
    waves = [torch.sin(x * (1 + 0.3 * c) + seed) * torch.cos(y * (1.5 - 0.2 * c)) for c in range(3)]
    image = 128 + 90 * torch.stack(waves, dim=-1)
    image[height // 4 : height // 2, width // 2 : 3 * width // 4] = torch.tensor([250.0, 30.0, 40.0])
    return image.clamp(0, 255).round().to(torch.uint8)
