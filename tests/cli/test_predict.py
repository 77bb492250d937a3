import json

import cv2
import numpy as np
import pytest
import torch

from amplify.cli import run
from amplify.encoders import VISION_ENCODERS
from amplify.forward import ForwardConfig, ForwardDynamics
from amplify.policy.bundle import save_bundle
from amplify.policy.info import BundleInfo, EncoderInfo
from amplify.tokens import MotionTokenizer, TokenizerConfig
from amplify.video import read_video, write_video

SMALL = {"width": 16, "heads": 2}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """Untrained models for the real encoders, as a run folder."""
    torch.manual_seed(0)
    tokenizer = MotionTokenizer(
        TokenizerConfig.quickstart(points=9, decoder_hidden=8, levels=(5, 4), centre_bias=0, **SMALL)
    )
    forward = ForwardDynamics(
        ForwardConfig.quickstart(layers=1, **SMALL),
        levels=(5, 4),
        tokens=15,
        vision_width=1408,
        patches=16,
        views=1,
        text_width=384,
    )
    info = BundleInfo(
        vision_encoder=EncoderInfo(
            name="efficientnet-lite0-128px", settings=VISION_ENCODERS["efficientnet-lite0"]().settings
        ),
        text_encoder=EncoderInfo(name="minilm"),
        cameras=("front",),
        frame_size_px=128,
        grid=3,
        instructions=("open the drawer", "press the button"),
    )
    run = tmp_path_factory.mktemp("run")
    save_bundle(run / "bundle", {"tokenizer": tokenizer, "forward": forward}, info.meta)
    save_bundle(run / "tokenizer-only" / "bundle", {"tokenizer": tokenizer}, info.meta)
    return run


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder with a picture, a video and things that are neither."""
    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(0).integers(0, 256, (3, 60, 90, 3), dtype=np.uint8)
    cv2.imwrite("scene.jpg", noise[0])
    write_video(tmp_path / "scene.mp4", noise, 5)
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    (tmp_path / "empty.png").write_bytes(b"")
    return tmp_path


def predict(capsys, *arguments):
    assert run(["predict", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_a_picture_of_several_futures(bundle, here, capsys, caplog):
    summary = predict(capsys, bundle, "scene.jpg", "--text", "open the drawer", "--samples", 3)
    assert summary["out"] == "motion.png"
    assert summary["seen_in_training"]
    assert not caplog.records
    assert [len(future["tokens"]) for future in summary["futures"].values()] == [15] * 3
    values = [future["log_likelihood"] for future in summary["futures"].values()]
    assert values == sorted(values, reverse=True)
    picture = cv2.imread("motion.png")
    assert picture is not None
    assert picture.shape[1] == 3 * 720 + 2 * 8


def test_a_film_from_a_frame_of_a_video_and_an_unknown_instruction(bundle, here, capsys, caplog):
    summary = predict(
        capsys,
        bundle,
        "scene.mp4",
        "--frame",
        1,
        "--text",
        "pull the drawer open",
        "--out",
        "new/m.mp4",
        "--fit",
        "pad",
    )
    film = read_video(here / "new" / "m.mp4")
    assert len(film) == 90
    assert film.shape[2] == 720
    assert not summary["seen_in_training"]
    assert summary["closest_instructions"][0] == "open the drawer"
    assert "'open the drawer'" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "said", "code"),
    [
        (["nope.png"], "no such image", 1),
        (["broken.png"], "not an image", 1),
        (["empty.png"], "not an image", 1),
        (["scene.mp4"], "number of a frame", 1),
        (["scene.mp4", "--frame", "3"], "0 … 2", 2),
        (["scene.mp4", "--frame", "-1"], "no such frame", 2),
        (["scene.jpg", "scene.jpg"], "one image a camera", 2),
        (["scene.jpg", "--out", "motion.gif"], ".png or .mp4", 2),
        (["scene.jpg", "--samples", "0"], "too few futures", 2),
        (["scene.jpg", "--temperature", "0"], "above 0", 2),
        (["scene.jpg", "--text", " "], "instruction is empty", 2),
        (["scene.jpg", "--goal-image", "nope.png"], "no such image", 1),
        (["scene.jpg", "--goal-image", "scene.jpg"], "cannot be shown it", 2),
        (["scene.jpg", "--out", "scene.jpg/motion.png"], "cannot write", 1),
    ],
)
def test_mistakes_get_one_clear_error(bundle, here, capsys, arguments, said, code):
    text = [] if "--text" in arguments else ["--text", "open the drawer"]
    assert run(["predict", str(bundle), *arguments, *text]) == code
    assert said in capsys.readouterr().err
    assert not (here / "motion.png").exists()


def test_a_bundle_that_foresees_nothing(bundle, here, capsys):
    assert run(["predict", str(bundle / "tokenizer-only"), "scene.jpg", "--text", "open"]) == 1
    assert "train forward" in capsys.readouterr().err
