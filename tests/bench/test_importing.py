import json

import numpy as np

from amplify.bench.importing import CASES, moving_clip
from amplify.cli import run


def test_every_case_has_a_rate(capsys):
    arguments = ["--clips", "1", "--frames", "6", "--rounds", "2", "--workers", "0", "--json"]
    assert run(["bench", "import-videos", *arguments]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    for name in CASES:
        assert len(report[name]["rounds"]) == 2
        assert report[name]["frames_per_s"] == max(report[name]["rounds"]) > 0
    assert run(["bench", "import-videos", "--frames", "0"]) == 2


def test_clips_move_and_follow_from_their_seed():
    first, second = (np.stack(list(moving_clip(3, (64, 48), 1))) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.shape == (3, 48, 64, 3)
    assert (first[0] != first[2]).any()
