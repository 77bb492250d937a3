"""Prepares the environment of the real lerobot, before anything of lerobot is imported.

torchvision's compiled operators belong to another build of torch than the small one that is installed: they are not
needed, but their names must exist before it is imported. The GR00T policy of lerobot 0.4 cannot be imported beside
transformers 5, and lerobot leaves it alone where it finds no transformers.
"""

import lerobot.utils.import_utils
import torch

library = torch.library.Library("torchvision", "DEF")
for name in ("nms", "qnms"):
    library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

lerobot.utils.import_utils._transformers_available = False
