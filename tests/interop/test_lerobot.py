"""The real lerobot, in an environment of its own, reads what we write, and we read what it writes."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from amplify.data.dataset import Dataset
from data.episodes import LENGTHS, SPEC, VIDEO_SPEC, write

pytestmark = pytest.mark.interop
ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-lerobot" / "bin" / "python"
CODED = 4.0
"""Grey levels by which video compression may change a flat picture."""


def lerobot(command: str, root: Path) -> str:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(root.parent / "huggingface")}
    script = Path(__file__).with_name("with_lerobot.py")
    done = subprocess.run(
        [PYTHON, script, command, root], capture_output=True, text=True, env=environment, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("spec", [SPEC, VIDEO_SPEC], ids=["with actions", "video only"])
def test_lerobot_reads_what_we_write(tmp_path, spec):
    root = write(tmp_path / "dataset", spec)
    seen = json.loads(lerobot("read", root).splitlines()[-1])
    ours = Dataset.open(root)
    assert (seen["fps"], seen["episodes"]) == (10, 4)
    assert len(seen["rows"]) == sum(LENGTHS)
    at = 0
    for episode in ours.episodes:
        actions, states = ours.actions(episode.index), ours.proprio(episode.index)
        frames = {camera: ours.frames(episode.index, camera) for camera in spec.cameras}
        for t in range(ours.length(episode.index)):
            row = seen["rows"][at + t]
            assert (row["episode_index"], row["frame_index"]) == (episode.index, t)
            assert row["timestamp"] == pytest.approx(t / 10, abs=1e-6)
            assert row["task"] == episode.instruction
            for camera, pictures in frames.items():
                levels = row["levels"][f"observation.images.{camera}"]
                np.testing.assert_allclose(levels, pictures[t].mean(axis=(0, 1)), atol=CODED)
            assert ("action" in row) == (actions is not None)
            if actions is not None and states is not None:
                np.testing.assert_array_equal(np.float32(row["action"]), actions[t])
                np.testing.assert_array_equal(np.float32(row["observation.state"]), states[t])
        at += ours.length(episode.index)


def test_we_read_what_lerobot_writes(tmp_path):
    root = tmp_path / "dataset"
    lerobot("write", root)
    dataset = Dataset.open(root, strict=True)
    assert (dataset.spec.fps, dataset.spec.cameras) == (10, ("front",))
    assert [dataset.length(episode.index) for episode in dataset.episodes] == [5, 6, 7]
    tasks = ["open the drawer", "close the window", "open the drawer"]
    assert [episode.instruction for episode in dataset.episodes] == tasks
    for episode in range(3):
        steps = np.arange(5 + episode)
        levels = dataset.frames(episode, "front").mean(axis=(1, 2))
        np.testing.assert_allclose(levels, np.tile(30 + 60 * episode + 5 * steps[:, None], 3), atol=CODED)
        states, actions = dataset.proprio(episode), dataset.actions(episode)
        np.testing.assert_array_equal(states, np.stack([np.full_like(steps, episode), steps], axis=-1))
        np.testing.assert_array_equal(actions, np.stack([steps, np.full_like(steps, -episode)], axis=-1))
