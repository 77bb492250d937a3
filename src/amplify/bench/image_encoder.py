"""A ResNet-18 with random weights: its time is that of the trained one."""

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


class RandomResNet(nn.Module):
    """Patch tokens of the last feature map, 7×7 of 512 channels for ResNet-18 at 224 px.

    Args:
        side_px: Side to which images are resized, a multiple of 32.
        widths: Channels of the four stages.
        blocks: Residual blocks a stage.
    """

    def __init__(
        self, *, side_px: int = 224, widths: tuple[int, ...] = (64, 128, 256, 512), blocks: tuple[int, ...] = (2, 2, 2, 2)
    ):
        super().__init__()
        # Their modules, not the package: it would look for every model at once.
        from transformers.models.resnet.configuration_resnet import ResNetConfig
        from transformers.models.resnet.modeling_resnet import ResNetModel

        self.side_px = side_px
        self.network = ResNetModel(
            ResNetConfig(
                embedding_size=widths[0], hidden_sizes=list(widths), depths=list(blocks), layer_type="basic"
            )
        )
        self.patches, self.width = (side_px // 32) ** 2, widths[-1]

    def forward(self, images: UInt8[Tensor, "b v h w 3"]) -> Float[Tensor, "b v p d"]:
        """Patch tokens of every view."""
        parameter = next(self.parameters())
        x = images.flatten(0, 1).permute(0, 3, 1, 2).to(parameter.dtype) / 255
        x = F.interpolate(x, size=(self.side_px, self.side_px), mode="bilinear", align_corners=False)
        tokens = self.network(x).last_hidden_state.flatten(2).transpose(1, 2)
        return tokens.unflatten(0, images.shape[:2])


def folded(encoder: RandomResNet) -> RandomResNet:
    """The same function with every batch normalisation folded into its convolution and channels last in memory.

    Args:
        encoder: Is changed, and put into evaluation mode.
    """
    for module in encoder.eval().modules():
        normalisation = getattr(module, "normalization", None)
        if isinstance(normalisation, nn.BatchNorm2d):
            module.convolution = fuse_conv_bn_eval(module.convolution, normalisation)
            module.normalization = nn.Identity()
    return encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
