"""Commands killed (−9) at random moments: every restart finishes, nothing is lost, the end is the uninterrupted one.

A few kills in every run of the tests; ``make torture`` deals two hundred.
"""

import random
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.torture.victim import Victim, contents, finish

from amplify.video import write_video

SIDE = 48
TRACKS = "tracks-flow-4x4-h8"
LOOP = ("--train.steps", "60", "--train.batch-size", "8", "--train.checkpoint-every", "5", "--train.log-every", "5")
NARROW = ("--model.width", "32", "--model.decoder-hidden", "32")


def clips(folder: Path, count: int) -> None:
    """Videos of a textured square that moves its own way over a textured background."""
    chance = np.random.default_rng(5)
    background = cv2.resize(chance.integers(0, 255, (12, 12, 3), dtype=np.uint8), (SIDE, SIDE))
    square = cv2.resize(chance.integers(0, 255, (6, 6, 3), dtype=np.uint8), (14, 14))
    for number in range(count):
        frames = np.repeat(background[None], 16, axis=0)
        for t, frame in enumerate(frames):
            frame[10 : 10 + 14, 2 + t : 2 + t + 14] = np.roll(square, number, axis=0)
        write_video(folder / f"move the square {number}.mp4", frames, 10)


def staged(folder: Path) -> set[str]:
    """Recorded or imported episodes; once the dataset is complete they have no keys of their own any more."""
    if (folder / "meta" / "info.json").is_file():
        return set(episodes_of_dataset(folder))
    return {path.parent.name for path in (folder / ".staging").glob("*/record.json") if path.parent.name[0] != "."}


def episodes_of_dataset(folder: Path) -> list[str]:
    import json

    return [json.loads(line)["key"] for line in (folder / "meta/amplify/episodes.jsonl").read_text().splitlines()]


def sidecars(kind: str):
    """Finished sidecars of one kind."""

    def found(folder: Path) -> set[str]:
        return {path.name for path in folder.glob(f"sidecars/{kind}*/episode-*.safetensors")}

    return found


RECORD = Victim(
    name="record",
    arguments=("record", "metaworld", "--tasks", "drawer-close", "--episodes", "4", "--size", "64", "--out", "demos"),
    out="demos",
    episodes=staged,
)
IMPORT = Victim(
    name="import",
    arguments=("import", "videos", "clips", "--out", "videos"),
    out="videos",
    episodes=staged,
)
TRACK = Victim(
    name="track",
    arguments=("track", "videos", "--grid", "4", "--horizon", "8"),
    out="videos",
    episodes=sidecars("tracks"),
)
ENCODE = Victim(name="encode", arguments=("encode", "videos"), out="videos", episodes=sidecars("features"))
TRAIN = Victim(
    name="train", arguments=("train", "tokenizer", "videos", "--out", "tokenizer", *NARROW, *LOOP), out="tokenizer"
)
# Order matters: each needs what the ones before have made.
STAGES = (RECORD, IMPORT, TRACK, ENCODE, TRAIN)
EXACT = {
    "record": ("demos", ("meta/*.json", "data/**/*", "videos/**/*", "sidecars/**/*")),
    "import": ("videos", ("meta/*.json", "data/**/*", "videos/**/*")),
    "track": ("videos", ("sidecars/tracks*/*",)),
    "encode": ("videos", ("sidecars/features*/*", "sidecars/text*/*")),
    "train": ("tokenizer", ("bundle/weights.safetensors",)),
}


def undo(victim: Victim, cwd: Path) -> None:
    """Removes what a stage has written."""
    folder, patterns = EXACT[victim.name]
    if victim.name in ("track", "encode"):
        for pattern in patterns:
            for path in (cwd / folder).glob(pattern.rsplit("/", 1)[0]):
                shutil.rmtree(path)
    else:
        shutil.rmtree(cwd / folder)


def torture(tmp_path: Path, *, kills: int, seed: int) -> dict[str, int]:
    """Kills dealt to each stage, every one at least its share of them."""
    chance = random.Random(seed)
    calm, rough = tmp_path / "calm", tmp_path / "rough"
    for folder in (calm, rough):
        clips(folder / "clips", 6)
    dealt = {}
    for victim in STAGES:
        _, seconds = finish(victim.arguments, calm)
        share, dealt[victim.name] = kills // len(STAGES), 0
        while dealt[victim.name] < share:
            if dealt[victim.name]:
                undo(victim, rough)
            hit = victim.torture(rough, kills=share - dealt[victim.name], seconds=seconds, chance=chance)
            dealt[victim.name] += hit
            folder, patterns = EXACT[victim.name]
            expected = contents(calm / folder, patterns)
            assert expected
            assert contents(rough / folder, patterns) == expected, victim.name
    return dealt


@pytest.mark.timeout(600)
def test_a_few_kills(tmp_path):
    dealt = torture(tmp_path, kills=5, seed=1)
    assert set(dealt.values()) == {1}


@pytest.mark.torture
@pytest.mark.timeout(7200)
def test_two_hundred_kills(tmp_path):
    dealt = torture(tmp_path, kills=200, seed=2)
    assert sum(dealt.values()) == 200
