"""The command: figures, recordings, dry runs, bad usage."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from amplify_client.realtime import ArmExpert, KinematicArm, ManualClock, Step
from tests.serve.toy import Seen, serving

from amplify.cli import run as cli
from amplify.data.dataset import Dataset
from amplify.errors import DataError, UsageError
from amplify.policy.info import BundleInfo
from amplify.robot.recorder import Recorder, images_of
from amplify.robot.running import Rehearsal, loop_of


def command(*arguments):
    return cli(["run-robot", *map(str, arguments), "--json"])


def summary(capsys):
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def step(tick, phase="acting", action=(0.1, 0.2), state=(0.0, 1.0), level=0):
    seen = {
        "observation/images/top": np.full((16, 20, 3), level, np.uint8),
        "observation/state": np.array(state, np.float32),
        "prompt": "x",
    }
    sent = None if action is None else np.array(action)
    return Step(tick, tick / 20, 0.0, seen, phase, sent, sent, 1.0, ())


def recorder(root, **settings):
    names = {"action_names": ("a", "b"), "state_names": ("c", "d"), "robot_type": "toy", "rate_hz": 20.0}
    return Recorder(root, **{**names, **settings})


def recorded(to, seed, steps, outcome="step limit"):
    to.begin("do it", seed)
    for taken in steps:
        to.saw(taken)
    if outcome is not None:
        to.end(outcome)


def test_an_episode_has_a_row_a_tick_from_the_first_action_to_the_last(tmp_path):
    to = recorder(tmp_path / "data")
    steps = [step(0, "waiting"), step(1, level=10), step(2, level=20), step(5, "stale", (0, 0), level=30)]
    recorded(to, 3, [*steps, step(6, level=40), step(7, "stale", (0, 0))])
    assert to.finish()["episodes"] == 1
    data = Dataset.open(tmp_path / "data", strict=True)
    assert data.spec.fps == 20
    assert data.spec.cameras == ("top",)
    assert data.spec.size("top") == (20, 16)
    assert data.spec.action_names == ("a", "b")
    assert data.episodes[0].instruction == "do it"
    # Ticks 3 and 4 were missed: what was seen and sent at 2 went on.
    actions = data.actions(0)
    assert actions[:, 0].tolist() == pytest.approx([0.1, 0.1, 0.1, 0.1, 0.0, 0.1])
    levels = data.frames(0, "top").mean(axis=(1, 2, 3))
    assert np.abs(levels - [10, 20, 20, 20, 30, 40]).max() < 4
    assert data.episodes[0].info == {
        "outcome": "step limit",
        "seed": 3,
        "repeated_frames": 2,
        "stopped_frames": 1,
    }


def test_what_is_interrupted_leaves_nothing_and_is_gone_on_with(tmp_path):
    root = tmp_path / "data"
    first = recorder(root)
    recorded(first, 0, [step(0), step(1)])
    recorded(first, 1, [step(0), step(1)], outcome=None)  # pulled out of the socket
    assert not (root / "meta").exists()
    with pytest.raises(DataError):
        Dataset.open(root)
    second = recorder(root)
    assert second.staged() == {"episode-000000"}
    recorded(second, 1, [step(0), step(1), step(2)])
    assert second.finish()["episodes"] == 2
    assert [episode.length for episode in Dataset.open(root, strict=True).episodes] == [2, 3]
    assert recorder(root).missing([0, 1]) == []
    with pytest.raises(DataError, match="finished dataset"):
        recorder(root).missing([1, 2])


def test_a_recording_of_another_robot_is_left_alone(tmp_path):
    recorded(recorder(tmp_path), 0, [step(0)])
    other = recorder(tmp_path, rate_hz=10.0)
    with pytest.raises(DataError, match="other settings"):
        recorded(other, 1, [step(0)])


def test_episodes_that_are_left_out_say_why(tmp_path):
    to = recorder(tmp_path, keep="success")
    recorded(to, 0, [step(0)], "step limit")
    recorded(to, 1, [step(0, "waiting")], "success")
    recorded(to, 2, [step(0), step(1, "stale", None), step(2)], "success")
    recorded(to, 3, [step(0), step(1, "stale", (0, 0), state=(np.nan, 0)), step(2)], "success")
    recorded(to, 4, [step(0)], "success")
    assert to.finish()["episodes"] == 1
    assert list(to.left_out) == [f"episode-00000{n}" for n in range(4)]
    assert "step limit" in to.left_out["episode-000000"]
    assert "nothing was done" in to.left_out["episode-000001"]
    assert "which action" in to.left_out["episode-000002"]
    assert "not finite" in to.left_out["episode-000003"]
    with pytest.raises(DataError, match="whole frames"):
        recorder(tmp_path, rate_hz=12.5)


def test_images_are_found_by_the_last_word_of_their_name():
    image = np.zeros((4, 4, 3), np.uint8)
    names = ["observation/image", "observation.images.wrist", "observation/images/top", "front"]
    assert list(images_of(dict.fromkeys(names, image))) == ["image", "wrist", "top", "front"]
    assert images_of({"depth": np.zeros((4, 4)), "prompt": "x"}) == {}


def test_the_rate_is_that_of_the_training(caplog):
    policy, arm = ArmExpert(), KinematicArm(ManualClock())
    policy.metadata = {"fps": 10}
    assert loop_of(None, arm, policy).rate_hz == 10
    assert caplog.text == ""
    assert loop_of(30.0, arm, policy).rate_hz == 30
    assert "learned at 10 actions a second and acts at 30" in caplog.text
    policy.metadata = {}
    assert loop_of(None, arm, policy).rate_hz == arm.rate_hz
    with pytest.raises(UsageError, match="rate_hz"):
        loop_of(0.0, arm, policy)


def test_rehearsals():
    policy = ArmExpert()
    assert Rehearsal().around(policy, 0) is policy
    faulty = Rehearsal(latency_ms=20, jitter_ms=5, drop_share=0.25, drop_timeout_ms=100).around(policy, 0)
    assert (faulty.latency_s, faulty.jitter_s, faulty.drop_share, faulty.timeout_s) == (0.02, 0.005, 0.25, 0.1)


def test_the_simulated_arm_is_run_and_recorded(tmp_path, capsys):
    limits = {"dimensions": {"elbow_rad": {"kind": "position", "state": "elbow_rad", "velocity": 0.5}}}
    (tmp_path / "limits.json").write_text(json.dumps(limits))
    files = [
        "--limits",
        tmp_path / "limits.json",
        "--log",
        tmp_path / "log" / "steps.jsonl",
        "--record",
        tmp_path / "data",
    ]
    rehearsal = ["--latency-ms", 30, "--jitter-ms", 5, "--rate", 50, "--max-steps", 40]
    assert command("scripted", "--robot", "arm", "--episodes", 2, "--seed", 5, *files, *rehearsal) == 0
    found = summary(capsys)
    assert sum(found["outcomes"].values()) == 2
    assert found["rate_hz"]["asked"] == 50
    assert found["answer_ms"]["p50"] > 30
    assert {(row["dimension"], row["limit"]) for row in found["limited"]} == {("elbow_rad", "velocity")}
    data = Dataset.open(tmp_path / "data", strict=True)
    assert [episode.info["seed"] for episode in data.episodes] == [5, 6]
    assert data.spec.robot_type == "arm"
    for episode in data.episodes:
        assert episode.instruction == "reach the red disc"
        assert np.abs(np.diff(data.actions(episode.index)[:, 1])).max() <= 0.5 / 50 + 1e-3
    lines = [json.loads(line) for line in (tmp_path / "log" / "steps.jsonl").read_text().splitlines()]
    acting = [line for line in lines if line.get("phase") == "acting"]
    assert len(acting) == found["steps"]["acted"]
    assert [line["event"] for line in lines if "event" in line] == ["begin", "end"] * 2
    assert any(line["limited"] == ["elbow_rad: velocity"] and line["asked"] != line["action"] for line in acting)
    # The same command has nothing left to do; another one would have.
    again = ["scripted", "--robot", "arm", "--seed", 5, "--rate", 50, "--record", tmp_path / "data"]
    assert command(*again, "--episodes", 2) == 0
    found = summary(capsys)
    assert (found["steps"]["acted"], found["recorded"]["episodes"]) == (0, 2)
    assert command(*again, "--episodes", 3) == 1
    assert "finished dataset" in capsys.readouterr().err


def test_a_dry_run_says_what_would_be_sent(tmp_path, capsys):
    arguments = ["--dry-run", "--max-steps", 5, "--rate", 50, "--log", tmp_path / "dry.jsonl"]
    assert command("scripted", "--robot", "arm", *arguments) == 0
    assert summary(capsys)["dry_run"]
    lines = [json.loads(line) for line in (tmp_path / "dry.jsonl").read_text().splitlines()]
    acting = [line for line in lines if line.get("phase") == "acting"]
    assert len(acting) == 5
    assert {tuple(line["state"]) for line in acting} == {(0.5, 1.2)}, "nothing moves"
    assert acting[0]["action"] != [0.5, 1.2]


INFO = BundleInfo(
    cameras=("front",), frame_size_px=16, action_names=("x", "y"), proprio_names=("shoulder_rad", "elbow_rad")
)


def test_over_the_wire(capsys, monkeypatch):
    monkeypatch.setenv("AMPLIFY_API_KEY", "sesame")
    with serving(Seen(), info=INFO, api_key="sesame") as server:
        arguments = ["--robot", "arm", "--max-steps", 10, "--rate", 50, "--replan-every", 1]
        assert command(f"ws://127.0.0.1:{server.port}", *arguments) == 0
        found = summary(capsys)
        assert found["outcomes"] == {"step limit": 1}
        assert found["plans"]["used"] >= 3
    assert command(f"ws://127.0.0.1:{server.port}", *arguments) == 1
    assert "amplify serve BUNDLE" in capsys.readouterr().err


def test_a_server_that_goes_away_ends_in_a_stop(capsys):
    policy = Seen()
    plan = policy.plan
    with serving(policy, info=INFO) as server:

        def then_gone(observation, **options):
            if len(policy.batches) == 3:
                server.should_exit = True
            return plan(observation, **options)

        policy.plan = then_gone
        arguments = ["--robot", "arm", "--rate", 50, "--replan-every", 1, "--give-up-s", 0.5]
        assert command(f"ws://127.0.0.1:{server.port}", *arguments) == 1
    found = summary(capsys)
    assert found["outcomes"] == {"gave up": 1}
    assert found["plans"]["failed"] >= 1
    assert not found["passed"]
    assert found["hint"]


def test_too_slow_a_policy_gives_up_and_says_so(capsys):
    arguments = ["--latency-ms", 300, "--max-age-s", 0.1, "--give-up-s", 0.7, "--rate", 50]
    assert command("scripted", "--robot", "arm", *arguments) == 1
    assert "nothing older than 100 ms is acted on" in summary(capsys)["hint"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["scripted", "--robot", "leg"], 2, "arm, libero, metaworld"),
        (["scripted", "--robot", "nowhere:Arm"], 2, "no module 'nowhere'"),
        (["scripted", "--robot", "arm", "--rate", 0], 2, "rate_hz"),
        (["scripted", "--robot", "arm", "--episodes", 0], 2, "episodes"),
        (["scripted", "--robot", "arm", "--drop-share", 2], 2, "drop_share"),
        (["scripted", "--robot", "arm", "--replan-every", 16], 2, "a plan has 16 actions"),
        (["scripted", "--robot", "arm", "--limits", "nowhere.json"], 2, "no limits in nowhere.json"),
        (["scripted", "--robot", "arm", "--dry-run", "--record", "x"], 2, "a dry run does nothing"),
        (["scripted", "--robot", "arm", "--record", "x", "--rate", 12.5], 1, "whole frames"),
        (["ws://127.0.0.1:9", "--robot", "arm"], 1, "no policy"),
        (["no-such-run", "--robot", "arm"], 1, "no-such-run"),
    ],
)
def test_bad_usage(arguments, code, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command(*arguments) == code
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err


def test_limits_of_something_else(capsys, tmp_path):
    (tmp_path / "limits.json").write_text('{"dimensions": {"wing": {}}}')
    assert command("scripted", "--robot", "arm", "--limits", tmp_path / "limits.json") == 2
    assert "limits of wing; the robot's actions are shoulder_rad" in capsys.readouterr().err


def test_interrupted_and_gone_on_with(tmp_path):
    words = ["run-robot", "scripted", "--robot", "arm", "--episodes", "3", "--record", str(tmp_path / "data"), "--json"]
    command = [sys.executable, "-m", "amplify", *words]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    try:
        staged = tmp_path / "data" / ".staging" / "episode-000000" / "record.json"
        while not staged.is_file():
            assert first.poll() is None, first.communicate()
            time.sleep(0.02)
        first.send_signal(signal.SIGINT)
        _, err = first.communicate(timeout=30)
    finally:
        first.kill()
    assert first.returncode == 130, err
    assert "Traceback" not in err
    assert not (tmp_path / "data" / "meta").exists()
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["recorded"]["episodes"] == 3
    assert sum(found["outcomes"].values()) == 2, "the first is not run again"
    assert [e.info["seed"] for e in Dataset.open(tmp_path / "data", strict=True).episodes] == [0, 1, 2]
