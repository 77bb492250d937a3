"""A command that is killed at random moments, and what must hold after every kill and in the end."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import av
import pyarrow.parquet as pq
from safetensors import safe_open

PATIENCE_S = 300


def launch(arguments: tuple[str, ...], cwd: Path) -> subprocess.Popen:
    """The command line in a process group of its own, so that its workers can be killed with it."""
    return subprocess.Popen(
        [sys.executable, "-m", "amplify", *arguments, "--json"],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(arguments: tuple[str, ...], cwd: Path) -> tuple[dict, float]:
    """The summary of an uninterrupted run, and its seconds."""
    began = time.monotonic()
    process = launch(arguments, cwd)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    assert "Traceback" not in err, err
    return json.loads(out.splitlines()[-1]), time.monotonic() - began


@dataclass(kw_only=True)
class Victim:
    """One stage of the loop.

    Args:
        name: Of the stage.
        arguments: Its command line; what it writes is named relative to the working folder.
        out: The folder that it writes to.
        episodes: Names of the episodes that are safely there, in a folder; none is ever lost again.
    """

    name: str
    arguments: tuple[str, ...]
    out: str
    episodes: Callable[[Path], set[str]] = field(default=lambda folder: set())

    def torture(self, cwd: Path, *, kills: int, seconds: float, chance: random.Random) -> int:
        """Kills the command until it has finished or the kills are spent, lets it finish then; the kills that hit.

        Half of the kills hit the whole process group, the others the main process alone, as the kernel does it when
        memory runs out.
        """
        hit, safe = 0, set()
        while hit < kills:
            process = launch(self.arguments, cwd)
            time.sleep(chance.uniform(0.2, 1.0) * seconds)
            if process.poll() is not None:
                _, err = process.communicate()
                assert process.returncode == 0, err
                break
            whole_group = chance.random() < 0.5
            if whole_group:
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
            process.communicate(timeout=PATIENCE_S)  # workers hold the pipes: they must end with their parent
            hit += 1
            there = self.episodes(cwd / self.out)
            assert safe <= there, f"{self.name}: lost {safe - there} at kill {hit}"
            safe = there
            print(f"{self.name}: killed {'with its workers' if whole_group else 'alone'}, {len(there)} episodes safe")
            broken = [f"{path}: {reason}" for path in sorted((cwd / self.out).rglob("*")) if (reason := damage(path))]
            assert not broken, f"{self.name}: kill {hit} left {broken}"
        finish(self.arguments, cwd)
        return hit


def damage(path: Path) -> str | None:
    """Why a file of final name cannot be read as whole; None for a good one, and for what is written aside."""
    hidden = any(part.startswith(".") and part != ".staging" for part in path.parts)
    if not path.is_file() or hidden or path.name.endswith(".partial"):
        return None
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="np") as file:
                for name in file.keys():  # noqa: SIM118
                    file.get_tensor(name)
        elif path.suffix == ".parquet":
            pq.read_table(path)
        elif path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".mp4":
            with av.open(str(path)) as container:
                assert sum(1 for _ in container.decode(video=0)) == container.streams.video[0].frames
    except Exception as error:  # noqa: BLE001
        return repr(error)
    return None


def contents(folder: Path, patterns: tuple[str, ...] = ("**/*",)) -> dict[str, str]:
    """Hashes of the files of a folder, by relative path; nothing may be left over but what is compared."""
    files = {path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(files)}
