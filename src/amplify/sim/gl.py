"""A working OpenGL back end without a screen, or an instruction how to get one."""

import atexit
import functools
import importlib
import logging
import os
import platform
import subprocess
import sys
import weakref
from typing import Any, Protocol, runtime_checkable

from amplify.errors import RenderingError

logger = logging.getLogger(__name__)

OFFSCREEN_BACKENDS = ("egl", "osmesa")
"""Tried in this order when ``MUJOCO_GL`` is not set."""

_MODULES = {"egl": "mujoco.egl", "osmesa": "mujoco.osmesa", "glfw": "mujoco.glfw", "glx": "mujoco.glfw"}
_REMEDY = (
    "on Debian or Ubuntu: apt-get install libegl1 libgl1 libosmesa6; then leave MUJOCO_GL unset, "
    "or choose one yourself: MUJOCO_GL=egl or MUJOCO_GL=osmesa"
)
# A back end that failed cannot be exchanged within a process (PyOpenGL binds to the first), hence the child process.
_PROBE = "from amplify.sim.gl import _open_context; _open_context({module!r}).free()"


def ensure_gl() -> str:
    """The name of the OpenGL back end, which is also put into ``MUJOCO_GL`` so that child processes inherit it.

    A value that the user has set is respected. Otherwise each offscreen back end draws once in a child process, about
    half a second, and the first that works is kept.

    Raises:
        RenderingError: ``MUJOCO_GL`` holds an unknown name, or no back end works.
    """
    if platform.system() != "Linux":
        return "native"
    chosen = os.environ.get("MUJOCO_GL", "").strip().lower()
    if chosen:
        if chosen not in _MODULES:
            raise RenderingError(
                "MUJOCO_GL names no OpenGL back end", got=repr(chosen), allowed=", ".join(_MODULES), remedy=_REMEDY
            )
        return chosen
    failures = []
    for name in OFFSCREEN_BACKENDS:
        complaint = _probe(name)
        if complaint is None:
            os.environ["MUJOCO_GL"] = name
            logger.debug("rendering with %s", name)
            return name
        failures.append(f"{name}: {complaint}")
    raise RenderingError("no OpenGL back end works", got="; ".join(failures), remedy=_REMEDY)


def _probe(name: str) -> str | None:
    environment = {**os.environ, "MUJOCO_GL": name, "PYOPENGL_PLATFORM": name}
    script = _PROBE.format(module=_MODULES[name])
    try:
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120
        )
    except subprocess.TimeoutExpired:
        return "no answer within 120 s"
    if done.returncode == 0:
        return None
    lines = done.stderr.strip().splitlines()
    return lines[-1] if lines else f"ended with code {done.returncode}"


@functools.cache
def gl_context() -> Any:
    """The OpenGL context of this process, created once, made current, and freed before the interpreter ends.

    Raises:
        RenderingError: The back end cannot be loaded or gives no context.
    """
    name = ensure_gl()
    try:
        context = _open_context("mujoco.gl_context" if name == "native" else _MODULES[name])
    except (ImportError, AttributeError, RuntimeError, OSError, *_opengl_errors()) as error:
        raise RenderingError(f"the OpenGL back end {name!r} does not work", got=error, remedy=_REMEDY) from error
    atexit.register(_shut_down, context)
    return context


def _open_context(module: str) -> Any:
    # Importing mujoco itself fails when MUJOCO_GL names a back end that is not installed, so it happens in here.
    back_end = importlib.import_module(module)
    import mujoco

    # Their own clean-up at collection fails for contexts that are half built or freed already, and prints tracebacks.
    guarded = type("GuardedContext", (back_end.GLContext,), {"__del__": lambda self: None})
    # OSMesa takes a size; images are drawn into MuJoCo's own buffer, so that any size does.
    context = guarded(64, 64)
    context.make_current()
    try:
        mujoco.MjrContext(mujoco.MjModel.from_xml_string("<mujoco/>"), mujoco.mjtFontScale.mjFONTSCALE_50.value).free()
    except mujoco.FatalError as error:
        raise RuntimeError(str(error)) from error
    return context


@runtime_checkable
class Closable(Protocol):
    """Something that lives in graphics memory."""

    def close(self) -> None:
        """Frees it; closing twice does nothing."""
        ...


_CLOSE_AT_EXIT: "weakref.WeakSet[Closable]" = weakref.WeakSet()


def close_at_exit(resource: Closable) -> None:
    """Closes the resource before its OpenGL context ends, unless it is gone by then."""
    _CLOSE_AT_EXIT.add(resource)


def _shut_down(context: Any) -> None:
    # What is still alive while the interpreter takes its modules apart prints tracebacks.
    for resource in list(_CLOSE_AT_EXIT):
        resource.close()
    context.free()


def _opengl_errors() -> tuple[type[Exception], ...]:
    try:
        from OpenGL.error import Error
    except ImportError:
        return ()
    return (Error,)
