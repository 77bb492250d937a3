"""Patch tokens of a network that sees: uint8 images in, tokens on a grid out."""

import copy
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812
from einops import rearrange
from jaxtyping import Float, UInt8
from pydantic import Field
from torch import Tensor, nn

from amplify.config import Config
from amplify.encoders.efficientnet_lite import EfficientNetLite0Trunk
from amplify.encoders.hub import Dinov2, Dinov3, ResNet, Siglip
from amplify.encoders.pretrained import fingerprint, slug
from amplify.encoders.trunk import Trunk
from amplify.errors import UsageError, pick
from amplify.nn.cuda_graph import Graphed

TRUNKS: dict[str, type[Trunk]] = {
    "efficientnet-lite0": EfficientNetLite0Trunk,
    "resnet18": ResNet,
    "dinov2": Dinov2,
    "dinov3": Dinov3,
    "siglip": Siglip,
}
"""Networks by name. The first comes with a package; the others' weights are fetched from the hub or lie in a folder."""


class VisionConfig(Config):
    """How images become tokens.

    Args:
        network: One of `TRUNKS`.
        input_px: Side to which images are resized, a multiple of the network's coarsest stride. EfficientNet-Lite0
            needs 4–6 ms an image at 128 px on one core.
        grid: Tokens a side; divides ``input_px`` / stride. Finer maps keep their detail as channels.
        dtype: Precision of the network. For EfficientNet-Lite0, float32 was as fast as bfloat16 or faster on a CPU with
            AVX-512 BF16 (ms an image at 128 px, one thread, batch 1 / 8 / 32: 5.7 / 4.2 / 5.2 against
            8.4 / 4.9 / 5.2), and bfloat16 changes tokens by about 4 %.
        normalise: Give the network pixels of the mean and deviation that it learned from; without, they are 0 … 1.
        antialias: Filter before images are made smaller.
        weights: Another name on the hub, or a folder; the network's own where empty.
    """

    network: Literal["efficientnet-lite0", "resnet18", "dinov2", "dinov3", "siglip"] = "efficientnet-lite0"
    input_px: int = Field(default=128, ge=1)
    grid: int = Field(default=4, ge=1)
    dtype: Literal["float32", "bfloat16"] = "float32"
    normalise: bool = True
    antialias: bool = True
    weights: str = ""

    @classmethod
    def of(cls, network: str, **changes: Any) -> "VisionConfig":
        """The settings with which a network is used by default.

        Raises:
            UnknownNameError: There is no such network.
        """
        trunk = pick(network, TRUNKS, kind="vision encoder")
        return cls(**{"network": network, "input_px": trunk.input_px, "grid": trunk.grid, **changes})

    @property
    def trunk(self) -> type[Trunk]:
        """The network's class."""
        return TRUNKS[self.network]

    @property
    def source(self) -> str:
        """Where the weights come from."""
        return self.weights or self.trunk.weights

    def architecture(self) -> dict[str, Any]:
        """The sizes of the network that has these weights.

        Raises:
            AmplifyError: The weights are not here.
        """
        return self.trunk.architecture(self.source)


