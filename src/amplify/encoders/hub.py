"""Networks of the transformers library that see: ResNet, DINOv2, DINOv3, SigLIP.

Their modules are imported one by one: the package would look for torchvision and every model at once.
"""

from abc import abstractmethod
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor

from amplify.encoders.pretrained import load, read_config, sizes, weights_version
from amplify.encoders.trunk import Architecture, Trunk


class HubTrunk(Trunk):
    """A network whose weights lie on the hub, in its cache, or in a folder of the same layout."""

    network: Any

    @classmethod
    @abstractmethod
    def kinds(cls) -> tuple[Any, Any]:
        """Its classes of configuration and model."""

    @classmethod
    def config(cls, content: Architecture) -> Any:
        """Its configuration."""
        return cls.kinds()[0].from_dict(dict(content))

    @classmethod
    def architecture(cls, weights: str) -> dict[str, Any]:
        """The sizes of the network that has these weights, without loading them."""
        return sizes(cls.config(read_config(weights)))

    @classmethod
    def version(cls, weights: str) -> str:
        """Digits of the weights themselves."""
        return weights_version(weights)

    @classmethod
    def state(cls, weights: str) -> dict[str, Tensor]:
        """The weights, by parameter."""
        config = cls.config(read_config(weights))
        return {f"network.{key}": value for key, value in load(cls.kinds()[1], config, weights).state_dict().items()}

    def __init__(self, architecture: Architecture):
        super().__init__(architecture)
        self.network = self.kinds()[1](self.config(architecture))


class ResNet(HubTrunk):
    """The last map of a residual network: 7×7 patches of 512 channels for ResNet-18 at 224 px.

    Source: He et al., Deep Residual Learning for Image Recognition, CVPR 2016.
    """

    weights = "microsoft/resnet-18"
    input_px, grid = 224, 7

    @classmethod
    def kinds(cls) -> tuple[Any, Any]:
        """Its classes of configuration and model."""
        from transformers.models.resnet.configuration_resnet import ResNetConfig
        from transformers.models.resnet.modeling_resnet import ResNetModel

        return ResNetConfig, ResNetModel

    @classmethod
    def channels(cls, architecture: Architecture) -> dict[int, int]:
        """Channels of the last map, by its stride."""
        config = cls.config(architecture)
        halvings = len(config.hidden_sizes) - (0 if config.downsample_in_first_stage else 1)
        return {4 * 2**halvings: config.hidden_sizes[-1]}

    def __init__(self, architecture: Architecture):
        super().__init__(architecture)
        # Not in every pass: a compiled plan could not look into the library's configuration.
        (self.stride,) = self.channels(architecture)

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> dict[int, Float[Tensor, "b c _ _"]]:
        """The last map, by its stride."""
        return {self.stride: self.network(pixel_values=x).last_hidden_state}


class VisionTransformer(HubTrunk):
    """Patch tokens of a transformer, normalised as it leaves them; class and register tokens are left out."""

    extra: ClassVar[dict[str, Any]] = {}
    """Arguments of its forward pass."""

    @classmethod
    def channels(cls, architecture: Architecture) -> dict[int, int]:
        """Channels of a patch, by its side."""
        config = cls.config(architecture)
        return {config.patch_size: config.hidden_size}

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> dict[int, Float[Tensor, "b c _ _"]]:
        """The patches as a map, by their side."""
        side = self.network.config.patch_size
        rows, columns = x.shape[-2] // side, x.shape[-1] // side
        tokens = self.network(pixel_values=x, **self.extra).last_hidden_state[:, -rows * columns :]
        return {side: tokens.transpose(1, 2).unflatten(-1, (rows, columns))}


class Dinov2(VisionTransformer):
    """DINOv2; its 16×16 patches at 224 px become 8×8 tokens of four patches each by default.

    Source: Oquab et al., DINOv2: Learning Robust Visual Features without Supervision, TMLR 2024.
    """

    weights = "facebook/dinov2-small"
    input_px, grid = 224, 8

    @classmethod
    def kinds(cls) -> tuple[Any, Any]:
        """Its classes of configuration and model."""
        from transformers.models.dinov2.configuration_dinov2 import Dinov2Config
        from transformers.models.dinov2.modeling_dinov2 import Dinov2Model

        return Dinov2Config, Dinov2Model


class Dinov3(VisionTransformer):
    """DINOv3, whose weights ask for a licence to be accepted; 7×7 tokens of four patches each by default.

    Source: Siméoni et al., DINOv3, arXiv 2508.10104, 2025.
    """

    weights = "facebook/dinov3-vits16-pretrain-lvd1689m"
    input_px, grid = 224, 7

    @classmethod
    def kinds(cls) -> tuple[Any, Any]:
        """Its classes of configuration and model."""
        from transformers.models.dinov3_vit.configuration_dinov3_vit import DINOv3ViTConfig
        from transformers.models.dinov3_vit.modeling_dinov3_vit import DINOv3ViTModel

        return DINOv3ViTConfig, DINOv3ViTModel


class Siglip(VisionTransformer):
    """The eyes of SigLIP; 7×7 tokens of four patches each by default.

    Source: Zhai et al., Sigmoid Loss for Language Image Pre-Training, ICCV 2023.
    """

    weights = "google/siglip-base-patch16-224"
    input_px, grid = 224, 7
    mean = std = (0.5, 0.5, 0.5)
    extra: ClassVar[dict[str, Any]] = {"interpolate_pos_encoding": True}

    @classmethod
    def kinds(cls) -> tuple[Any, Any]:
        """Its classes of configuration and model."""
        from transformers.models.siglip.configuration_siglip import SiglipVisionConfig
        from transformers.models.siglip.modeling_siglip import SiglipVisionModel

        return SiglipVisionConfig, SiglipVisionModel

    @classmethod
    def config(cls, content: Architecture) -> Any:
        """Its configuration, of a file that may describe ears as well; the head that pools patches is left out."""
        return super().config({**content.get("vision_config", content), "vision_use_head": False})
