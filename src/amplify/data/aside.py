"""Where a file is written before it gets its name, and what killed processes left there."""

import os
import re
import socket
from functools import lru_cache
from pathlib import Path

_LEFT = re.compile(r"\..+\.(?P<host>[^.]+)-(?P<process>\d+)\.tmp")


def aside_of(path: Path) -> Path:
    """A hidden name beside the path that no other process writes to.

    A process is killed before it could clean up now and then: what such processes of this machine left in the folder is
    removed when the folder is first written to.

    Args:
        path: In a folder that exists.
    """
    _swept(path.parent)
    return path.with_name(f".{path.name}.{_host()}-{os.getpid()}.tmp")


@lru_cache(maxsize=1024)
def _swept(folder: Path) -> None:
    for path in folder.glob(".*.tmp"):
        left = _LEFT.fullmatch(path.name)
        if left and left["host"] == _host() and not _lives(int(left["process"])):
            path.unlink(missing_ok=True)


@lru_cache(maxsize=1)
def _host() -> str:
    return re.sub(r"[^A-Za-z0-9_]", "_", socket.gethostname())


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True