class PatchNetwork(nn.Module):
    """uint8 images to tokens: scaling, resizing, trunk, grid. A bundle can hold it as ``vision_encoder``.

    Args:
        config: Which network, and sizes.
        architecture: Sizes of the network, as JSON values; empty where there is one size only.

    Raises:
        UsageError: Sizes do not divide.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: VisionConfig, *, architecture: Mapping[str, Any]):
        super().__init__()
        self.config = config
        self.dimensions: dict[str, Any] = {"architecture": dict(architecture)}
        self.trunk = config.trunk(architecture)
        self.trunk.network.to(dtype=getattr(torch, config.dtype))
        self.patches = config.grid**2
        self.width = _width(config, architecture)
        mean, std = (config.trunk.mean, config.trunk.std) if config.normalise else ((0.0,) * 3, (1.0,) * 3)
        self.register_buffer("mean", 255 * torch.tensor(mean), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(std), persistent=False)

    @classmethod
    def pretrained(cls, config: VisionConfig) -> "PatchNetwork":
        """With the weights that the settings name, in evaluation mode.

        Raises:
            AmplifyError: The weights are not here, or of another network.
        """
        network = cls(config, architecture=config.architecture())
        network.trunk.load_state_dict(config.trunk.state(config.source), strict=True)
        return network.eval()

    def forward(self, images: UInt8[Tensor, "*b h w 3"]) -> Float[Tensor, "*b p d"]:
        """Tokens of each image, row by row, float32."""
        leading = images.shape[:-3]
        side, grid = self.config.input_px, self.config.grid
        x = rearrange(images.reshape(-1, *images.shape[-3:]), "b h w c -> b c h w").float()
        if x.shape[-2:] != (side, side):
            size = (side, side)
            x = F.interpolate(x, size=size, mode="bilinear", antialias=self.config.antialias, align_corners=False)
        x = (x - self.mean[:, None, None]) / self.std[:, None, None]
        x = x.to(getattr(torch, self.config.dtype), memory_format=torch.channels_last)
        maps = self.trunk(x)
        parts = [rearrange(m.float(), "b c (i r) (j s) -> b (i j) (r s c)", i=grid, j=grid) for m in maps.values()]
        tokens = torch.cat(parts, dim=-1)
        return tokens.reshape(*leading, *tokens.shape[1:])


class PatchEncoder:
    """Frozen eyes: a `VisionEncoder`.

    Picklable: another process loads published weights when it first needs them.

    Args:
        config: Which network, and sizes.
        network: A network with weights of its own, of a bundle; by default the published ones.
        name: That of sidecar folders; by default it says what changes the tokens' number and size.
        device: Where the network runs.
        graphed: Run it as CUDA graphs, one for each number and size of images; on a CUDA device only.
            Another process that it is sent to runs it plainly.

    Raises:
        AmplifyError: The published weights are not here.
        UsageError: Sizes do not divide.
    """

    def __init__(
        self,
        config: VisionConfig | None = None,
        *,
        network: PatchNetwork | None = None,
        name: str | None = None,
        device: str = "cpu",
        graphed: bool = False,
    ):
        self.config = config = network.config if network is not None else config or VisionConfig()
        self.device = device
        self._own = None if network is None else _frozen(network, device)
        architecture = config.architecture() if network is None else network.dimensions["architecture"]
        self.patches, self.width = config.grid**2, _width(config, architecture)
        self.name = name or default_name(config, architecture)
        self._graphs = Graphed(self._eyes()) if graphed and torch.device(device).type == "cuda" else None

    def __reduce__(self):
        if self._own is not None:
            network = self._own if self.device == "cpu" else copy.deepcopy(self._own).cpu()
            return _again, (network, self.name, self.device)
        return _shared, (self.config.model_dump_json(), self.name, self.device)

    @property
    def version(self) -> str:
        """What changes with the weights."""
        return self.config.trunk.version(self.config.source) if self._own is None else fingerprint(self._own)

    @property
    def settings(self) -> dict[str, str | int | float | bool]:
        """What changes the result, and makes the same encoder again."""
        return self.config.model_dump()

    def encode(self, images: UInt8[Tensor, "*b h w 3"]) -> Float[Tensor, "*b p d"]:
        """Patch tokens of each image, row by row, float32.

        An image's tokens do not depend on its neighbours, but their last bits may depend on how many there are
        (relative difference below 1e-5 in float32).
        """
        if self._graphs is not None:
            tokens = self._graphs(images.reshape(-1, *images.shape[-3:]), self.device)
            return tokens.reshape(*images.shape[:-3], *tokens.shape[1:])
        with torch.inference_mode():
            return self._eyes()(images.to(self.device))

    def _eyes(self) -> PatchNetwork:
        return self._own or _network(self.config.model_dump_json(), self.device)


def default_name(config: VisionConfig, architecture: Mapping[str, Any]) -> str:
    """The name of an encoder with published weights: ``efficientnet-lite0-128px``, ``dinov2-small-224px``."""
    origin = slug(config.weights) if config.weights else config.network
    coarsest = max(config.trunk.channels(architecture))
    grid = "" if config.grid == config.input_px // coarsest else f"-{config.grid}x{config.grid}"
    return f"{origin}-{config.input_px}px{grid}"


def _width(config: VisionConfig, architecture: Mapping[str, Any]) -> int:
    channels = config.trunk.channels(architecture)
    coarsest = max(channels)
    if config.input_px % coarsest:
        raise UsageError(f"input_px must be a multiple of {coarsest} for {config.network}", got=config.input_px)
    if (config.input_px // coarsest) % config.grid:
        raise UsageError(f"grid must divide input_px / {coarsest} = {config.input_px // coarsest}", got=config.grid)
    side = config.input_px // config.grid
    return sum(count * (side // stride) ** 2 for stride, count in channels.items())


@lru_cache(maxsize=4)
def _network(config_json: str, device: str) -> PatchNetwork:
    return _frozen(PatchNetwork.pretrained(VisionConfig.model_validate_json(config_json)), device)


def _frozen(network: PatchNetwork, device: str) -> PatchNetwork:
    network = network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval().requires_grad_(False)


def _again(network: PatchNetwork, name: str, device: str) -> PatchEncoder:
    return PatchEncoder(network=network, name=name, device=device)


@lru_cache(maxsize=4)
def _shared(config_json: str, name: str, device: str) -> PatchEncoder:
    return PatchEncoder(VisionConfig.model_validate_json(config_json), name=name, device=device)
