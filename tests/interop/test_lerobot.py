"""The real lerobot, in an environment of its own, reads what we write, and we read what it writes."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from amplify.cli import run
from amplify.data.dataset import Dataset
from amplify.video import write_video
from data.episodes import LENGTHS, SPEC, VIDEO_SPEC, write

pytestmark = pytest.mark.interop
ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-lerobot" / "bin" / "python"
CODED = 3.5
"""Levels by which video compression, or another decoder's arithmetic of colours, may change a flat picture."""
DECODED = 1.5
"""Levels by which two decoders of one grey video may differ; its neighbouring frames differ by 2."""


@pytest.fixture(scope="module")
def lerobot(tmp_path_factory) -> Iterator[Callable[[str, Path], Any]]:
    """Asks lerobot to do something with a dataset; it is started once, since that takes the most time."""
    home = tmp_path_factory.mktemp("lerobot")
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(home / "huggingface")}
    script = Path(__file__).with_name("with_lerobot.py")
    with (
        (home / "errors.txt").open("w") as errors,
        subprocess.Popen(
            [PYTHON, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment
        ) as process,
    ):
        requests, answers = process.stdin, process.stdout
        assert requests is not None
        assert answers is not None

        def ask(command: str, root: Path) -> Any:
            assert process.poll() is None, "lerobot has stopped in an earlier test"
            print(command, root, file=requests, flush=True)
            answer = answers.readline()
            assert answer, (home / "errors.txt").read_text()[-3000:]
            return json.loads(answer)

        yield ask
        requests.close()


def colours(pictures: np.ndarray) -> np.ndarray:
    """Those in the middle of the four quarters, where no edge between them is near."""
    height, width = pictures.shape[-3:-1]
    return pictures[..., height // 4 :: height // 2, width // 4 :: width // 2, :].astype(np.float64)


def assert_lerobot_sees(seen: dict[str, Any], ours: Dataset, within: float = DECODED) -> None:
    assert (seen["fps"], seen["episodes"]) == (ours.spec.fps, len(ours.episodes))
    assert seen["cameras"] == [f"observation.images.{camera}" for camera in ours.spec.cameras]
    assert len(seen["rows"]) == sum(episode.length for episode in ours.episodes)
    rows = iter(seen["rows"])
    for episode in ours.episodes:
        actions, states = ours.actions(episode.index), ours.proprio(episode.index)
        levels = {camera: colours(ours.frames(episode.index, camera)) for camera in ours.spec.cameras}
        for t in range(episode.length):
            row = next(rows)
            assert (row["episode_index"], row["frame_index"]) == (episode.index, t)
            assert row["timestamp"] == pytest.approx(t / ours.spec.fps, abs=1e-6)
            assert row["task"] == episode.instruction
            for camera, expected in levels.items():
                np.testing.assert_allclose(row["levels"][f"observation.images.{camera}"], expected[t], atol=within)
            assert ("action" in row) == (actions is not None)
            if actions is not None and states is not None:
                np.testing.assert_array_equal(np.float32(row["action"]), actions[t])
                np.testing.assert_array_equal(np.float32(row["observation.state"]), states[t])


@pytest.mark.parametrize("spec", [SPEC, VIDEO_SPEC], ids=["with actions", "video only"])
def test_lerobot_reads_what_we_write(tmp_path, lerobot, spec):
    root = write(tmp_path / "dataset", spec)
    seen, ours = lerobot("read", root), Dataset.open(root)
    assert (len(ours.spec.cameras), len(seen["rows"])) == (2, sum(LENGTHS))
    assert_lerobot_sees(seen, ours)
    assert ("action" in seen["stats"]) == (spec is SPEC)
    if spec is SPEC:
        every = np.concatenate([ours.actions(episode.index) for episode in ours.episodes])
        for name, expected in {"mean": every.mean(axis=0), "min": every.min(axis=0), "std": every.std(axis=0)}.items():
            np.testing.assert_allclose(seen["stats"]["action"][name], expected, atol=1e-5)


def test_lerobot_takes_samples_of_what_we_write(tmp_path, lerobot):
    root = write(tmp_path / "dataset", SPEC)
    ours = Dataset.open(root)
    rows = iter(lerobot("samples", root))
    for episode in (1, 3):
        last, actions = ours.length(episode) - 1, ours.actions(episode)
        levels = colours(ours.frames(episode, "wrist"))
        for t in range(last + 1):
            row = next(rows)
            assert (row["episode_index"], row["frame_index"]) == (episode, t)
            np.testing.assert_allclose(row["levels"], levels[[max(t - 1, 0), t]], atol=DECODED)
            ahead = t + np.arange(3)
            assert row["action_is_pad"] == (ahead > last).tolist()
            np.testing.assert_array_equal(np.float32(row["action"]), actions[ahead.clip(max=last)])
    assert next(rows, None) is None


def test_lerobot_reads_videos_that_we_imported(tmp_path, lerobot):
    """Two cameras, colours, and enough frames of no whole number of milliseconds for drift to show."""
    clips, length = 12, 27
    steps = 20 + 8 * np.arange(length)
    pictures = {"front": np.empty((length, 48, 64, 3), np.uint8)}
    pictures["front"][..., 0], pictures["front"][..., 1], pictures["front"][..., 2] = steps[:, None, None], 160, 60
    pictures["front"][:, :24, :32] = 235
    pictures["side"] = pictures["front"][:, ::-1, :, ::-1]
    for clip in range(clips):
        for camera, frames in pictures.items():
            write_video(tmp_path / f"clips/{camera}/open_the_drawer_{clip:02}.mp4", frames[clip:], 30, crf=4)
    root = tmp_path / "dataset"
    rule = ["--cameras", "front=front/", "side=side/"]
    assert run(["import", "videos", str(tmp_path / "clips"), "--out", str(root), "--workers", "0", *rule]) == 0
    seen, ours = lerobot("read", root), Dataset.open(root)
    assert [episode.length for episode in ours.episodes] == [length - clip for clip in range(clips)]
    assert_lerobot_sees(seen, ours, CODED)
    for row in seen["rows"]:
        assert row["task"] == "open the drawer"
        for camera, frames in pictures.items():
            expected = colours(frames[row["episode_index"] + row["frame_index"]])
            np.testing.assert_allclose(row["levels"][f"observation.images.{camera}"], expected, atol=CODED)


def test_we_read_what_lerobot_writes(tmp_path, lerobot):
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


def test_lerobot_reads_a_part_that_we_took_of_its_own(tmp_path, lerobot):
    """Out of its format and back into it."""
    lerobot("write", tmp_path / "theirs")
    root = tmp_path / "part"
    options = ["--episodes", "1:3", "--workers", "0"]
    assert run(["import", "lerobot", str(tmp_path / "theirs"), "--out", str(root), *options]) == 0
    ours = Dataset.open(root)
    assert [(episode.instruction, episode.length) for episode in ours.episodes] == [
        ("close the window", 6),
        ("open the drawer", 7),
    ]
    seen = lerobot("read", root)
    assert_lerobot_sees(seen, ours)
    for row in seen["rows"]:
        was, t = row["episode_index"] + 1, row["frame_index"]
        assert (row["observation.state"], row["action"]) == ([was, t], [t, -was])
