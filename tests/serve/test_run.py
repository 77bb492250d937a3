"""The command, on a bundle of a policy with the offline encoders."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import numpy as np
import pytest
import torch
from amplify_client import PolicyClient, ServerError, pack

from amplify.cli import run
from amplify.encoders import TEXT_ENCODERS, VISION_ENCODERS
from amplify.errors import AmplifyError, UsageError
from amplify.evaluate.loading import Loader
from amplify.forward import ForwardConfig, ForwardDynamics
from amplify.inverse import InverseConfig, InverseDynamics
from amplify.policy.bundle import save_bundle
from amplify.policy.info import BundleInfo, EncoderInfo, info_of
from amplify.serve.run import _bound, key_of, reader_of
from amplify.tokens import MotionTokenizer, TokenizerConfig

SMALL = {"width": 16, "heads": 2}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """Random weights behind the offline eyes and ears, one view."""
    torch.manual_seed(0)
    eyes, ears = VISION_ENCODERS["efficientnet-lite0"](), TEXT_ENCODERS["minilm"]()
    sizes = {"vision_width": eyes.width, "patches": eyes.patches, "views": 1}
    tokenizer = MotionTokenizer(TokenizerConfig.quickstart(points=4, decoder_hidden=8, levels=(5, 4), **SMALL))
    inverse = InverseConfig.quickstart(layers=1, **SMALL)
    models = {
        "tokenizer": tokenizer,
        "forward": ForwardDynamics(
            ForwardConfig.quickstart(layers=1, **SMALL), levels=(5, 4), tokens=15, text_width=ears.width, **sizes
        ),
        "inverse": InverseDynamics(
            inverse,
            code_width=tokenizer.embedding_width(inverse.motion),
            tokens=15,
            proprio_width=3,
            action_width=2,
            **sizes,
        ),
    }
    info = BundleInfo(
        vision_encoder=EncoderInfo(name=eyes.name, settings=dict(eyes.settings)),
        text_encoder=EncoderInfo(name=ears.name, settings=dict(ears.settings)),
        cameras=("front",),
        frame_size_px=128,
        action_names=("dx", "grip"),
        proprio_names=("x", "y", "z"),
        instructions=("open the drawer",),
        fps=10,
    )
    path = tmp_path_factory.mktemp("serve") / "bundle"
    save_bundle(path, models, info.meta)
    return path


def sent(seed=0, **changes):
    draw = np.random.default_rng(seed)
    return {
        "observation/image": draw.integers(0, 256, (128, 128, 3), dtype=np.uint8),
        "observation/state": draw.normal(size=3).astype(np.float32),
        "prompt": "open the drawer",
    } | changes


def test_served_as_in_process(bundle, tmp_path):
    (tmp_path / "key").write_text("sesame\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "amplify", "serve", str(bundle), "--port", str(port), "--json"]
    process = subprocess.Popen(
        [*command, "--api-key-file", str(tmp_path / "key"), "--max-batch", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        with PolicyClient(port=port, api_key="sesame", wait_s=120) as client:
            assert client.metadata["action_names"] == ["dx", "grip"]
            assert client.metadata["cameras"]["front"][0] == "observation/front"
            assert client.metadata["policy"] == "amplify"
            policy, reader = Loader().policy(bundle, "amplify"), reader_of(info_of(Loader().bundle(bundle)), None)
            for seed in range(3):
                ours = policy.plan(reader.read(sent(seed))).actions.actions[0]
                assert client.metadata["action_horizon"] == len(ours)
                theirs = client.infer(sent(seed))["actions"]
                assert np.allclose(theirs, ours.numpy(), atol=1e-4)
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz") as answer:
                assert answer.read() == b"OK\n"
            with pytest.raises(ServerError, match="3: x, y, z"):
                client.infer(sent(**{"observation/state": np.zeros(8)}))
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert "Traceback" not in err
    assert json.loads(out.splitlines()[-1])["requests"] == {"answered": 3, "refused": 1}


def test_a_sample_is_checked(bundle, tmp_path, capsys):
    np.savez(tmp_path / "good.npz", **sent())
    assert run(["serve", str(bundle), "--check", str(tmp_path / "good.npz"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report["passed"]
    assert set(report["fits"]) == {"camera front", "proprioception", "instruction", "plan"}
    odd = sent(prompt="dance", depth=np.zeros((4, 4)), **{"observation/state": np.zeros(8)})
    odd["observation/image"] = np.zeros((3, 64, 64), np.uint8)
    (tmp_path / "odd.msgpack").write_bytes(pack(odd))
    assert run(["serve", str(bundle), "--check", str(tmp_path / "odd.msgpack"), "--json"]) == 1
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert '"channels": "first"' in report["problems"]["camera front"]
    assert "3: x, y, z" in report["problems"]["proprioception"]
    assert "not among those of training" in report["fits"]["instruction"]
    assert report["other_arrays"] == ["depth"]
    # The mapping that the report asks for makes it fit.
    mapping = {
        "cameras": {"front": {"keys": ["observation/image"], "channels": "first"}},
        "state": [{"key": "observation/state", "stop": 3}],
        "size_px": 128,
    }
    (tmp_path / "mapping.json").write_text(json.dumps(mapping))
    arguments = ["--mapping", str(tmp_path / "mapping.json"), "--check", str(tmp_path / "odd.msgpack")]
    assert run(["serve", str(bundle), *arguments]) == 0
    assert "nearly black" in capsys.readouterr().out


def test_bad_usage(bundle, tmp_path, capsys, monkeypatch):
    (tmp_path / "text.msgpack").write_text("hello")
    (tmp_path / "evil.npz").write_bytes(b"\x80\x04.")
    np.savez(tmp_path / "objects.npz", a=np.array([None]))
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "other.json").write_text(json.dumps({"cameras": {"top": {"keys": ["x"]}}, "state": [{"key": "s"}]}))
    for arguments, code in (
        (["--check", str(tmp_path / "text.msgpack")], 2),
        (["--check", str(tmp_path / "evil.npz")], 2),
        (["--check", str(tmp_path / "objects.npz")], 2),
        (["--check", str(tmp_path / "nowhere.npz")], 2),
        (["--mapping", str(tmp_path / "other.json"), "--check", str(tmp_path / "evil.npz")], 2),
        (["--api-key-file", str(tmp_path / "empty")], 2),
        (["--max-clients", "0"], 2),
        (["--mode", "ensemble", "--controller.replan-every", "99"], 2),
        (["--port", "70000"], 1),
    ):
        assert run(["serve", str(bundle), *arguments]) == code, arguments
        err = capsys.readouterr().err
        assert "error:" in err
        assert "Traceback" not in err
    assert run(["serve", str(tmp_path)]) == 1
    assert "no bundle" in capsys.readouterr().err
    monkeypatch.setenv("AMPLIFY_API_KEY", "sesame")
    assert key_of(None) == "sesame"
    with pytest.raises(UsageError, match="cannot read"):
        key_of(tmp_path / "nowhere")


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "meta"])
def test_a_device_that_is_not_there(bundle, device, capsys):
    assert run(["serve", str(bundle), "--port", "0", "--device", device]) == 2
    assert device in capsys.readouterr().err


def test_an_address_that_is_taken():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(AmplifyError, match=r"cannot listen on 127\.0\.0\.1"):
            _bound("127.0.0.1", taken.getsockname()[1])


def test_waiting_for_a_server_ends():
    started = time.monotonic()
    with pytest.raises(ServerError, match="no policy server"):
        PolicyClient(port=9, wait_s=0.6)
    assert 0.5 < time.monotonic() - started < 10
