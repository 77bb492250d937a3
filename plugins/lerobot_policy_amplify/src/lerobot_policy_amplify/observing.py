"""From LeRobot's batches to observations in our terms."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from lerobot.utils.constants import OBS_IMAGE, OBS_IMAGES, OBS_STATE
from torch import Tensor

from amplify.errors import DataError, pick
from amplify.policy.info import BundleInfo
from amplify.serve.mapping import fitted
from amplify.types import Observation


class BatchReader:
    """Finds views, proprioception and instructions in a batch.

    Args:
        info: Of the bundle.
        views: View → key, for those whose key is not the usual one.
        fit: How images of another size become square, see `amplify.serve.mapping.fitted`.
        proprio_width: Dimensions of proprioception.

    Raises:
        UnknownNameError: The bundle has no such view.
    """

    def __init__(self, info: BundleInfo, views: Mapping[str, str], *, fit: str, proprio_width: int):
        self.info, self.fit, self.proprio_width = info, fit, proprio_width
        known = dict.fromkeys(info.cameras)
        for view in views:
            pick(view, known, kind="view of the bundle")
        usual = (OBS_IMAGE,) if len(info.cameras) == 1 else ()
        self._keys = {v: (views[v],) if v in views else (f"{OBS_IMAGES}.{v}", *usual) for v in info.cameras}

    def keys(self, there: Iterable[str]) -> dict[str, str]:
        """The key of every view that is there.

        Args:
            there: Names in an observation.

        Raises:
            DataError: One that the policy needs is not.
        """
        names = list(there)
        found = {view: next((k for k in keys if k in names), None) for view, keys in self._keys.items()}
        for view, key in found.items():
            if key is None and view not in self.info.optional_cameras:
                self._refuse(view, names)
        chosen = {view: key for view, key in found.items() if key is not None}
        if not chosen:
            self._refuse(self.info.cameras[0], names)
        return chosen

    def _refuse(self, view: str, names: list[str]) -> None:
        images = [name for name in names if name.startswith((OBS_IMAGE, OBS_IMAGES))]
        key = images[0] if images else f"{OBS_IMAGES}.KEY"
        raise DataError(
            f"no image for the view {view!r} of the bundle",
            got=", ".join(images) or "no images",
            allowed=" or ".join(self._keys[view]),
            remedy=f"""--policy.views='{{"{view}": "{key}"}}' says which it is""",
        )

    def read(self, batch: Mapping[str, Any]) -> Observation:
        """What the policy sees.

        Args:
            batch: Images (B, 3, H, W) in 0…1, ``observation.state`` (B, P) in environment units, and ``task``, a
                sentence for each.

        Raises:
            DataError: Something is missing or of another shape.
        """
        chosen = self.keys(batch)
        state = batch.get(OBS_STATE)
        if not isinstance(state, Tensor) or state.ndim != 2 or state.shape[1] != self.proprio_width:
            raise DataError(
                f"{OBS_STATE} is not the proprioception that the policy was trained with",
                got="nothing" if state is None else f"shape {tuple(getattr(state, 'shape', ()))}",
                allowed=f"(batch, {self.proprio_width})",
            )
        return Observation(
            images=torch.stack([self._image(key, batch[key]) for key in chosen.values()], dim=1),
            cameras=tuple(chosen),
            proprio=state.float(),
            instruction=_sentences(batch.get("task"), len(state)),
        )

    def _image(self, key: str, image: Tensor) -> Tensor:
        if image.ndim != 4 or image.shape[1] != 3:
            raise DataError(
                f"{key} is no batch of images", got=f"shape {tuple(image.shape)}", allowed="(batch, 3, h, w)"
            )
        if image.is_floating_point():
            image = (image * 255).round().clamp(0, 255).to(torch.uint8)
        image = image.movedim(1, -1).contiguous()
        side = self.info.frame_size_px
        if side is None or image.shape[1:3] == (side, side):
            return image
        squares = [torch.from_numpy(fitted(one, side, self.fit)) for one in image.cpu().numpy()]
        return torch.stack(squares).to(image.device)


def _sentences(task: Any, batch: int) -> tuple[str, ...]:
    sentences = (task,) * batch if isinstance(task, str) else tuple(task or ())
    if len(sentences) != batch or not all(isinstance(sentence, str) for sentence in sentences):
        raise DataError(
            "no instruction for every observation", got=repr(task)[:100], allowed="'task', a list of sentences"
        )
    return sentences
